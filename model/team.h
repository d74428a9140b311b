// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

// People who share a part of the fleet. Users without a team have nothing guaranteed and no limit
// but their own quota.
struct Team {
  TeamId id;
  std::string name;  // Cleaned by CleanDisplayText; unique.
  // GPU memory that its claims get before others who borrow; what it does not use is lent.
  Bytes memory_guaranteed;
  Bytes memory_max;  // It never holds more, guaranteed and borrowed together; 0: no limit.
  TimePoint created_at;

  friend bool operator==(const Team&, const Team&) = default;
};

}  // namespace sluice
