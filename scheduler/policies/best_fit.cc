// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policies/free_room.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class BestFit final : public Policy {
 public:
  std::string_view name() const override { return "best_fit"; }

  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    const double cpu =
        CpuFree(ledger, node) - static_cast<double>(ledger.demand(demand).cpu_millis);
    const auto cards =
        static_cast<double>(CardMillisFree(ledger, node) - CardMillisAsked(ledger, demand, node));
    const double left = cpu / kLargestCpuMillis * 0.5 + cards / kLargestCardMillis * 0.5;
    return static_cast<Score>((1.0 - left) * 100);
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    ChooseTightestCards(ledger, demand, placement);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeBestFit() {
  return std::make_unique<BestFit>();
}

}  // namespace sluice::scheduler
