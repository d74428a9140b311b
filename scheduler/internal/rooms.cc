// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/rooms.h"

#include <algorithm>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

constexpr size_t kBlock = 32;
}  // namespace

std::optional<Room> RoomOn(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
  if (!ledger.Fits(demand, node)) return std::nullopt;
  const Demand& asked = ledger.demand(demand);
  if (asked.count != 1 || asked.whole) return Room{ledger.node(node).cpu_free, node};
  int64_t least = std::numeric_limits<int64_t>::max();
  const NodeState& state = ledger.node(node);
  for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
    if (ledger.CardFits(demand, card)) least = std::min(least, ledger.card(card).memory_free);
  }
  return Room{least, node};
}

std::optional<Room> Rooms::Tightest(DemandIndex demand, NodeIndex but, NodeIndex and_but) {
  const Index& index = Of(demand);
  Room best{kFull, kNoNode};
  for (size_t block = 0; block < index.of_block.size(); ++block) {
    const bool without = but / kBlock == block || and_but / kBlock == block;
    best = std::min(best, without ? BestOf(index, block, but, and_but) : index.of_block[block]);
  }
  return best.left == kFull ? std::nullopt : std::optional(best);
}

void Rooms::Refresh(DemandIndex demand, Index& index) const {
  const auto left_on = [&](NodeIndex node) {
    const auto room = RoomOn(ledger_, demand, node);
    return room ? room->left : kFull;
  };
  if (index.left.size() != ledger_.nodes() || index.seen < ledger_.kept_from()) {
    index = {};
    for (NodeIndex node = 0; node < ledger_.nodes(); ++node) index.left.push_back(left_on(node));
    index.rooms = ledger_.nodes() - static_cast<size_t>(std::ranges::count(index.left, kFull));
    index.of_block.resize((ledger_.nodes() + kBlock - 1) / kBlock);
    for (size_t block = 0; block < index.of_block.size(); ++block) Raise(index, block);
  } else {
    uint64_t at = index.seen;
    for (const NodeIndex node : ledger_.ChangesSince(index.seen)) {
      // Only a node's last change counts.
      if (ledger_.node(node).changed_at != at++) continue;
      index.rooms -= index.left[node] != kFull ? 1U : 0U;
      index.left[node] = left_on(node);
      index.rooms += index.left[node] != kFull ? 1U : 0U;
      Raise(index, node / kBlock);
    }
  }
  index.seen = ledger_.now();
}

void Rooms::Raise(Index& index, size_t block) const {
  index.of_block[block] = BestOf(index, block, kNoNode, kNoNode);
}

Room Rooms::BestOf(const Index& index, size_t block, NodeIndex but, NodeIndex and_but) {
  Room best{kFull, kNoNode};
  const size_t end = std::min(index.left.size(), (block + 1) * kBlock);
  for (size_t node = block * kBlock; node < end; ++node) {
    const auto number = static_cast<NodeIndex>(node);
    if (number == but || number == and_but || index.left[node] >= best.left) continue;
    best = {index.left[node], number};
  }
  return best;
}

}  // namespace sluice::scheduler
