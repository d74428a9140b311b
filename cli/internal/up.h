// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "instance/instance.h"

namespace sluice::cli {

// Starts the instance, says where it is, and keeps it until a signal ends it. Returns an exit code.
int Up(const instance::InstanceOptions& options);

}  // namespace sluice::cli
