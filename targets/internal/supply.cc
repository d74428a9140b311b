// SPDX-License-Identifier: Apache-2.0
#include "targets/internal/supply.h"

#include <algorithm>
#include <tuple>

namespace sluice::targets {
namespace {

using scheduler::CardState;
using scheduler::Demand;
using scheduler::Ledger;
using scheduler::Need;
using scheduler::NodeIndex;
using scheduler::NodeState;
using scheduler::NodeType;
using scheduler::TypeIndex;

void AddNode(const Ledger& ledger, NodeIndex node, Supply& supply) {
  const NodeState& state = ledger.node(node);
  supply.nodes.push_back(node);
  supply.cores_free += static_cast<double>(std::max<int64_t>(state.cpu_free, 0)) / 1e3;
  supply.memory_gib_free +=
      static_cast<double>(std::max<int64_t>(state.memory_free, 0)) / static_cast<double>(1 << 30);
  for (const CardState& card : ledger.CardsOf(node)) {
    const CardGroup group{
        {card.memory_millis, std::max(card.compute_free, 0)}, card.holders == 0, 1};
    if (!card.open || card.slots_free < 1 || (group.room.memory == 0 && !group.unheld)) continue;
    const auto same = std::ranges::find_if(supply.groups, [&](const CardGroup& other) {
      return other.room == group.room && other.unheld == group.unheld;
    });
    if (same == supply.groups.end()) {
      supply.groups.push_back(group);
    } else {
      ++same->cards;
    }
  }
}

void AddDemands(const Ledger& ledger,
                const std::vector<Expected>& expected,
                TypeIndex type,
                Supply& supply) {
  for (const Expected& each : expected) {
    const Demand& demand = ledger.demand(each.demand);
    const bool planned =
        !ledger.NamesCards(each.demand) && each.count > 0 && (demand.count <= 1 || demand.whole);
    const bool takes = planned && ledger.FitsEmpty(each.demand, type);
    int size = -1;
    if (takes && IsShare(demand)) {
      const Need& need = ledger.NeedOf(each.demand, supply.kind);
      const Extent extent{std::max(need.memory_millis, 1), need.compute};
      const auto same = std::ranges::find(supply.sizes, extent);
      size = static_cast<int>(same - supply.sizes.begin());
      if (same == supply.sizes.end()) supply.sizes.push_back(extent);
    }
    supply.takes.push_back(takes);
    supply.size_of.push_back(size);
  }
}

using Describing = std::tuple<int64_t, Bytes, int, std::vector<scheduler::CardKind>>;
Describing Description(const Ledger& ledger, TypeIndex index) {
  const NodeType& type = ledger.type(index);
  std::vector<scheduler::CardKind> kinds;
  for (const scheduler::KindIndex kind : type.kinds) kinds.push_back(ledger.kind(kind));
  return {type.cpu_millis, type.memory, type.slots, std::move(kinds)};
}

}  // namespace

std::vector<Supply> SuppliesOf(const Ledger& ledger, const std::vector<Expected>& expected) {
  std::vector<Supply> by_type(ledger.types());
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    if (ledger.node(node).open) AddNode(ledger, node, by_type[ledger.node(node).type]);
  }
  std::vector<Supply> supplies;
  for (TypeIndex index = 0; index < ledger.types(); ++index) {
    const NodeType& type = ledger.type(index);
    Supply& supply = by_type[index];
    const bool mixed =
        std::ranges::adjacent_find(type.kinds, std::ranges::not_equal_to()) != type.kinds.end();
    const bool places = std::ranges::any_of(type.kinds, [&](scheduler::KindIndex kind) {
      return scheduler::HasPlaces(ledger.kind(kind).cut);
    });
    if (supply.nodes.empty() || mixed || places) continue;
    supply.type = index;
    if (!type.kinds.empty()) supply.kind = type.kinds.front();
    if (type.cpu_millis >= scheduler::kUnlimited) supply.cores_free = -1;
    if (type.memory.value() >= scheduler::kUnlimited) supply.memory_gib_free = -1;
    std::ranges::stable_sort(supply.groups, [](const CardGroup& a, const CardGroup& b) {
      return a.unheld && !b.unheld;
    });
    AddDemands(ledger, expected, index, supply);
    supplies.push_back(std::move(supply));
  }
  // By what they are and not by when their first node was added: of several best answers of the
  // program it is then always the same one that is found, and what was rehearsed is what is used.
  std::ranges::stable_sort(supplies, [&](const Supply& a, const Supply& b) {
    return Description(ledger, a.type) < Description(ledger, b.type);
  });
  return supplies;
}

int64_t WorthMillis(const Ledger& ledger, scheduler::DemandIndex index) {
  const Demand& demand = ledger.demand(index);
  int32_t millis = 0;
  for (scheduler::KindIndex kind = 0; kind < ledger.kinds(); ++kind) {
    const Need& need = ledger.NeedOf(index, kind);
    if (need.admitted) millis = std::max(millis, need.memory_millis);
  }
  return int64_t{millis} * demand.count;
}

}  // namespace sluice::targets
