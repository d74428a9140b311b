// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace sluice::runtime {

// What one desktop may use of the machine.
struct MachineLimits {
  int cpu_percent_max = 0;  // Of one core; 0: no limit.
  Bytes memory_max;         // 0: no limit.
};

// One desktop's control groups, inside folders that were handed to us. Version 2 has one folder for
// everything, version 1 one per controller; which it is, is seen from the files in it. Nothing
// outside these folders is touched. One thread at a time.
class ControlGroup {
 public:
  // Makes a group `name` in each folder and writes the limits. With no folders: an empty group
  // that limits nothing. Fails with kFailedPrecondition for a folder that is no control group,
  // kPermissionDenied for one that cannot be written, or when no folder has the controller that a
  // limit needs.
  static Result<ControlGroup> Create(const std::vector<std::string>& folders,
                                     const std::string& name,
                                     const MachineLimits& limits);

  // Moves the process in. Whatever it starts later is in too.
  Result<void> Add(pid_t pid) const;

  // Memory that the group uses now; 0 when no controller says.
  Bytes MemoryUsed() const;

  // Removes the groups; they must be empty of processes by now.
  void Remove() const;

  // "cgroup v2", "cgroup v1", or "" for an empty group.
  std::string_view Kind() const;

 private:
  std::vector<std::string> groups_;
  bool version_2_ = false;
};

// Limits of the calling process and what it starts, where no control group is: data memory per
// process, no core files, and, for a user of its own, a number of processes. There is no rlimit
// for a share of the processor.
Result<void> ApplyRlimits(const MachineLimits& limits, bool own_user);

}  // namespace sluice::runtime
