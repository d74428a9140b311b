// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/policies/free_room.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class Clustering final : public Policy {
 public:
  std::string_view name() const override { return "clustering"; }

  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    if (ledger.demand(demand).count == 0) return 0;
    const int64_t fullness =
        25 * (kLargestCardMillis - CardMillisFree(ledger, node)) / kLargestCardMillis;
    const HoldShapes& held = ledger.shapes(node);
    const auto sorts = std::ranges::count_if(held, [](uint16_t claims) { return claims > 0; });
    const bool same = held[ledger.ShapeOf(demand)] > 0;
    // Of its own kind alone, of its own kind too, idle, of others.
    const int64_t rank = same ? (sorts == 1 ? 75 : 50) : (sorts == 0 ? 25 : 0);
    return static_cast<Score>(rank + fullness);
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    ChooseTightestCards(ledger, demand, placement);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeClustering() {
  return std::make_unique<Clustering>();
}

}  // namespace sluice::scheduler
