// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/agent.h"

namespace sluice::agent {

// The hardened mode: puts the libraries of the folder `fronts` where the share would find the
// driver's, and the driver's behind them, at /run/sluice/driver. Libraries that the share's folders
// do not hold stay away. Fails with kUnavailable when a front is missing.
// Requires: `prepared` has its library folders and their mounts.
Result<void> PutFronts(const std::string& fronts, PreparedShare& prepared);

}  // namespace sluice::agent
