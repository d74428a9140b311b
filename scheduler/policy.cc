// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy.h"

#include <algorithm>

namespace sluice::scheduler {

NodeIndex Policy::ChooseType(const Ledger&, DemandIndex, std::span<const TypeBest> bests) {
  return BestType(bests);
}

NodeIndex BestType(std::span<const TypeBest> bests) {
  const TypeBest* best = &bests.front();
  for (const TypeBest& other : bests) {
    if (other.score > best->score || (other.score == best->score && other.node < best->node)) {
      best = &other;
    }
  }
  return best->node;
}

void ChooseFirstCards(const Ledger& ledger, DemandIndex demand, Placement& placement) {
  const auto count = static_cast<size_t>(ledger.demand(demand).count);
  const NodeState& node = ledger.node(placement.node);
  for (CardIndex card = node.first_card; placement.cards.size() < count; ++card) {
    if (ledger.CardFits(demand, card)) placement.cards.push_back(card);
  }
}

void ChooseTightestCards(const Ledger& ledger, DemandIndex demand, Placement& placement) {
  const Demand& asked = ledger.demand(demand);
  if (asked.whole || asked.count == 0) return ChooseFirstCards(ledger, demand, placement);
  const auto count = static_cast<size_t>(asked.count);
  const auto tighter = [&](CardIndex a, CardIndex b) {
    return ledger.card(a).memory_free < ledger.card(b).memory_free;
  };
  const NodeState& node = ledger.node(placement.node);
  // Kept sorted and short: a card goes in where it belongs, and the last one drops out.
  std::vector<CardIndex>& chosen = placement.cards;
  for (CardIndex card = node.first_card; card < node.first_card + node.cards; ++card) {
    if (!ledger.CardFits(demand, card)) continue;
    if (chosen.size() == count && !tighter(card, chosen.back())) continue;
    chosen.insert(std::upper_bound(chosen.begin(), chosen.end(), card, tighter), card);
    if (chosen.size() > count) chosen.pop_back();
  }
}

}  // namespace sluice::scheduler
