// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "runtime/sandbox/files.h"
#include "runtime/sandbox/launch.h"
#include "runtime/sandbox/limits.h"
#include "runtime/sandbox/network.h"

namespace sluice::runtime {

// The processes of one desktop. One thread at a time.
struct Tenant {
  pid_t pid = 0;        // bwrap; its death is the death of everything inside.
  Fd orders;            // "stop\n" asks the session to end.
  Fd output;            // What its programs write to stdout and stderr; non-blocking.
  Outbound outbound;    // pid 0: no network.
  std::string network;  // As Status::network.
};

// Starts the desktop: becomes the tenant's user, makes the network, enters the sandbox. Every
// process of it dies with the calling thread's process. Requires: a process with one thread.
// Fails with the step that failed; nothing is left running then.
Result<Tenant> StartTenant(const DesktopFolder& folder,
                           const Launch& launch,
                           const ControlGroup& group);

}  // namespace sluice::runtime
