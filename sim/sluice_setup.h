// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/result.h"
#include "scheduler/sluice_policy.h"
#include "sim/replay.h"
#include "targets/targets.h"

// The `sluice` policy for a trace: what it knows beforehand is the mix of the whole list, as FGD
// does, and the fleet; not the order, nor which requests come twice.
namespace sluice::sim {

// Every demand of the list, as often as it is there.
scheduler::Mix WholeMix(const TraceFleet& fleet);

// How to plan for this fleet and mix: found by rehearsal, which takes about two seconds for openb.
// The same for every order of arrival, so one choice serves all seeds of a variant.
targets::Choice ChooseTargets(const TraceFleet& fleet);

struct SluiceSetup {
  targets::Choice choice;
  scheduler::SluiceLevers levers;
};
// Fails as MakeTargets does.
Result<std::unique_ptr<scheduler::Policy>> MakeSluicePolicy(const TraceFleet& fleet,
                                                            const SluiceSetup& setup);

}  // namespace sluice::sim
