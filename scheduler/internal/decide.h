// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "model/claim.h"
#include "scheduler/internal/fleet.h"
#include "scheduler/scheduler.h"

namespace sluice::scheduler::internal {

// Decide(), on cards whose held parts have been counted already. Without `words` the reasons and
// their figures are left empty, which is much quicker.
Decision DecideOn(std::span<const Card> cards, const ClaimRequest& request, bool words = true);

}  // namespace sluice::scheduler::internal
