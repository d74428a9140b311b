// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class TightestCard final : public Policy {
 public:
  std::string_view name() const override { return "tightest_card"; }

  // By the free memory of the node's tightest fitting card, in MiB, less is better.
  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    int64_t least = kUnlimited;
    const NodeState& state = ledger.node(node);
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      if (ledger.CardFits(demand, card)) least = std::min(least, ledger.card(card).memory_free);
    }
    return static_cast<Score>(-std::min<int64_t>(least >> 20, 1 << 30));
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    ChooseTightestCards(ledger, demand, placement);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeTightestCard() {
  return std::make_unique<TightestCard>();
}

}  // namespace sluice::scheduler
