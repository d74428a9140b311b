// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/ledger.h"

// What the fleet's nodes are meant to come to hold, as computed outside this folder (targets/) from
// what is expected to be asked for. The core only reads it.
namespace sluice::scheduler {

// Room that is kept for one claim of a demand.
struct Berth {
  DemandIndex demand = 0;
  CardIndex card = kAnyCard;  // The card for it; kAnyCard for claims on no card or on several.

  static constexpr CardIndex kAnyCard = ~CardIndex{0};
  friend bool operator==(const Berth&, const Berth&) = default;
};

// By node, in the order in which berths of equal demand are used. Empty: no targets. Berths that do
// not fit beside what is held and the berths before them are ignored.
struct Targets {
  std::vector<std::vector<Berth>> by_node;

  bool empty() const { return by_node.empty(); }
};

}  // namespace sluice::scheduler
