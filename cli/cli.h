// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::cli {

// What a verb's end means to a script. `sluice run` passes the command's own code and has 125 for
// its own failures.
enum ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kNotFound = 3,
  kRefused = 4,      // The server understood and said no: rights, quota, state, no such share.
  kUnreachable = 5,  // No instance answers.
  kNotSignedIn = 6,  // The token is missing or wrong.
  kTimedOut = 7,     // `wait` gave up.
  kRunFailed = 125,  // `run`: Sluice itself failed; the command was not started.
};

// The program `sluice`: parses, does what the verb says, returns the exit code.
int Main(int argc, char** argv);

}  // namespace sluice::cli
