// SPDX-License-Identifier: Apache-2.0
#include "runtime/command.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include "runtime/sandbox/files.h"

namespace sluice::runtime {
namespace {

constexpr int kFailedBase = 200;  // Plus the code, as the exit status of a caller.
constexpr uid_t kOtherUser = 54321;
constexpr int kWaitMs = 20'000;

// A process that calls RunCommand. Killed at the end of the object.
class Caller {
 public:
  Caller(const CommandSpec& spec, uid_t uid, int terminal = -1) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) Be(spec, uid, terminal, ends[1]);
    ::close(ends[1]);
    output_ = Fd(ends[0]);
  }
  ~Caller() {
    if (pid_ > 0) Wait(SIGKILL);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  void Signal(int number) const { ::kill(pid_, number); }

  // Reads until `text` has come, or the end.
  std::string ReadUntil(const std::string& text) {
    std::array<char, 256> block{};
    while (text.empty() || seen_.find(text) == std::string::npos) {
      struct pollfd wait = {output_.get(), POLLIN, 0};
      if (::poll(&wait, 1, kWaitMs) != 1) {
        ADD_FAILURE() << "nothing more came after: " << seen_;
        break;
      }
      const ssize_t got = ::read(output_.get(), block.data(), block.size());
      if (got <= 0) break;
      seen_.append(block.data(), static_cast<size_t>(got));
    }
    return seen_;
  }

  // All output: ends when every process that could write has ended.
  std::string ReadAll() { return ReadUntil(""); }

  int Wait(int kill_with = 0) {
    if (kill_with != 0) Signal(kill_with);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  [[noreturn]] static void Be(const CommandSpec& spec, uid_t uid, int terminal, int output) {
    if (terminal >= 0 && ::login_tty(::dup(terminal)) != 0) ::_exit(198);
    ::dup2(output, 1);
    if (uid != ::geteuid() && (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
                               ::setresuid(uid, uid, uid) != 0)) {
      ::_exit(199);
    }
    ::prctl(PR_SET_DUMPABLE, 1);  // Lost by changing the user; a login would have it.
    const auto status = RunCommand(spec);
    if (!status) (void)!::write(1, status.error().message.data(), status.error().message.size());
    ::_exit(status ? *status : kFailedBase + static_cast<int>(status.error().code));
  }

  pid_t pid_ = -1;
  Fd output_;
  std::string seen_;
};

CommandSpec Shell(const std::string& script) {
  return {.argv = {"/bin/sh", "-c", script}};
}

// As root and as an ordinary user; started by an ordinary user, as that one only.
class Command : public ::testing::TestWithParam<bool> {
 protected:
  Command() {
    std::string name = std::filesystem::temp_directory_path() / "sluice-command-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    uid_ = GetParam() && ::geteuid() == 0 ? kOtherUser : ::geteuid();
    EXPECT_EQ(::chmod(name.c_str(), 0755), 0);
    EXPECT_EQ(::chown(name.c_str(), uid_, uid_), 0);
  }
  ~Command() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    EXPECT_EQ(::chown(path.c_str(), uid_, uid_), 0);
    return path;
  }

  std::string folder_;
  uid_t uid_ = 0;
};

INSTANTIATE_TEST_SUITE_P(AsUser, Command, ::testing::Bool());

TEST_P(Command, AnswersTheExitStatus) {
  Caller caller(Shell("exit 42"), uid_);
  EXPECT_EQ(caller.Wait(), 42);
}

TEST_P(Command, Answers128PlusTheSignal) {
  Caller caller(Shell("kill -SEGV $$"), uid_);
  EXPECT_EQ(caller.Wait(), 128 + SIGSEGV);
}

TEST_P(Command, SaysThatAProgramIsNotThere) {
  Caller missing({.argv = {"/nonexistent/program"}}, uid_);
  EXPECT_NE(missing.ReadAll().find("/nonexistent/program"), std::string::npos);
  EXPECT_EQ(missing.Wait(), kFailedBase + static_cast<int>(Code::kNotFound));
  Caller closed({.argv = {File("closed", "")}}, uid_);
  EXPECT_EQ(closed.Wait(), kFailedBase + static_cast<int>(Code::kPermissionDenied));
  Caller nothing({}, uid_);
  EXPECT_EQ(nothing.Wait(), kFailedBase + static_cast<int>(Code::kInvalidArgument));
}

TEST_P(Command, RunsAsTheCallerWithItsFolderAndEnvironment) {
  CommandSpec spec = Shell("id -u; pwd; echo $SLUICE_TEST; echo ~; echo here > made");
  spec.cwd = folder_;
  spec.environment = {"SLUICE_TEST=a=b"};
  Caller caller(spec, uid_);
  const std::string output = caller.ReadAll();
  EXPECT_EQ(output.find(std::to_string(uid_) + "\n" + folder_ + "\na=b\n"), 0U) << output;
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/made"));
}

TEST_P(Command, SeesTheShareAndOnlyReadsItsPolicy) {
  CommandSpec spec = Shell(
      "cat /run/sluice/policy; echo more >> /run/sluice/policy || echo refused; "
      "echo used > /run/sluice/ledger; cat /etc/ld.so.preload; ls /etc/hostname");
  spec.share.mounts = {{File("policy", "limit\n"), "/run/sluice/policy", false},
                       {File("ledger", ""), "/run/sluice/ledger", true}};
  spec.share.preload = "/run/sluice/lib/absent.so";
  const bool had_preload = std::filesystem::exists("/etc/ld.so.preload");
  Caller caller(spec, uid_);
  EXPECT_EQ(caller.ReadAll(), "limit\nrefused\n/run/sluice/lib/absent.so\n/etc/hostname\n");
  EXPECT_EQ(*ReadFile(folder_ + "/ledger"), "used\n");
  EXPECT_EQ(*ReadFile(folder_ + "/policy"), "limit\n");
  EXPECT_EQ(std::filesystem::exists("/etc/ld.so.preload"), had_preload);
  EXPECT_FALSE(std::filesystem::exists("/run/sluice/policy"));
}

TEST_P(Command, FindsTheSharesLibrariesWithAnEmptyEnvironment) {
  const auto library = std::filesystem::canonical("/lib/x86_64-linux-gnu/libz.so.1");
  std::filesystem::create_directories(folder_ + "/lib");
  std::filesystem::copy(library, folder_ + "/lib/libz.so.1");
  CommandSpec spec = Shell("env -i /sbin/ldconfig -p | grep -c 'libz.so.1 .*/run/sluice/'");
  spec.share.mounts = {{folder_ + "/lib", "/run/sluice/simgpu/lib", false}};
  spec.share.library_dirs = {"/run/sluice/simgpu/lib"};
  Caller caller(spec, uid_);
  EXPECT_EQ(caller.ReadAll(), "1\n");
}

TEST_P(Command, EndsEverythingThatItStarted) {
  Caller caller(Shell("setsid sleep 1000 & (sleep 1000 &); exit 3"), uid_);
  caller.ReadAll();  // Ends only when no process holds the pipe any more.
  EXPECT_EQ(caller.Wait(), 3);
}

TEST_P(Command, EndsWhenItsCallerIsKilled) {
  Caller caller(Shell("setsid sleep 1000 & echo ready; trap '' TERM HUP INT; sleep 1000"), uid_);
  caller.ReadUntil("ready");
  EXPECT_EQ(caller.Wait(SIGKILL), 128 + SIGKILL);
  caller.ReadAll();
}

TEST_P(Command, IsHandedASignalToItsCaller) {
  Caller caller(Shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"), uid_);
  caller.ReadUntil("ready");
  caller.Signal(SIGTERM);
  EXPECT_EQ(caller.Wait(), 7);
}

TEST_P(Command, GetsCtrlCFromTheTerminalOnce) {
  int master = -1;
  int terminal = -1;
  ASSERT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  ASSERT_EQ(::fchown(terminal, uid_, uid_), 0);
  const Fd keyboard(master);
  const Fd screen(terminal);
  Caller caller(Shell("n=0; trap 'n=$((n+1)); echo caught $n' INT; tty; echo ready; "
                      "while :; do read -r line && echo got $line && exit $n; done"),
                uid_,
                terminal);
  EXPECT_NE(caller.ReadUntil("ready").find("/dev/pts"), std::string::npos);
  ASSERT_EQ(::write(master, "\x03", 1), 1);
  caller.ReadUntil("caught 1");
  ASSERT_EQ(::write(master, "line\n", 5), 5);
  caller.ReadUntil("got line");
  EXPECT_EQ(caller.Wait(), 1);
}

TEST_P(Command, EndsByCtrlCWhenItDoesNotCatchIt) {
  int master = -1;
  int terminal = -1;
  ASSERT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  ASSERT_EQ(::fchown(terminal, uid_, uid_), 0);
  const Fd keyboard(master);
  const Fd screen(terminal);
  Caller caller({.argv = {"/bin/sh", "-c", "echo ready; exec sleep 1000"}}, uid_, terminal);
  caller.ReadUntil("ready");
  ASSERT_EQ(::write(master, "\x03", 1), 1);
  EXPECT_EQ(caller.Wait(), 128 + SIGINT);
}

}  // namespace
}  // namespace sluice::runtime
