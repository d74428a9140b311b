// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace sluice::agent {

File::~File() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

Mapping::~Mapping() {
  munmap(at_, bytes_);
}

void RaiseFileLimit() {
  // Desktops inherit it, and programs there may try to close every file that they could have open:
  // a hard limit of a billion would keep them at it for minutes.
  constexpr rlim_t kEnough = 65'536;
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
    return;
  }
  const rlim_t wanted = std::min(files.rlim_max, kEnough);
  if (files.rlim_cur < wanted) {
    files.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &files);  // Else some shares fewer fit; each of them says so.
  }
}

Error FromErrno(int error, std::string_view what, const std::string& path) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG || error == EMFILE;
  const Code code = full              ? Code::kResourceExhausted
                    : error == ENOENT ? Code::kNotFound
                    : error == EACCES ? Code::kPermissionDenied
                                      : Code::kUnavailable;
  return {code, fmt::format("{} {}: {}", what, path, std::generic_category().message(error)), {}};
}

Result<std::unique_ptr<Mapping>> Map(const File& file, size_t bytes, Access access) {
  struct stat status = {};
  if (fstat(file.get(), &status) != 0 || status.st_size < static_cast<off_t>(bytes)) {
    return Fail(Code::kDataLoss, "a share's page is shorter than it should be");
  }
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* at = mmap(nullptr, bytes, protection, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) {
    return Fail(FromErrno(errno, "mapping", "a share's page"));
  }
  return std::make_unique<Mapping>(at, bytes);
}

Result<File> MakeFile(const std::string& path, size_t bytes, unsigned mode) {
  File file(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) {
    return Fail(FromErrno(errno, "making", path));
  }
  // Without the space a later page fault would end the tenant's process.
  if (const int error = posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    unlink(path.c_str());
    return Fail(FromErrno(error, "reserving space for", path));
  }
  if (fchmod(file.get(), mode) != 0) {
    return Fail(FromErrno(errno, "setting the mode of", path));
  }
  return file;
}

Result<void> Publish(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) {
    return Fail(FromErrno(errno, "renaming to", to));
  }
  return {};
}

Result<void> WriteSmall(const std::string& path, std::string_view text, unsigned mode) {
  const std::string temporary = path + ".new";
  const auto file = MakeFile(temporary, text.size(), mode);
  if (!file) {
    return Fail(file.error());
  }
  if (pwrite(file->get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return Fail(FromErrno(errno, "writing", path));
  }
  return Publish(temporary, path);
}

}  // namespace sluice::agent
