// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "scheduler/queue.h"

// Who gives way to the first in the queue, where the rules of the pools let it. Pure, like all
// here.
namespace sluice::scheduler {

// They are told now and end at `until`; then `claim` fits.
struct Preemption {
  ClaimId claim;
  std::vector<ClaimId>
      victims;  // Ascending, at least one; without any one of them it does not fit.
  std::vector<Allocation> placement;  // Of `claim` then, part by part.
  TimePoint until;
};

struct PreemptLimits {
  // Sets of holders that are looked at; with more, the answer may not be the least loss, but is
  // still one in which nobody ends for nothing. For a claim of several parts a set counts as so
  // many more as it takes longer to look at.
  int64_t sets_max = 100'000;
};

// The holders whose end loses least, for the first claim that waits for cards. nullopt: nobody
// waits, those who may be ended do not make room, or it fits anyway before their notice is over
// when holders end as they are due. For a claim of several parts room is made for all of them at
// once, or nobody ends. Nobody is ended for room that is reserved for others.
//
// Who may be ended, by its `preempt`:
//   kBorrowed       what its team borrows, if the first is within what its own team is guaranteed.
//   kLowerPriority  that, and what its team borrows, or is of the same team as the first, if its
//                   priority as named is lower than that of the first.
// Who has no team borrows all it holds; all of them count as one team. No team is brought so far
// below its guarantee that one of the ended claims would be within it again when it comes back; so
// they do not change places for ever.
//
// The loss of a set, the first that differs counts: the highest priority in it; how little the
// least borrowing of its teams borrows; the time that its claims have run, where each person
// disturbed counts as an hour more; the names, in order.
//
// Requires: `answers` are those of WalkQueue for `input`.
std::optional<Preemption> PlanPreemption(const QueueInput& input,
                                         std::span<const QueueAnswer> answers,
                                         const PreemptLimits& limits = {});

}  // namespace sluice::scheduler
