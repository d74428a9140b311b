// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/ledger.h"

// What the fleet's nodes are meant to come to hold, as computed outside this folder (targets/) from
// what is expected to be asked for. The core only reads it.
namespace sluice::scheduler {

// Room that is kept for one claim of a demand.
struct Slot {
  DemandIndex demand = 0;
  CardIndex card = kAnyCard;  // The card for it; kAnyCard for claims on no card or on several.

  static constexpr CardIndex kAnyCard = ~CardIndex{0};
  friend bool operator==(const Slot&, const Slot&) = default;
};

// By node, in the order in which slots of equal demand are used. Empty: no targets. Slots that do
// not fit beside what is held and the slots before them are ignored.
struct Targets {
  std::vector<std::vector<Slot>> by_node;

  bool empty() const { return by_node.empty(); }
};

}  // namespace sluice::scheduler
