// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/files.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace sluice::runtime {
namespace {

struct ErrnoRow {
  int error_number;
  Code code;
};
constexpr std::array<ErrnoRow, 12> kErrnoCodes = {{
    {ENOENT, Code::kNotFound},
    {ENOTDIR, Code::kFailedPrecondition},
    {EEXIST, Code::kAlreadyExists},
    {EACCES, Code::kPermissionDenied},
    {EPERM, Code::kPermissionDenied},
    {EROFS, Code::kPermissionDenied},
    {ENOSPC, Code::kResourceExhausted},
    {EDQUOT, Code::kResourceExhausted},
    {EMFILE, Code::kResourceExhausted},
    {ENOMEM, Code::kResourceExhausted},
    {EAGAIN, Code::kResourceExhausted},
    {EINVAL, Code::kInvalidArgument},
}};

Result<void> WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail(ErrnoError(errno, "write " + path));
    text.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

Folder OpenFolder(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return Folder(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
}

std::vector<std::string> Names(DIR* folder) {
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

// Empties `name` inside the folder `top`: files go, folders move up into `top` under new names, so
// that the depth of a tree costs neither stack nor file descriptors.
Result<void> EmptyInto(int top,
                       const std::string& name,
                       int64_t& serial,
                       std::vector<std::string>& folders) {
  // Its owner may have closed it; without this neither it nor its ".." could be changed. What is
  // not a folder was unlinked before, so no symbolic link is followed.
  ::fchmodat(top, name.c_str(), 0700, 0);
  const Folder opened = OpenFolder(top, name.c_str());
  if (!opened) {
    if (errno == ENOENT) return {};
    return Fail(ErrnoError(errno, "open a folder to remove"));
  }
  const int fd = ::dirfd(opened.get());
  for (const std::string& inner : Names(opened.get())) {
    if (::unlinkat(fd, inner.c_str(), 0) == 0) continue;
    if (::unlinkat(fd, inner.c_str(), AT_REMOVEDIR) == 0) continue;
    ::fchmodat(fd, inner.c_str(), 0700, 0);
    std::string moved;
    do {  // The tenant may have used such names too.
      moved = fmt::format(".removing-{}", serial++);
    } while (::faccessat(top, moved.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (::renameat(fd, inner.c_str(), top, moved.c_str()) != 0) {
      return Fail(ErrnoError(errno, "remove " + inner));
    }
    folders.push_back(std::move(moved));
  }
  if (::unlinkat(top, name.c_str(), AT_REMOVEDIR) != 0) {
    return Fail(ErrnoError(errno, "remove " + name));
  }
  return {};
}

}  // namespace

void Fd::Reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Error ErrnoError(int error_number, std::string_view what) {
  Code code = Code::kInternal;
  for (const ErrnoRow& row : kErrnoCodes) {
    if (row.error_number == error_number) code = row.code;
  }
  return Error{
      code, fmt::format("cannot {}: {}", what, std::system_category().message(error_number)), {}};
}

Result<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Fail(ErrnoError(errno, "read " + path));
  std::string text;
  std::array<char, 16384> block{};
  while (true) {
    const ssize_t got = ::read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrnoError(errno, "read " + path));
    if (got == 0) return text;
    text.append(block.data(), static_cast<size_t>(got));
    if (text.size() > bytes_max) return Fail(Code::kOutOfRange, path + " is too large");
  }
}

Result<void> WriteFileAtomic(const std::string& path, std::string_view text, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  const Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return Fail(ErrnoError(errno, "write " + path));
  Result<void> done = WriteAll(fd.get(), text, path);
  if (done && ::fchmod(fd.get(), mode) != 0) done = Fail(ErrnoError(errno, "write " + path));
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = Fail(ErrnoError(errno, "write " + path));
  }
  if (!done) ::unlink(temporary.c_str());
  return done;
}

Result<void> MakeFolder(const std::string& path, mode_t mode) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Fail(ErrnoError(error.value(), "make the folder " + path));
  if (::chmod(path.c_str(), mode) != 0) return Fail(ErrnoError(errno, "make the folder " + path));
  return {};
}

Result<void> RemoveTree(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return Fail(ErrnoError(errno, "remove " + path));
  }
  if (!S_ISDIR(status.st_mode)) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return Fail(ErrnoError(errno, "remove " + path));
    }
    return {};
  }
  ::chmod(path.c_str(), 0700);
  {
    const Folder top = OpenFolder(AT_FDCWD, path.c_str());
    if (!top) return Fail(ErrnoError(errno, "remove " + path));
    const int fd = ::dirfd(top.get());
    std::vector<std::string> folders;
    int64_t serial = 0;
    for (const std::string& name : Names(top.get())) {
      if (::unlinkat(fd, name.c_str(), 0) == 0) continue;
      folders.push_back(name);
    }
    while (!folders.empty()) {
      const std::string name = std::move(folders.back());
      folders.pop_back();
      if (auto emptied = EmptyInto(fd, name, serial, folders); !emptied) return emptied;
    }
  }
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return Fail(ErrnoError(errno, "remove " + path));
  }
  return {};
}

}  // namespace sluice::runtime
