// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/result.h"

// File system calls with our errors. Stateless, so thread-safe.
namespace sluice::runtime {

// A file descriptor that closes itself. One thread at a time.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

// "cannot WHAT: No space left on device", with the code that `error_number` (an errno) maps to.
Error ErrnoError(int error_number, std::string_view what);

// The whole file. Fails with kNotFound, kOutOfRange above `bytes_max`, or as errno maps.
Result<std::string> ReadFile(const std::string& path, size_t bytes_max = size_t{1} << 20);

// Replaces the file in one step: a reader sees the old or the new text, never a part.
Result<void> WriteFileAtomic(const std::string& path, std::string_view text, mode_t mode);

// Makes the folder if it is not there (parents too) and sets its mode.
Result<void> MakeFolder(const std::string& path, mode_t mode);

// Removes a file or a whole tree, whatever its depth, and never follows a symbolic link. Nothing
// may be changing it meanwhile. What is not there is removed already.
Result<void> RemoveTree(const std::string& path);

}  // namespace sluice::runtime
