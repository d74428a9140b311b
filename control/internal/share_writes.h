// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/agent.h"
#include "base/result.h"
#include "control/control.h"
#include "control/internal/claim_steps.h"
#include "runtime/runtime.h"
#include "store/store.h"

// The steps that touch both the store and the node. Each may be repeated and called from any
// thread: they read rows afresh and write them with the versions that they read.
namespace sluice::control {

// Removes the share's regions, then ends the claim and frees its memory. In this order: memory is
// never offered while a region still grants it.
Result<void> EndClaim(store::Store& store,
                      agent::Agent& agent,
                      const ClaimId& id,
                      const ClaimEnd& end);

// See Control::StartRun.
Result<agent::PreparedShare> StartRunClaim(store::Store& store,
                                           agent::Agent& agent,
                                           const ClaimId& id,
                                           uint32_t tenant_uid);

// Makes the agent grant what the claim's rows say, also when they change meanwhile. Succeeds for a
// share that is not prepared.
Result<void> EnforceRows(store::Store& store, agent::Agent& agent, const ClaimId& id);

// See Control::Resize.
Result<void> ResizeClaim(store::Store& store,
                         agent::Agent& agent,
                         const ClaimId& id,
                         const ClaimRequest& wish);

// Makes the desktop's regions and everything that its start needs.
Result<void> PrepareDesktop(store::Store& store,
                            agent::Agent& agent,
                            runtime::Runtime& runtime,
                            const Desktop& desktop);

}  // namespace sluice::control
