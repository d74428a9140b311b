// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "scheduler/ledger.h"

// Room for a claim that fits nowhere, by moving others that have declared that they can be moved.
namespace sluice::scheduler {

struct Move {
  BindingIndex binding = 0;
  Placement to;
};

struct Rescue {
  // First all of them are taken away, then the demand is placed, then each goes where it is to go.
  std::vector<Move> moves;
  Placement placement;  // Of the demand.
};

struct RescueOptions {
  int moves_max = 1;                          // 1 or 2 claims are disturbed for one.
  std::function<bool(BindingIndex)> movable;  // What the claim's owner has declared.
};

// The cheapest way: fewest moves, then least card memory moved, then the node that was added first;
// what is moved goes to the tightest room that takes it. nullopt if there is none. Looks at every
// node, so it is for claims that would otherwise wait, not for each decision.
std::optional<Rescue> FindRescue(const Ledger& ledger,
                                 DemandIndex demand,
                                 const RescueOptions& options);

}  // namespace sluice::scheduler
