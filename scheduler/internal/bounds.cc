// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/bounds.h"

#include <algorithm>
#include <functional>
#include <tuple>

namespace sluice::scheduler::internal {

CardCounts CountsOf(std::span<const Card> cards) {
  CardCounts counts;
  for (const Card& card : cards) {
    const bool whole = card.wholes > 0 || card.kept_as == Use::kWhole;
    const bool carries = card.shares > card.wholes || card.kept_as == Use::kShares;
    counts.left += card.open && !whole ? 1 : 0;
    counts.carrying += carries ? 1 : 0;
  }
  return counts;
}

int BudgetOf(const CardBounds& bounds, const CardCounts& counts, bool whole) {
  const int bound = whole ? bounds.floor : bounds.ceiling;
  if (bound == 0) return kAnyNumber;
  return std::max(whole ? counts.left - bound : bound - counts.carrying, 0);
}

int BudgetFor(std::span<const Card> cards, bool whole) {
  if (cards.empty() || cards[0].bounds == CardBounds()) return kAnyNumber;
  return BudgetOf(cards[0].bounds, CountsOf(cards), whole);
}

int BudgetEver(std::span<const Card> cards, bool whole) {
  if (cards.empty()) return kAnyNumber;
  return BudgetOf(cards[0].bounds, {.left = static_cast<int>(cards.size())}, whole);
}

std::vector<bool> ClosedTo(std::span<const Card> cards, const ClaimRequest& request) {
  const int budget = BudgetFor(cards, request.whole);
  if (budget >= request.count) return {};
  const Demand demand = ToDemand(request);
  const std::vector<Need> needs = NeedsOf(cards, demand);
  // The smallest of those that suffice are taken first; of the others, the nearest to it.
  std::vector<std::tuple<bool, Bytes, std::reference_wrapper<const GpuId>, size_t>> idle;
  for (size_t i = 0; i < cards.size(); ++i) {
    const Card& card = cards[i];
    if (card.shares > 0 || !card.open || card.kept) continue;
    const bool fits = NeedFits(needs[card.like], StateOf(card)) && TakesName(demand, card.gpu->id);
    const Bytes memory = card.gpu->memory;
    idle.emplace_back(!fits, fits ? memory : Bytes(0) - memory, std::cref(card.gpu->id), i);
  }
  std::ranges::sort(idle);
  std::vector<bool> closed(cards.size(), false);
  std::vector<int> taken(cards.size(), 0);  // By the machine's first card.
  for (const auto& [misfit, memory, id, i] : idle) {
    closed[i] = ++taken[cards[i].mate] > budget;
  }
  return closed;
}

}  // namespace sluice::scheduler::internal
