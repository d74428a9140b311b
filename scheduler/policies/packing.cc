// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class Packing final : public Policy {
 public:
  std::string_view name() const override { return "packing"; }

  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    if (ledger.demand(demand).count == 0) return 0;
    const auto cards = ledger.CardsOf(node);
    const auto unused = static_cast<Score>(
        std::ranges::count_if(cards, [](const CardState& card) { return card.holders == 0; }));
    if (unused == static_cast<Score>(cards.size())) return std::max(33 - unused, unused);
    placement_.node = node;
    placement_.cards.clear();
    ChooseTightestCards(ledger, demand, placement_);
    Score opened = 0;
    Score left_percent = 0;
    for (const CardIndex card : placement_.cards) {
      opened += ledger.card(card).holders == 0 ? 1 : 0;
      left_percent += ledger.card(card).memory_millis * 100 / 1000;
    }
    if (opened > 0) return std::max(50 - opened, 33);
    return std::max(100 - left_percent / 10, 50);
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    ChooseTightestCards(ledger, demand, placement);
  }

 private:
  Placement placement_;  // Kept for its memory.
};

}  // namespace

std::unique_ptr<Policy> MakePacking() {
  return std::make_unique<Packing>();
}

}  // namespace sluice::scheduler
