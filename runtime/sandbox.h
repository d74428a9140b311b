// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/runtime.h"

namespace sluice::runtime {

struct SandboxOptions {
  // Homes and the list of host users live here: <state>/homes, <state>/tenants.json.
  std::string state_folder;

  // Desktops live here, one folder each, with their sockets; gone after a reboot is fine. Short:
  // a socket's path has 107 characters at most.
  std::string volatile_folder;

  // The supervisor's program. Empty: `sluice-supervise` beside the running program.
  std::string supervisor;

  // Control groups that the operator has handed to us, each one writable: one folder (v2), or one
  // per controller (v1). Nothing outside them is read or changed. Empty: limits are rlimits.
  std::vector<std::string> cgroup_folders;

  // Root only: host users from which each home gets one. Outside of what Debian and systemd
  // give away. Fewer than there will be homes: Prepare fails when they are used up.
  uint32_t uid_first = 0x70000000;
  uint32_t uid_count = 60000;
};

// Desktops as bubblewrap sandboxes on this machine. Any number of processes may open the same
// folders at the same time or one after another: all of them see, stop and attach to the same
// desktops. Fails with kInvalidArgument for a folder whose sockets' paths would be too long,
// kPermissionDenied when a folder cannot be written, kNotFound when the supervisor's program is
// not there.
Result<std::unique_ptr<Runtime>> OpenSandbox(SandboxOptions options);

// Of each program that a desktop needs and this machine lacks: what it is and the command that
// installs it.
std::vector<std::string> MissingPrograms();

// The program `sluice-supervise FOLDER`: keeps one desktop, whose folder it is given, until it
// ends. Returns to its caller when the desktop has been started (0) or has failed to (1, the
// reason on stderr); the keeper itself goes on in the background, in its own session.
int SuperviseMain(int argc, char** argv);

}  // namespace sluice::runtime
