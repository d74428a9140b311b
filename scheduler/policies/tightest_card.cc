// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

// What fits into one score: MiB up to 1 TiB, holders up to 2,047.
constexpr int64_t kMibMax = (int64_t{1} << 20) - 1;
constexpr int32_t kHoldersMax = (1 << 11) - 1;

class TightestCard final : public Policy {
 public:
  std::string_view name() const override { return "tightest_card"; }
  bool ScoreSeesCards() const override { return true; }

  // By the node's best card. A demand without cards is not choosy.
  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    const NodeState& state = ledger.node(node);
    const int wanted = ledger.demand(demand).count;
    if (wanted == 0) return 0;
    int fitting = 0;
    Score best = kNoFit;
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      if (!ledger.CardFits(demand, card)) continue;
      ++fitting;
      best = std::max(best, ScoreOf(ledger.card(card)));
    }
    return fitting >= wanted ? best : kNoFit;
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    const NodeState& state = ledger.node(placement.node);
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      if (ledger.CardFits(demand, card)) placement.cards.push_back(card);
    }
    std::ranges::sort(placement.cards, {}, [&](CardIndex card) {
      return std::tuple(ledger.card(card).memory_free, ledger.card(card).holders, card);
    });
    placement.cards.resize(static_cast<size_t>(ledger.demand(demand).count));
  }

 private:
  static Score ScoreOf(const CardState& card) {
    const auto mib = static_cast<Score>(std::clamp<int64_t>(card.memory_free >> 20, 0, kMibMax));
    return -(mib * (kHoldersMax + 1) + std::min(card.holders, kHoldersMax));
  }
};

}  // namespace

std::unique_ptr<Policy> MakeTightestCard() {
  return std::make_unique<TightestCard>();
}

}  // namespace sluice::scheduler
