// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "model/claim.h"
#include "model/team.h"
#include "scheduler/internal/fleet.h"
#include "scheduler/scheduler.h"

// The sentences that users read. A fragment without a capital or a full stop, so that a caller may
// put a name before it and more after it.
namespace sluice::scheduler::internal {

// "33.3%", "30%".
std::string Percent(ComputeMillis compute);

// "needs 8 GiB on one card; largest free: 3 GiB". Requires: it does not fit now, but may one day.
WaitFor SayWait(std::span<const Card> cards, const ClaimRequest& request);

// "needs 8 GiB on one card; 10 GiB are free, but kept for the first in the queue".
// Requires: it would fit if no card were kept.
WaitFor SayKept(std::span<const Card> cards, const ClaimRequest& request);

// "needs 8 GiB on one card; 10 GiB are free, but reserved for another team".
// Requires: it would fit if nothing were reserved.
WaitFor SayReserved(std::span<const Card> cards, const ClaimRequest& request);

// "team Perception holds 40 GiB of its 48 GiB; 12 GiB more would pass that".
WaitFor SayOverQuota(const Team& team, Bytes held, Bytes more);
// Requires: `more` alone is past the team's limit.
Never SayNeverOfTeam(const Team& team, Bytes more);

// "needs 32 GiB on one card; the largest has 24 GiB". Requires: it fits no empty fleet.
Never SayNever(std::span<const Card> cards, const ClaimRequest& request);

}  // namespace sluice::scheduler::internal
