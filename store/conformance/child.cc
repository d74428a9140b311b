// SPDX-License-Identifier: Apache-2.0
#include "store/conformance/child.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <limits>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

namespace sluice::store {

Child::Child(const std::function<void(int output)>& work) {
  int ends[2];
  SLUICE_CHECK(pipe2(ends, O_CLOEXEC) == 0);
  pid_ = fork();
  SLUICE_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    close(ends[0]);
    work(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  input_ = ends[0];
}

Child::~Child() {
  Kill();
  close(input_);
}

std::string Child::Read(size_t bytes_max) {
  std::string text;
  char buffer[4096];
  while (text.size() < bytes_max) {
    const ssize_t got = read(input_, buffer, std::min(sizeof(buffer), bytes_max - text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

std::string Child::ReadAll() {
  return Read(std::numeric_limits<size_t>::max());
}

void Child::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  Wait();
}

int Child::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

std::string InChild(const std::function<std::string()>& work) {
  Child child([&work](int output) {
    const std::string complaint = work() + "\n";
    const ssize_t written = write(output, complaint.data(), complaint.size());
    if (written < 0) _exit(1);
  });
  std::string said = child.ReadAll();
  if (said.empty() || said.back() != '\n') return "the child ended early: " + said;
  said.pop_back();
  return said;
}

}  // namespace sluice::store
