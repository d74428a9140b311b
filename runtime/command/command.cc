// SPDX-License-Identifier: Apache-2.0
#include "runtime/command.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "runtime/command/compose.h"
#include "runtime/sandbox/files.h"

// Three processes of ours, each the parent of the next, so that a death anywhere ends what is
// below: the caller; the entrance, which enters the namespaces and stays because a caller with
// threads cannot; and the first process inside, whose end the kernel makes the end of all others.
namespace sluice::runtime {
namespace {

// Signals that are handed down. The terminal's own (Ctrl-C, Ctrl-\, Ctrl-Z, a new size) go to the
// whole process group by themselves and are recognised by their origin.
constexpr std::array kHandedOn = {
    SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

// The child to hand signals to. A signal handler has no other way to know; 0: none.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<pid_t> handed_to{0};
static_assert(std::atomic<pid_t>::is_always_lock_free);

void HandOn(int number, siginfo_t* info, void* /*context*/) {
  const int error = errno;
  const bool from_a_process = info->si_code <= 0;
  const pid_t child = handed_to.load();
  if (child > 0 && from_a_process) ::kill(child, number);
  errno = error;
}

// Hands signals on while it lives. A signal that the caller ignores stays ignored.
class HandingOn {
 public:
  explicit HandingOn(pid_t child) {
    handed_to = child;
    struct sigaction action {};
    action.sa_sigaction = HandOn;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigset_t open;
    sigemptyset(&open);
    for (size_t i = 0; i < kHandedOn.size(); ++i) {
      ::sigaction(kHandedOn[i], nullptr, &before_[i]);
      if (before_[i].sa_handler != SIG_IGN) ::sigaction(kHandedOn[i], &action, nullptr);
      sigaddset(&open, kHandedOn[i]);
    }
    ::pthread_sigmask(SIG_UNBLOCK, &open, &mask_before_);
  }
  ~HandingOn() {
    handed_to = 0;
    for (size_t i = 0; i < kHandedOn.size(); ++i) ::sigaction(kHandedOn[i], &before_[i], nullptr);
    ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  }
  HandingOn(const HandingOn&) = delete;
  HandingOn& operator=(const HandingOn&) = delete;

 private:
  std::array<struct sigaction, kHandedOn.size()> before_{};
  sigset_t mask_before_{};
};

int WaitForEnd(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) != child) {
    if (errno != EINTR) return -1;
  }
  return status;
}

int ToExitStatus(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Tells the caller why there will be no command, and ends. The first byte is the code.
[[noreturn]] void GiveUp(int errors, const Error& error) {
  const std::string text = static_cast<char>(error.code) + error.message;
  (void)!::write(errors, text.data(), text.size());
  ::_exit(125);
}

Result<void> WriteFileOnce(const char* path, const std::string& text) {
  const Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) < 0) {
    return Fail(Error{Code::kFailedPrecondition, fmt::format("cannot write {}", path), {}});
  }
  return {};
}

Result<void> EnterNamespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  const int user = uid == 0 ? 0 : CLONE_NEWUSER;
  if (::unshare(CLONE_NEWNS | user) != 0) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("this machine forbids namespaces ({}); root may run it, or user "
                            "namespaces can be allowed (sysctl user.max_user_namespaces)",
                            std::system_category().message(errno)));
  }
  if (user == 0) return {};
  if (auto done = WriteFileOnce("/proc/self/setgroups", "deny"); !done) return done;
  if (auto done = WriteFileOnce("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)); !done) {
    return done;
  }
  return WriteFileOnce("/proc/self/gid_map", fmt::format("{0} {0} 1", gid));
}

[[noreturn]] void BecomeCommand(const CommandSpec& spec, const std::string& cwd, int errors) {
  for (const int number : kHandedOn) {
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) ::signal(number, SIG_DFL);
  }
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::chdir(cwd.c_str()) != 0) GiveUp(errors, ErrnoError(errno, "change to " + cwd));
  for (const std::string& variable : spec.environment) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos) continue;
    ::setenv(variable.substr(0, equals).c_str(), variable.c_str() + equals + 1, 1);
  }
  std::vector<char*> words;
  for (const std::string& word : spec.argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  GiveUp(errors, ErrnoError(errno, "run " + spec.argv[0]));
}

// Process 1 inside: starts the command, takes in orphans, ends with the command.
[[noreturn]] void BeFirst(const CommandSpec& spec,
                          const std::string& cwd,
                          int errors,
                          int entrance) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  char byte = 0;
  // An entrance that died before the line above never answers.
  if (::send(entrance, &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(entrance, &byte, 1, 0) != 1) {
    ::_exit(125);
  }
  // Some containers forbid it. Then the machine's own stays: process numbers are the outer ones
  // there, and everything else works.
  (void)::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  const pid_t command = ::fork();
  if (command < 0) GiveUp(errors, ErrnoError(errno, "run " + spec.argv[0]));
  if (command == 0) BecomeCommand(spec, cwd, errors);
  const HandingOn handing_on(command);
  ::close(errors);
  int status = 0;
  while (true) {
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended == command) ::_exit(ToExitStatus(status));
    if (ended < 0 && errno != EINTR) ::_exit(125);
  }
}

[[noreturn]] void BeEntrance(const CommandSpec& spec,
                             const std::string& cwd,
                             int errors,
                             pid_t caller) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != caller) ::_exit(125);
  if (auto entered = EnterNamespaces(); !entered) GiveUp(errors, entered.error());
  if (auto composed = ComposeShare(spec.share); !composed) GiveUp(errors, composed.error());
  // Only now: the next process from here on is the first one inside.
  if (::unshare(CLONE_NEWPID) != 0) GiveUp(errors, ErrnoError(errno, "make a process namespace"));
  std::array<int, 2> talk{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk.data()) != 0) {
    GiveUp(errors, ErrnoError(errno, "run " + spec.argv[0]));
  }
  const pid_t first = ::fork();
  if (first < 0) GiveUp(errors, ErrnoError(errno, "run " + spec.argv[0]));
  if (first == 0) {
    ::close(talk[0]);
    BeFirst(spec, cwd, errors, talk[1]);
  }
  ::close(talk[1]);
  ::close(errors);
  const HandingOn handing_on(first);
  char byte = 0;
  if (::recv(talk[0], &byte, 1, 0) == 1) (void)::send(talk[0], &byte, 1, MSG_NOSIGNAL);
  ::_exit(ToExitStatus(WaitForEnd(first)));
}

std::string CurrentFolder() {
  std::array<char, 4096> path{};
  return ::getcwd(path.data(), path.size()) == nullptr ? "/" : path.data();
}

// What the processes below have to say until one of them has become the command.
std::string ReadErrors(int errors) {
  std::string text;
  std::array<char, 512> block{};
  while (true) {
    const ssize_t got = ::read(errors, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(block.data(), static_cast<size_t>(got));
  }
}

}  // namespace

Result<int> RunCommand(const CommandSpec& spec) {
  if (spec.argv.empty()) return Fail(Code::kInvalidArgument, "no command to run", "/argv");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Fail(ErrnoError(errno, "make a pipe"));
  const Fd errors_read(ends[0]);
  Fd errors_write(ends[1]);
  const std::string cwd = spec.cwd.empty() ? CurrentFolder() : spec.cwd;
  const pid_t caller = ::getpid();
  const pid_t entrance = ::fork();
  if (entrance < 0) return Fail(ErrnoError(errno, "run " + spec.argv[0]));
  if (entrance == 0) BeEntrance(spec, cwd, errors_write.get(), caller);
  const HandingOn handing_on(entrance);
  errors_write.Reset();
  const std::string failure = ReadErrors(errors_read.get());
  const int status = WaitForEnd(entrance);
  if (!failure.empty()) {
    return Fail(static_cast<Code>(static_cast<unsigned char>(failure[0])), failure.substr(1));
  }
  if (status < 0) return Fail(Code::kInternal, "lost the command");
  return ToExitStatus(status);
}

}  // namespace sluice::runtime
