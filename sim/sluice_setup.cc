// SPDX-License-Identifier: Apache-2.0
#include "sim/sluice_setup.h"

#include <map>
#include <utility>

#include "sim/coarse.h"

namespace sluice::sim {

scheduler::Mix WholeMix(const TraceFleet& fleet) {
  std::map<scheduler::DemandIndex, int64_t> counts;
  for (const scheduler::DemandIndex demand : fleet.demand_of) ++counts[demand];
  return {{counts.begin(), counts.end()}};
}

targets::Choice ChooseTargets(const TraceFleet& fleet) {
  targets::Rehearsal rehearsal;
  rehearsal.fgd_mix = fleet.mix;
  return targets::Rehearse(fleet.ledger, Coarse(fleet.ledger, WholeMix(fleet)), rehearsal);
}

Result<std::unique_ptr<scheduler::Policy>> MakeSluicePolicy(const TraceFleet& fleet,
                                                            const SluiceSetup& setup) {
  scheduler::Targets berths;
  if (setup.choice.use_targets) {
    auto program = targets::MakeTargets(
        fleet.ledger,
        targets::Scaled(
            fleet.ledger, Coarse(fleet.ledger, WholeMix(fleet)), setup.choice.load_percent),
        setup.choice.options);
    if (!program) return Fail(program.error());
    berths = std::move(program->targets);
  }
  return scheduler::MakeSluice(fleet.mix, std::move(berths), setup.levers);
}

}  // namespace sluice::sim
