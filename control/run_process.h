// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace sluice::control {

// When the process was started, in clock ticks since boot: field 22 of /proc/PID/stat. With the pid
// it names one process for ever. nullopt: there is no such process, or it is a zombie.
std::optional<int64_t> ProcessStart(int64_t pid);

}  // namespace sluice::control
