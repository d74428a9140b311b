// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "runtime/runtime.h"

// What one desktop's folder holds, and the two files in it through which a runtime and a
// supervisor talk, perhaps of different processes and days.
namespace sluice::runtime {

// Paths below a desktop's folder. Immutable.
struct DesktopFolder {
  std::string root;

  std::string launch() const { return root + "/launch.json"; }    // What to start.
  std::string status() const { return root + "/status.json"; }    // Where it stands.
  std::string lock() const { return root + "/lock"; }             // Held while supervised.
  std::string control() const { return root + "/control.sock"; }  // Orders to the supervisor.
  std::string rfb() const { return root + "/rfb.sock"; }          // The display, for viewers.
  std::string log() const { return root + "/log"; }               // Of the session's programs.
  std::string display() const { return root + "/display"; }  // Tenant's: its X server's socket.
  std::string inside() const { return root + "/inside"; }    // /etc and the session's files.
};

// Everything a supervisor needs, resolved.
struct Launch {
  LaunchSpec spec;
  std::string home_folder;   // On the host.
  uint32_t uid = 0;          // Host user and group as whom it runs.
  bool change_user = false;  // Whether the supervisor, as root, has to become that user.
  std::vector<std::string> cgroup_folders;
};

Result<void> SaveLaunch(const DesktopFolder& folder, const Launch& launch);
Result<Launch> LoadLaunch(const DesktopFolder& folder);

Result<void> SaveStatus(const DesktopFolder& folder, const Status& status);
Result<Status> LoadStatus(const DesktopFolder& folder);

// Whether a supervisor holds the folder's lock now.
bool IsSupervised(const DesktopFolder& folder);

}  // namespace sluice::runtime
