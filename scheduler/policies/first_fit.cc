// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class FirstFit final : public Policy {
 public:
  std::string_view name() const override { return "first_fit"; }
  Score ScoreNode(const Ledger&, DemandIndex, NodeIndex) override { return 0; }
  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    ChooseFirstCards(ledger, demand, placement);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeFirstFit() {
  return std::make_unique<FirstFit>();
}

}  // namespace sluice::scheduler
