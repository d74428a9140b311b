// SPDX-License-Identifier: Apache-2.0
#pragma once

// What `sluice gpu` says to a program inside a share.
namespace sluice::cli {

// Limit, use and processes of the share that this process runs in. Returns an exit code.
int ShowShare(bool json);

// Allocates, frees and launches by the driver API, and reports; on a real card too. Returns an
// exit code: kOk when every step passed.
int TestDriver(bool json);

}  // namespace sluice::cli
