// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/control.h"
#include "control/internal/claim_steps.h"

namespace sluice::control {

// Pure: why a share is not to be had now, and what would be. `smallest` is the least memory that is
// worth proposing.
Explained ExplainIn(const QueueRows& rows, const ExplainQuestion& question, Bytes smallest);

// "24 cards: 11 too little memory (largest free 6 GiB), 9 another model".
std::string SummaryIn(const scheduler::Snapshot& snapshot, const ClaimRequest& request);

}  // namespace sluice::control
