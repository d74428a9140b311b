// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "device/backend.h"

// NVIDIA cards through NVML, real or simulated.
namespace sluice::device::nvidia {

struct Options {
  // What to dlopen: the driver's library by name, or a file (the simulated GPU's).
  std::string library = "libnvidia-ml.so.1";
  // The simulated GPU's state folder; empty for real cards. When set, `library` must be the
  // simulated one, and every card is marked simulated.
  std::string simulated_state;
  // Stamps samples; null: the system's clock. Must outlive the backend.
  const Clock* clock = nullptr;
};

// Loads the library and starts it. Fails with kUnavailable (no library, no driver loaded) or
// kFailedPrecondition (the library is too old: a call that cannot be done without is missing). The
// library stays loaded until the process ends.
Result<std::unique_ptr<Backend>> Open(const Options& options);

}  // namespace sluice::device::nvidia
