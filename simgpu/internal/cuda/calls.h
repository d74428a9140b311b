// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace sluice::simgpu {

// One exported call: the name that cuGetProcAddress is asked for, the API version that brought this
// form of it, and whether stream 0 means the calling thread's own stream.
struct CallRow {
  std::string_view name;
  int version;
  bool per_thread;
  std::string_view symbol;
  void (*address)();
};

// Every row of calls.def, sorted by name.
std::span<const CallRow> Calls();

}  // namespace sluice::simgpu
