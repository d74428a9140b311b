// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "sim/replay.h"

// What no scheduler can pass: CPU, main memory and cards of each type of machine in one sum, so
// that it does not matter where on them a claim lies. In percent of the fleet's cards.
namespace sluice::sim {

struct Bounds {
  // By arrived load: the most that can be held of the list scaled to that load, by whoever chooses
  // whom to serve.
  std::map<int, double> by_load;
  // The most that can be held before the first one is refused, by whoever refuses nobody that could
  // be served. The published protocol comes near to it, as small ones that come later add tenths.
  // Absent where the list has a request that fits no machine.
  std::optional<double> first_refusal;
};

// For a fleet without claims; the linear program of targets/, some twenty times. Fails as
// MakeTargets does.
Result<Bounds> BoundsOf(const TraceFleet& fleet, const std::vector<int>& loads_percent);

}  // namespace sluice::sim
