// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "scheduler/ledger.h"

// Room for a claim that fits nowhere, by moving others that have declared that they can be moved.
namespace sluice::scheduler {

struct Move {
  BindingIndex binding = 0;
  Placement to;

  friend bool operator==(const Move&, const Move&) = default;
};

struct Rescue {
  // First all of them are taken away, then the demand is placed, then each goes where it is to go.
  std::vector<Move> moves;
  Placement placement;  // Of the demand.

  friend bool operator==(const Rescue&, const Rescue&) = default;
};

class RescueSearch;

// Looks for rescues beside a ledger and keeps what it has found out: asked again, it looks at the
// nodes that have changed. Memory grows with nodes times the demands that were asked for or might
// be moved. One thread at a time; the ledger must outlive it.
class Rescuer {
 public:
  // `movable`: what a claim's owner has declared. Must not change while the claim is bound.
  Rescuer(const Ledger& ledger, std::function<bool(BindingIndex)> movable);
  ~Rescuer();

  // The cheapest way: fewest moves, then least card memory moved, then the node that was added
  // first, then the binding with the lowest number; what is moved goes to the tightest room that
  // takes it, one after the other in the order of their numbers. nullopt if there is none.
  // `moves_max`: 1 or 2 claims of one node are disturbed for one.
  std::optional<Rescue> Find(DemandIndex demand, int moves_max);

 private:
  std::unique_ptr<RescueSearch> search_;
};

struct RescueOptions {
  int moves_max = 1;
  std::function<bool(BindingIndex)> movable;
};

// The same answer for once. Looks at every node.
std::optional<Rescue> FindRescue(const Ledger& ledger,
                                 DemandIndex demand,
                                 const RescueOptions& options);

}  // namespace sluice::scheduler
