// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/claim.h"
#include "scheduler/consolidate.h"
#include "scheduler/scheduler.h"

// Rescuer (rescue.h) for rows of cards, as control and the replay in time have them.
namespace sluice::scheduler {

struct RescuePlan {
  // First all of them leave their cards, then the request is placed, then each goes where it is to
  // go.
  std::vector<Relocation> moves;
  std::vector<Allocation> placement;  // Of the request.
};

// Room for a request that fits nowhere, by moving one or two claims (`moves_max`) of one machine:
// fewest moves, then least memory moved, then the machine with the lowest id, then who is named
// first in `movable`. A claim is left where it is when it does not hold as many shares as it asked
// for, or not all on one machine. nullopt: there is no such way, or it would pass the floor or the
// ceiling of the snapshot's rules (then no dearer one is looked for).
std::optional<RescuePlan> PlanRescue(const Snapshot& snapshot,
                                     const ClaimRequest& request,
                                     std::span<const Movable> movable,
                                     int moves_max);

}  // namespace sluice::scheduler
