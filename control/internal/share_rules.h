// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/agent.h"
#include "model/claim.h"
#include "model/pool.h"
#include "store/store.h"

// What a share's pool says of it, for the agent.
namespace sluice::control {

agent::ShareRules RulesIn(const Pool& pool, const Claim& claim);

// The same by the rows: the pool of the first of its cards; what is not there is as by default.
agent::ShareRules RulesOf(store::Store& store, const Claim& claim);

}  // namespace sluice::control
