// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/result.h"
#include "control/control.h"
#include "control/internal/claim_steps.h"
#include "control/internal/world.h"

// Pure: desktops that go to other cards so that cards become whole, with notice, and the way back.
namespace sluice::control {

// A plan, and the writes that set it going.
struct ConsolidationStep {
  ConsolidationPlan plan;
  std::vector<store::Write> writes;  // Empty: nobody moves.
};

// See Control::Consolidate. Requires: `rows` are of this world.
Result<ConsolidationStep> ConsolidateIn(const World& world,
                                        const QueueRows& rows,
                                        const ConsolidationWish& wish);

// See Control::UndoConsolidation.
Result<ConsolidationStep> UndoIn(const World& world, const QueueRows& rows, const PoolId& pool);

// See Control::MovesNow.
Result<std::vector<MoveNow>> MovesIn(const World& world, const PoolId& pool);

}  // namespace sluice::control
