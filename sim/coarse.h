// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "scheduler/ledger.h"
#include "scheduler/policy.h"

// Lists in which hardly two requests are alike, for the linear programs: above so many kinds one
// takes minutes.
namespace sluice::sim {

inline constexpr size_t kKindsMax = 2'500;

// The mix with at most kKindsMax kinds: those that ask for about as much are counted as one of
// them, the one that asks for the most CPU, then the most memory. As it is, if it has no more.
scheduler::Mix Coarse(const scheduler::Ledger& ledger, const scheduler::Mix& mix);

// The same for a bound: each kind asks for the least CPU and main memory that one of those counted
// in it asks for, so whatever could be placed of the mix can be placed of this one. Of cards it
// asks for exactly what they do; so it may still have more than kKindsMax kinds. Interns them.
scheduler::Mix Relaxed(scheduler::Ledger& ledger, const scheduler::Mix& mix);

}  // namespace sluice::sim
