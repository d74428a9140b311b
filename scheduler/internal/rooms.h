// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "scheduler/ledger.h"

namespace sluice::scheduler {

inline constexpr NodeIndex kNoNode = std::numeric_limits<NodeIndex>::max();

// How tight a node is for a demand: the memory left on the tightest card that takes it, or for
// whole cards, several, or none, the CPU left on the node; both before it is placed.
struct Room {
  int64_t left = 0;
  NodeIndex node = kNoNode;

  friend auto operator<=>(const Room&, const Room&) = default;
};
// nullopt: the demand does not fit the node.
std::optional<Room> RoomOn(const Ledger& ledger, DemandIndex demand, NodeIndex node);

// The tightest room in the fleet, by demand. Looks only at nodes that have changed since that
// demand was last asked about. One thread at a time; the ledger must outlive it.
class Rooms {
 public:
  explicit Rooms(const Ledger& ledger) : ledger_(ledger) {}

  // Whether any node but this one has room.
  bool Elsewhere(DemandIndex demand, NodeIndex but) {
    const Index& index = Of(demand);
    return index.rooms > (index.left[but] != kFull ? 1U : 0U);
  }
  // Of two rooms as tight, that on the node added first. Two nodes may be left out.
  std::optional<Room> Tightest(DemandIndex demand,
                               NodeIndex but = kNoNode,
                               NodeIndex and_but = kNoNode);

 private:
  static constexpr int64_t kFull = std::numeric_limits<int64_t>::max();

  struct Index {
    uint64_t seen = 0;           // Position in the ledger's log: changes from here on are unseen.
    size_t rooms = 0;            // Nodes that have room.
    std::vector<int64_t> left;   // By node; kFull: no room.
    std::vector<Room> of_block;  // The tightest of each block of nodes.
  };

  const Index& Of(DemandIndex demand) {
    if (indexes_.size() <= demand) indexes_.resize(ledger_.demands());
    Index& index = indexes_[demand];
    if (index.seen != ledger_.now() || index.left.size() != ledger_.nodes()) Refresh(demand, index);
    return index;
  }
  void Refresh(DemandIndex demand, Index& index) const;
  void Raise(Index& index, size_t block) const;
  static Room BestOf(const Index& index, size_t block, NodeIndex but, NodeIndex and_but);

  const Ledger& ledger_;
  std::vector<Index> indexes_;  // By demand.
};

}  // namespace sluice::scheduler
