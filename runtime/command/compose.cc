// SPDX-License-Identifier: Apache-2.0
#include "runtime/command/compose.h"

#include <array>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <set>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <vector>

#include "runtime/sandbox/files.h"
#include "runtime/sandbox/process.h"

namespace sluice::runtime {
namespace {

struct FlagRow {
  unsigned long of_statvfs;
  unsigned long of_mount;
};
constexpr std::array<FlagRow, 6> kFlags = {{{ST_NOSUID, MS_NOSUID},
                                            {ST_NODEV, MS_NODEV},
                                            {ST_NOEXEC, MS_NOEXEC},
                                            {ST_NOATIME, MS_NOATIME},
                                            {ST_NODIRATIME, MS_NODIRATIME},
                                            {ST_RELATIME, MS_RELATIME}}};

std::string OpenPath(const Fd& fd) {
  return fmt::format("/proc/self/fd/{}", fd.get());
}

// A remount must name the flags that the mount has: a user namespace may not take them away.
Result<void> MakeReadOnly(const std::string& path) {
  struct statvfs now {};
  if (::statvfs(path.c_str(), &now) != 0) return Fail(ErrnoError(errno, "look at " + path));
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
  for (const FlagRow& row : kFlags) {
    if ((now.f_flag & row.of_statvfs) != 0) flags |= row.of_mount;
  }
  if (::mount(nullptr, path.c_str(), nullptr, flags, nullptr) != 0) {
    return Fail(ErrnoError(errno, "make read-only " + path));
  }
  return {};
}

// Binds what `source` is open on to `target`, making a mount point of the same kind.
Result<void> Show(const Fd& source, const std::string& target) {
  struct stat status {};
  if (::fstat(source.get(), &status) != 0) return Fail(ErrnoError(errno, "find " + target));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(target).parent_path(), error);
  const int made = S_ISDIR(status.st_mode) ? ::mkdir(target.c_str(), 0755)
                                           : ::mknod(target.c_str(), S_IFREG | 0644, 0);
  if (made != 0 && errno != EEXIST) return Fail(ErrnoError(errno, "make " + target));
  if (::mount(OpenPath(source).c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return Fail(ErrnoError(errno, "show " + target));
  }
  return {};
}

// One entry of the folder that is open as `real`, into the one in memory. What cannot be shown
// (a file that only root may see, say) is left out, as it would be of no use.
void ShowEntry(const Fd& real, const std::string& name, const std::string& target) {
  struct stat status {};
  if (::fstatat(real.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (S_ISLNK(status.st_mode)) {
    std::array<char, 4096> text{};
    const ssize_t got = ::readlinkat(real.get(), name.c_str(), text.data(), text.size() - 1);
    if (got > 0) (void)!::symlink(text.data(), target.c_str());
    return;
  }
  const Fd entry(::openat(real.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (entry.valid()) (void)Show(entry, target);
}

// Covers `folder` with one in memory that shows all its entries but the named ones.
Result<void> Cover(const std::string& folder, const std::set<std::string>& without) {
  const Fd real(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!real.valid()) return Fail(ErrnoError(errno, "open " + folder));
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename());
  }
  if (::mount("tmpfs", folder.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
    return Fail(ErrnoError(errno, "cover " + folder));
  }
  for (const std::string& name : names) {
    if (!without.contains(name)) ShowEntry(real, name, folder + "/" + name);
  }
  return {};
}

Result<void> WriteLibraryCache(const agent::PreparedShare& share) {
  const auto ldconfig = FindProgram("ldconfig");
  if (!ldconfig) return Fail(ldconfig.error());
  std::string conf;
  for (const std::string& dir : share.library_dirs) conf += dir + "\n";
  conf += "include /etc/ld.so.conf\n";
  constexpr auto kConf = "/run/sluice/ld.so.conf";
  if (auto written = WriteFileAtomic(kConf, conf, 0644); !written) return written;
  return RunProgramOrExplain({*ldconfig, "-X", "-C", "/etc/ld.so.cache", "-f", kConf},
                             Duration(20'000));
}

}  // namespace

Result<void> ComposeShare(const agent::PreparedShare& share) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return Fail(ErrnoError(errno, "make a mount namespace"));
  }
  std::vector<Fd> sources;  // Opened first: they may be below what is covered.
  for (const agent::Mount& mount : share.mounts) {
    sources.emplace_back(::open(mount.source.c_str(), O_PATH | O_CLOEXEC));
    if (!sources.back().valid()) return Fail(ErrnoError(errno, "find " + mount.source));
  }
  std::set<std::string> own = {"ld.so.preload"};
  if (!share.library_dirs.empty()) own.insert("ld.so.cache");
  if (auto covered = Cover("/etc", own); !covered) return covered;
  if (auto covered = Cover("/run", {"sluice"}); !covered) return covered;
  std::error_code error;
  std::filesystem::create_directories("/run/sluice", error);
  for (size_t i = 0; i < share.mounts.size(); ++i) {
    const agent::Mount& mount = share.mounts[i];
    if (auto shown = Show(sources[i], mount.target); !shown) return shown;
    if (mount.writable) continue;
    if (auto done = MakeReadOnly(mount.target); !done) return done;
  }
  if (!share.library_dirs.empty()) {
    if (auto written = WriteLibraryCache(share); !written) return written;
  }
  // Last: the programs that ran until here needed nothing of the share.
  if (share.preload.empty()) return {};
  return WriteFileAtomic("/etc/ld.so.preload", share.preload + "\n", 0644);
}

}  // namespace sluice::runtime
