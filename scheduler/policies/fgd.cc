// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
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
    if (!fragments_ || !fragments_->Covers(ledger)) Prepare(ledger);
    if (ForOneCard(ledger, demand)) {
      const int64_t less = fragments_->LessAtBest(ledger, demand, node);
      return less == Fragments::kNone ? kNoFit : ScoreOf(less);
    }
    if (!ledger.Fits(demand, node)) return kNoFit;
    chosen_.node = node;
    chosen_.cards.clear();
    ChooseTightestCards(ledger, demand, chosen_);
    return ScoreOf(fragments_->Less(ledger, demand, chosen_));
  }

  bool ScoreSeesCards() const override { return true; }
  void Prefetch(NodeIndex node) const override {
    if (fragments_) fragments_->Prefetch(node);
  }

  // For a part of one card, the first card with the highest score.
  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    if (!ForOneCard(ledger, demand)) return ChooseTightestCards(ledger, demand, placement);
    const Score best = ScoreNode(ledger, demand, placement.node);
    const NodeState& node = ledger.node(placement.node);
    for (CardIndex card = node.first_card; card < node.first_card + node.cards; ++card) {
      if (!ledger.CardFits(demand, card)) continue;
      placement.cards.assign(1, card);
      if (ScoreOf(fragments_->Less(ledger, demand, placement)) == best) return;
    }
  }

 private:
  // Scores are looked up in steps of so many thousandths of a card, then put right by the limits.
  static constexpr int kStep = 32;
  static constexpr int kSteps = 16'000 / kStep;  // 8 cards less to 8 cards more.

  static bool ForOneCard(const Ledger& ledger, DemandIndex demand) {
    return ledger.demand(demand).count == 1 && !ledger.demand(demand).whole;
  }

  void Prepare(const Ledger& ledger) {
    fragments_.emplace(ledger, mix_);
    per_step_ = 1000.0 / kStep / fragments_->OneCard();
    for (int step = 0; step <= kSteps; ++step) {
      const double less = (step - kSteps / 2) / per_step_;
      at_step_[static_cast<size_t>(step)] = Sigmoid(static_cast<int64_t>(less) - 1);
    }
    // The least that gives each score.
    int64_t low = static_cast<int64_t>(-100 * fragments_->OneCard());
    for (Score score = 0; score <= 100; ++score) {
      int64_t high = static_cast<int64_t>(100 * fragments_->OneCard());
      while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        (Sigmoid(middle) >= score ? high : low) = Sigmoid(middle) >= score ? middle : middle + 1;
      }
      limits_[static_cast<size_t>(score)] = low;
    }
    limits_[101] = std::numeric_limits<int64_t>::max();
  }

  // 0 to 100: how many cards' worth of fragments the placement takes away, as a sigmoid.
  Score Sigmoid(int64_t less) const {
    const double cards = static_cast<double>(less) / fragments_->OneCard();
    return static_cast<Score>(100 / (1 + std::exp(-cards)));
  }

  // The same by table: in the index it is asked for every node that has changed.
  Score ScoreOf(int64_t less) const {
    const double step = static_cast<double>(less) * per_step_ + kSteps / 2;
    auto score =
        static_cast<size_t>(at_step_[static_cast<size_t>(std::clamp<double>(step, 0, kSteps))]);
    while (less < limits_[score] && score > 0) --score;
    while (less >= limits_[score + 1]) ++score;
    return static_cast<Score>(score);
  }

  Mix mix_;
  std::optional<Fragments> fragments_;
  double per_step_ = 0;
  std::array<Score, kSteps + 1> at_step_{};
  std::array<int64_t, 102> limits_{};
  Placement chosen_;  // Kept for its memory.
};

}  // namespace

std::unique_ptr<Policy> MakeFgd(Mix mix) {
  return std::make_unique<Fgd>(std::move(mix));
}

}  // namespace sluice::scheduler
