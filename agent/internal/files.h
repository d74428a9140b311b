// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

// Files of a share on the host.
namespace sluice::agent {

// A file descriptor that is closed with its owner.
class File {
 public:
  File() = default;
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~File();

  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// A file's bytes, shared with everybody who maps it.
class Mapping {
 public:
  Mapping(void* at, size_t bytes) : at_(at), bytes_(bytes) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  void* at() const { return at_; }
  size_t bytes() const { return bytes_; }

 private:
  void* at_;
  size_t bytes_;
};

enum class Access { kRead, kWrite };

// Maps the first `bytes` of a file. Fails with kDataLoss when it is shorter.
Result<std::unique_ptr<Mapping>> Map(const File& file,
                                     size_t bytes,
                                     Access access = Access::kWrite);

// Makes a file of `bytes` zeros with its space reserved on the disk, under a name of its own until
// Publish renames it. Fails with kResourceExhausted when there is no space, else kUnavailable.
Result<File> MakeFile(const std::string& path, size_t bytes, unsigned mode);
Result<void> Publish(const std::string& from, const std::string& to);

// Writes a small file in one step. Fails as MakeFile.
Result<void> WriteSmall(const std::string& path, std::string_view text, unsigned mode);

// Lets this process have as many files open as it may, up to 65,536: each share needs several.
void RaiseFileLimit();

// "No space left on device" and the path, with the fitting code.
Error FromErrno(int error, std::string_view what, const std::string& path);

}  // namespace sluice::agent
