// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

// The two folders of an instance, and who may use them.
namespace sluice::instance {

// Where state is kept unless told otherwise: /var/lib/sluice for root, else
// $XDG_STATE_HOME/sluice or ~/.local/state/sluice. Fails with kNotFound without a home.
Result<std::string> DefaultStateFolder();

// The socket on which the instance of this state folder serves its local administrator.
std::string SocketOf(const std::string& state_folder);

// Makes the folder (0700) and returns its absolute path. Fails with kPermissionDenied or
// kUnavailable and what to do when it cannot be made or written, kInvalidArgument when its path is
// too long for a socket in it.
Result<std::string> PrepareStateFolder(const std::string& folder);

// Makes the folder for what need not survive a reboot, one per state folder: /run/sluice-… for
// root, else under $XDG_RUNTIME_DIR or /tmp. Fails with kPermissionDenied if it belongs to somebody
// else.
Result<std::string> PrepareVolatileFolder(const std::string& state_folder);

// The same path, without making it.
std::string VolatileFolderOf(const std::string& state_folder);

// Its parts: the agent's folder and the runtime's.
std::string SharesIn(const std::string& volatile_folder);
std::string DesktopsIn(const std::string& volatile_folder);

// Removes it when nothing of a desktop or a share is in it; else leaves it as it is. Requires the
// folder's lock.
void RemoveVolatileFolderIfUnused(const std::string& volatile_folder);

// The right to be the one instance of a state folder; the kernel takes it back when the process
// ends, however it ends.
class FolderLock {
 public:
  // Fails with kAlreadyExists and the holder's pid and address.
  static Result<FolderLock> Take(const std::string& state_folder);
  FolderLock(FolderLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FolderLock& operator=(FolderLock&&) = delete;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

  // What the next one who tries is told.
  void Tell(const std::string& address) const;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

// Small text files of the state folder, written whole. Read gives nullopt for a file that is not
// there.
std::optional<std::string> ReadNote(const std::string& path);
Result<void> WriteNote(const std::string& path, const std::string& text);

}  // namespace sluice::instance
