// SPDX-License-Identifier: Apache-2.0
#include "instance/folders.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/core.h>
#include <fstream>
#include <pwd.h>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::instance {

namespace fs = std::filesystem;

namespace {

constexpr size_t kSocketPathMax = 107;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// FNV-1a: short, stable names; nothing depends on its strength.
uint32_t HashOf(const std::string& text) {
  uint32_t hash = 2'166'136'261U;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 16'777'619U;
  }
  return hash;
}

Result<void> TryToWrite(const std::string& folder) {
  std::string probe = folder + "/.write-XXXXXX";
  const int fd = mkostemp(probe.data(), O_CLOEXEC);
  if (fd >= 0) {
    close(fd);
    unlink(probe.c_str());
    return {};
  }
  const int error = errno;
  const std::string advice = "Choose another state folder with --state DIR";
  if (error == ENOSPC || error == EDQUOT) {
    return Fail(Code::kResourceExhausted,
                fmt::format("the disk of {} is full. Free some space, or {}", folder, advice));
  }
  return Fail(Code::kPermissionDenied,
              fmt::format("cannot write to {}: {}. {}", folder, std::strerror(error), advice));
}

}  // namespace

Result<std::string> DefaultStateFolder() {
  if (geteuid() == 0) return std::string("/var/lib/sluice");
  const std::string xdg = Environment("XDG_STATE_HOME");
  if (!xdg.empty() && xdg.front() == '/') return xdg + "/sluice";
  std::string home = Environment("HOME");
  if (home.empty()) {
    const passwd* entry = getpwuid(geteuid());
    if (entry != nullptr) home = entry->pw_dir;
  }
  if (home.empty()) return Fail(Code::kNotFound, "no home folder: say --state DIR");
  return home + "/.local/state/sluice";
}

std::string SocketOf(const std::string& state_folder) {
  return state_folder + "/api.sock";
}

Result<std::string> PrepareStateFolder(const std::string& folder) {
  std::error_code failed;
  const fs::path absolute = fs::absolute(folder, failed).lexically_normal();
  std::string path = absolute.string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (SocketOf(path).size() > kSocketPathMax) {
    return Fail(Code::kInvalidArgument,
                fmt::format("the path of the state folder is too long for a socket in it: {}. "
                            "Choose a shorter one with --state DIR",
                            path));
  }
  const bool there = fs::exists(path, failed);
  fs::create_directories(path, failed);
  if (failed) {
    return Fail(Code::kPermissionDenied,
                fmt::format("cannot make the state folder {}: {}. Choose another one with --state "
                            "DIR",
                            path,
                            failed.message()));
  }
  if (!there) chmod(path.c_str(), 0700);
  if (auto written = TryToWrite(path); !written) return Fail(written.error());
  return path;
}

std::string VolatileFolderOf(const std::string& state_folder) {
  const std::string name = fmt::format("sluice-{:08x}", HashOf(state_folder));
  if (geteuid() == 0) return "/run/" + name;
  const std::string runtime = Environment("XDG_RUNTIME_DIR");
  if (!runtime.empty() && access(runtime.c_str(), W_OK) == 0) return runtime + "/" + name;
  return fmt::format("/tmp/{}-{}", name, geteuid());
}

std::string SharesIn(const std::string& volatile_folder) {
  return volatile_folder + "/shares";
}

std::string DesktopsIn(const std::string& volatile_folder) {
  return volatile_folder + "/desktops";
}

Result<std::string> PrepareVolatileFolder(const std::string& state_folder) {
  const std::string path = VolatileFolderOf(state_folder);
  // Others may pass through to their own desktop's folder, and see nothing here.
  const mode_t mode = geteuid() == 0 ? 0711 : 0700;
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return Fail(Code::kPermissionDenied,
                fmt::format("cannot make {}: {}", path, std::strerror(errno)));
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) {
    return Fail(Code::kPermissionDenied,
                fmt::format("{} belongs to somebody else; remove it first", path));
  }
  chmod(path.c_str(), mode);
  return path;
}

void RemoveVolatileFolderIfUnused(const std::string& volatile_folder) {
  std::error_code failed;
  for (const std::string& part :
       {SharesIn(volatile_folder), DesktopsIn(volatile_folder) + "/desktops"}) {
    const fs::directory_iterator entries(part, failed);
    if (!failed && entries != fs::directory_iterator()) return;
  }
  fs::remove_all(volatile_folder, failed);
}

Result<FolderLock> FolderLock::Take(const std::string& state_folder) {
  const std::string path = state_folder + "/instance.lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Fail(Code::kPermissionDenied,
                fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
    FolderLock lock(fd);
    lock.Tell("");
    return lock;
  }
  close(fd);
  std::istringstream note(ReadNote(path).value_or(""));
  std::string pid = "unknown";
  std::string address;
  note >> pid >> address;
  return Fail(
      Code::kAlreadyExists,
      fmt::format("Sluice already runs on {} (process {}{}). Stop that one first, or choose "
                  "another folder with --state DIR",
                  state_folder,
                  pid,
                  address.empty() ? "" : ", " + address));
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

void FolderLock::Tell(const std::string& address) const {
  const std::string text = fmt::format("{} {}\n", getpid(), address);
  if (ftruncate(fd_, 0) != 0) return;
  // A note for people; the lock itself is the kernel's.
  [[maybe_unused]] const ssize_t written = pwrite(fd_, text.data(), text.size(), 0);
}

std::optional<std::string> ReadNote(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<void> WriteNote(const std::string& path, const std::string& text) {
  if (ReadNote(path) == text) return {};
  const std::string fresh = path + ".new";
  errno = 0;
  std::ofstream file(fresh, std::ios::trunc);
  file << text;
  file.close();
  if (!file || std::rename(fresh.c_str(), path.c_str()) != 0) {
    return Fail(Code::kUnavailable,
                fmt::format("cannot write {}: {}", path, std::strerror(errno == 0 ? EIO : errno)));
  }
  return {};
}

}  // namespace sluice::instance
