// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/agent.h"
#include "base/result.h"

namespace sluice::runtime {

// In a mount namespace of the caller's own: puts the share's mounts, /etc/ld.so.preload and
// /etc/ld.so.cache in place. /etc and /run become folders in memory that show every entry of the
// real ones; so the machine's own are not touched, whether or not they have such files.
// Requires: CAP_SYS_ADMIN in the namespace.
Result<void> ComposeShare(const agent::PreparedShare& share);

}  // namespace sluice::runtime
