// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "control/control.h"
#include "control/internal/claim_steps.h"
#include "control/internal/placement.h"

namespace sluice::control {

// Pure but for the linear programs of a plan: what the changed pool would do. `plan` is the one in
// force.
PoolTrial TryPoolOn(const World& world,
                    const std::optional<PlacementPlan>& plan,
                    const Pool& changed,
                    TimePoint now);

// What the portal is told of a plan.
PlacementState StateOfPlacement(const World& world, const std::optional<PlacementPlan>& plan);

}  // namespace sluice::control
