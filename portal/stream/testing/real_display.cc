// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/testing/real_display.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace sluice::stream::testing {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr int kDisplayFd = 3;

struct Spawn {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string output;   // Path of the file for stdout and stderr.
  int display_fd = -1;  // Handed on as descriptor 3.
};

Result<pid_t> Start(const Spawn& spawn) {
  std::vector<char*> arguments;
  for (const std::string& one : spawn.arguments)
    arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (char** one = environ; *one != nullptr; ++one) {
    if (std::strncmp(*one, "DISPLAY=", 8) != 0) environment.push_back(*one);
  }
  for (const std::string& one : spawn.environment) {
    environment.push_back(const_cast<char*>(one.c_str()));
  }
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(
      &actions, 1, spawn.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  if (spawn.display_fd >= 0) {
    posix_spawn_file_actions_adddup2(&actions, spawn.display_fd, kDisplayFd);
  }
  pid_t pid = -1;
  const int error =
      posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return Fail(Code::kUnavailable,
                fmt::format("cannot start {}: {}", spawn.arguments[0], std::strerror(error)));
  }
  return pid;
}

void End(pid_t pid, int signal) {
  if (pid <= 0) return;
  kill(pid, signal);
  waitpid(pid, nullptr, 0);
}

// The number that the X server writes when it is ready.
Result<std::string> ReadDisplayNumber(int fd) {
  std::string text;
  while (text.find('\n') == std::string::npos) {
    pollfd one{fd, POLLIN, 0};
    char byte = 0;
    if (poll(&one, 1, kPatienceMs) <= 0 || read(fd, &byte, 1) != 1) {
      return Fail(Code::kUnavailable, "the X server did not start");
    }
    text.push_back(byte);
  }
  text.pop_back();
  return text;
}

}  // namespace

Result<std::unique_ptr<RealDisplay>> RealDisplay::Start(const std::string& folder,
                                                        const std::string& geometry) {
  std::unique_ptr<RealDisplay> display(new RealDisplay(folder, folder + "/rfb.sock"));
  auto launched = display->Launch(geometry);
  if (!launched) return Fail(launched.error());
  return display;
}

Result<void> RealDisplay::Launch(const std::string& geometry) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail(Code::kUnavailable, std::strerror(errno));
  auto started = testing::Start({{"Xtigervnc",
                                  "-displayfd",
                                  std::to_string(kDisplayFd),
                                  "-rfbport",
                                  "-1",
                                  "-rfbunixpath",
                                  socket_,
                                  "-SecurityTypes",
                                  "None",
                                  "-AlwaysShared",
                                  "-geometry",
                                  geometry,
                                  "-depth",
                                  "24",
                                  "-nolisten",
                                  "tcp"},
                                 {},
                                 folder_ + "/x.log",
                                 ends[1]});
  close(ends[1]);
  auto number = started ? ReadDisplayNumber(ends[0]) : Result<std::string>(Fail(started.error()));
  close(ends[0]);
  if (started) server_ = *started;
  if (!number) return Fail(number.error());
  name_ = ":" + *number;
  return {};
}

Result<void> RealDisplay::Run(const std::vector<std::string>& arguments) {
  auto started = testing::Start({arguments, {"DISPLAY=" + name_}, folder_ + "/programs.log", -1});
  if (!started) return Fail(started.error());
  programs_.push_back(*started);
  return {};
}

void RealDisplay::Kill() {
  End(std::exchange(server_, -1), SIGKILL);
}

RealDisplay::~RealDisplay() {
  for (const pid_t pid : programs_) End(pid, SIGKILL);
  // SIGTERM lets it take its lock file and socket away.
  End(server_, SIGTERM);
}

}  // namespace sluice::stream::testing
