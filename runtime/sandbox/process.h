// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

// Other people's programs: finding them, running them for a moment. Stateless, thread-safe.
namespace sluice::runtime {

// The program's path, looked for in the system's own folders (never in the caller's PATH). Fails
// with kFailedPrecondition and the command that installs it.
Result<std::string> FindProgram(std::string_view name);

// Runs argv[0] (a path) with no input and an empty environment but PATH, and waits. Its output is
// dropped. The exit status, 128 + signal when it was killed. Fails with kDeadlineExceeded (it is
// killed) or as fork and exec do.
Result<int> RunProgram(const std::vector<std::string>& argv, Duration at_most);

// As RunProgram, but what it writes to stderr is returned as the failure's message when its status
// is not 0.
Result<void> RunProgramOrExplain(const std::vector<std::string>& argv, Duration at_most);

}  // namespace sluice::runtime
