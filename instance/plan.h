// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "portal/portal.h"
#include "store/store.h"

namespace sluice::instance {

// The planner's answer from what the store keeps: past claims, cards, teams and the pool's rules.
// Fails with kInvalidArgument, or what the store said. Thread-safe.
Result<std::string> AnswerPlan(store::Store& store, const portal::PlanQuestion& question);

}  // namespace sluice::instance
