// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/process.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/sandbox/files.h"

namespace sluice::runtime {
namespace {

struct ProgramRow {
  std::string_view name;
  std::string_view package;
};
constexpr std::array<ProgramRow, 7> kPackages = {{
    {"bwrap", "bubblewrap"},
    {"Xtigervnc", "tigervnc-standalone-server"},
    {"openbox", "openbox"},
    {"tint2", "tint2"},
    {"xterm", "xterm"},
    {"slirp4netns", "slirp4netns"},
    {"ldconfig", "libc-bin"},
}};

constexpr std::array kFolders = {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/local/bin/"};

// A process that has exited or not within the time. -1: not.
int WaitFor(pid_t pid, Duration at_most) {
  const Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  struct pollfd wait = {handle.get(), POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  while (handle.valid()) {
    const auto left =
        std::chrono::duration_cast<Duration>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    const int got = ::poll(&wait, 1, static_cast<int>(left.count()));
    if (got > 0) break;
    if (got < 0 && errno != EINTR) break;
  }
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) != pid) return -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Result<int> Run(const std::vector<std::string>& argv, Duration at_most, int error_fd) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  std::array<char*, 2> environment = {path.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  if (error_fd >= 0) {
    posix_spawn_file_actions_adddup2(&actions, error_fd, 2);
  } else {
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, words[0], &actions, &attributes, words.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) return Fail(ErrnoError(failed, "run " + argv[0]));
  const int status = WaitFor(pid, at_most);
  if (status >= 0) return status;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return Fail(Code::kDeadlineExceeded,
              fmt::format("{} did not end within {} ms", argv[0], at_most.count()));
}

}  // namespace

Result<std::string> FindProgram(std::string_view name) {
  for (const std::string folder : kFolders) {
    std::string path = folder + std::string(name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  std::string_view package = name;
  for (const ProgramRow& row : kPackages) {
    if (row.name == name) package = row.package;
  }
  return Fail(Code::kFailedPrecondition,
              fmt::format("the program {} is missing: apt-get install {}", name, package));
}

Result<int> RunProgram(const std::vector<std::string>& argv, Duration at_most) {
  return Run(argv, at_most, -1);
}

Result<void> RunProgramOrExplain(const std::vector<std::string>& argv, Duration at_most) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Fail(ErrnoError(errno, "run " + argv[0]));
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  auto status = Run(argv, at_most, write_end.get());
  write_end.Reset();
  if (!status) return Fail(status.error());
  if (*status == 0) return {};
  std::array<char, 1024> text{};
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  const ssize_t got = ::read(read_end.get(), text.data(), text.size());
  std::string message(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  while (!message.empty() && message.back() == '\n') message.pop_back();
  if (message.empty()) message = fmt::format("{} ended with status {}", argv[0], *status);
  return Fail(Code::kFailedPrecondition, message);
}

}  // namespace sluice::runtime
