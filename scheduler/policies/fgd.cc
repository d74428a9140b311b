// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "scheduler/fragment.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class Fgd final : public Policy {
 public:
  explicit Fgd(Mix mix) : mix_(std::move(mix)) {}
  std::string_view name() const override { return "fgd"; }

  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    return Best(ledger, demand, node).score;
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    const Demand& asked = ledger.demand(demand);
    if (asked.whole || asked.count != 1) return ChooseTightestCards(ledger, demand, placement);
    placement.cards.push_back(Best(ledger, demand, placement.node).card);
  }

 private:
  struct Found {
    Score score = kNoFit;
    CardIndex card = 0;
  };

  Found Best(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
    if (!fragments_ || fragments_->types() != ledger.types()) fragments_.emplace(ledger, mix_);
    const int64_t before = fragments_->Now(ledger, node);
    const Demand& asked = ledger.demand(demand);
    if (asked.whole || asked.count != 1) {
      chosen_.node = node;
      chosen_.cards.clear();
      ChooseTightestCards(ledger, demand, chosen_);
      return {ScoreOf(before - fragments_->After(ledger, demand, chosen_)), 0};
    }
    Found best;
    const NodeState& state = ledger.node(node);
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      if (!ledger.CardFits(demand, card)) continue;
      chosen_.node = node;
      chosen_.cards.assign(1, card);
      const Score score = ScoreOf(before - fragments_->After(ledger, demand, chosen_));
      if (score > best.score) best = {score, card};
    }
    return best;
  }

  // 0 to 100: a sigmoid of how many cards' worth of fragments the placement takes away.
  Score ScoreOf(int64_t taken_away) const {
    const double cards = static_cast<double>(taken_away) / fragments_->OneCard();
    return static_cast<Score>(100 / (1 + std::exp(-cards)));
  }

  Mix mix_;
  std::optional<Fragments> fragments_;
  Placement chosen_;
};

}  // namespace

std::unique_ptr<Policy> MakeFgd(Mix mix) {
  return std::make_unique<Fgd>(std::move(mix));
}

}  // namespace sluice::scheduler
