// SPDX-License-Identifier: Apache-2.0
#include "simgpu/tests/machine.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::simgpu {

int InChild(const std::function<void()>& body) {
  pid_t pid = ::fork();
  if (pid == 0) {
    body();
    std::_Exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

HeldChild::HeldChild(const std::function<void()>& body) {
  int said[2];
  int hold[2];
  if (::pipe(said) != 0 || ::pipe(hold) != 0) return;
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(hold[1]);
    body();
    char byte = ::testing::Test::HasFailure() ? 'f' : 'r';
    [[maybe_unused]] ssize_t wrote = ::write(said[1], &byte, 1);
    [[maybe_unused]] ssize_t got = ::read(hold[0], &byte, 1);
    std::_Exit(0);
  }
  ::close(said[1]);
  ::close(hold[0]);
  hold_ = hold[1];
  char byte = 0;
  ready_ = ::read(said[0], &byte, 1) == 1 && byte == 'r';
  ::close(said[0]);
}

void HeldChild::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

HeldChild::~HeldChild() {
  Kill();
  if (hold_ >= 0) ::close(hold_);
}

}  // namespace sluice::simgpu
