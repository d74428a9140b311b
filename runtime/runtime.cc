// SPDX-License-Identifier: Apache-2.0
#include "runtime/runtime.h"

#include <array>
#include <utility>

namespace sluice::runtime {

std::string_view ToString(Phase phase) {
  static constexpr std::array<std::pair<Phase, std::string_view>, 6> kNames = {{
      {Phase::kAbsent, "absent"},
      {Phase::kPrepared, "prepared"},
      {Phase::kStarting, "starting"},
      {Phase::kDisplayUp, "display_up"},
      {Phase::kRunning, "running"},
      {Phase::kExited, "exited"},
  }};
  for (const auto& [value, name] : kNames) {
    if (value == phase) return name;
  }
  return "absent";
}

}  // namespace sluice::runtime
