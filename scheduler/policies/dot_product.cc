// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policies/free_room.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class DotProduct final : public Policy {
 public:
  std::string_view name() const override { return "dot_product"; }

  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    const auto cpu_asked = static_cast<double>(ledger.demand(demand).cpu_millis);
    const auto cards_free = static_cast<double>(CardMillisFree(ledger, node));
    const auto cards_asked = static_cast<double>(CardMillisAsked(ledger, demand, node));
    const double cpu = CpuFree(ledger, node) / kLargestCpuMillis * (cpu_asked / kLargestCpuMillis);
    const double cards = cards_free / kLargestCardMillis * (cards_asked / kLargestCardMillis);
    return static_cast<Score>(100 * (1 - (cpu + cards) / 2));
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    ChooseTightestCards(ledger, demand, placement);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeDotProduct() {
  return std::make_unique<DotProduct>();
}

}  // namespace sluice::scheduler
