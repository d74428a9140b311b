// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <sys/types.h>

namespace sluice::store {

// A forked copy of this process that runs `work` and ends; what it writes to the file descriptor it
// is given is read with Read. Killed, if it still runs, at the end of the object.
// Requires: this process has one thread.
class Child {
 public:
  explicit Child(const std::function<void(int output)>& work);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Up to `bytes_max`; shorter only when the child has closed its end.
  std::string Read(size_t bytes_max);
  std::string ReadAll();
  // SIGKILL, and waits for the end.
  void Kill();
  // How it ended, as waitpid says.
  int Wait();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
};

// Runs `work` in a child and returns the complaint that it returned; "" is good.
std::string InChild(const std::function<std::string()>& work);

}  // namespace sluice::store
