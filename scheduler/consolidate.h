// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "scheduler/scheduler.h"

// Whole cards out of parts of cards: which claims go elsewhere, and the way back. Pure, like all
// here.
namespace sluice::scheduler {

// A claim that holds shares and may be moved.
struct Movable {
  ClaimId claim;
  UserId user;  // Whom it disturbs; empty: somebody of its own.
  ClaimRequest request;
};

// The same memory, guarantee and cap on other cards.
struct Relocation {
  ClaimId claim;
  std::vector<Allocation> from;
  std::vector<Allocation> to;

  friend bool operator==(const Relocation&, const Relocation&) = default;
};

struct Consolidation {
  // One after the other, in this order; at no moment does a card hold more than it has. No claim is
  // moved twice.
  std::vector<Relocation> moves;
  std::vector<GpuId> freed;  // Cards without any share then that have some now.
  int people = 0;            // Who are disturbed.
  Bytes memory;              // Of all that is moved.
};

struct ConsolidationOptions {
  PoolId pool;         // Of the cards that are freed, and of those that take what they held.
  int people_max = 1;  // More cards become whole when more people may be disturbed.
};

// Card by card, the one first whose shares disturb the fewest who are not disturbed yet, then that
// with the least memory to be moved, then by machine and id. What is moved goes to the card with
// the least free memory that takes it, never to an empty one. A card stays as it is when one of its
// claims may not be moved or does not fit elsewhere; so do claims of whole cards, and those whose
// cards hold unequal shares.
Consolidation PlanConsolidation(const Snapshot& snapshot,
                                std::span<const Movable> movable,
                                const ConsolidationOptions& options);

// Those of `moves` that can be done as things stand, one after the other: the claim holds what it
// is to leave, the cards have room for it, and no more of them carry shares then than the ceiling
// allows or than now.
std::vector<Relocation> StillPossible(const Snapshot& snapshot, std::span<const Relocation> moves);

}  // namespace sluice::scheduler
