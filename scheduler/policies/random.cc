// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

// The finishing steps of splitmix64: every input bit reaches every output bit.
uint64_t Mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

class RandomChoice final : public Policy {
 public:
  explicit RandomChoice(uint64_t seed) : seed_(seed) {}
  std::string_view name() const override { return "random"; }

  Score ScoreNode(const Ledger&, DemandIndex, NodeIndex node) override { return Draw(node); }

  // The drawn card first, again as often as more are asked for.
  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    if (ledger.demand(demand).whole) return ChooseFirstCards(ledger, demand, placement);
    const NodeState& node = ledger.node(placement.node);
    for (int missing = ledger.demand(demand).count; missing > 0; --missing) {
      CardIndex best = 0;
      Score drawn = kNoFit;
      for (CardIndex card = node.first_card; card < node.first_card + node.cards; ++card) {
        const bool taken = std::count(placement.cards.begin(), placement.cards.end(), card) > 0;
        if (taken || !ledger.CardFits(demand, card) || Draw(~card) <= drawn) continue;
        best = card;
        drawn = Draw(~card);
      }
      placement.cards.push_back(best);
    }
  }

  void OnPlaced(const Ledger&, DemandIndex, const Placement&) override { ++decision_; }
  bool ScoresKeep() const override { return false; }

 private:
  // 0 or more.
  Score Draw(uint32_t of) const {
    const uint64_t key = (decision_ << 32) | of;
    return static_cast<Score>(Mixed(Mixed(seed_ + 0x9e3779b97f4a7c15U) ^ key) >> 33);
  }

  uint64_t seed_;
  uint64_t decision_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeRandom(uint64_t seed) {
  return std::make_unique<RandomChoice>(seed);
}

}  // namespace sluice::scheduler
