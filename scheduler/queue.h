// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/pool.h"
#include "model/reservation.h"
#include "model/team.h"
#include "scheduler/scheduler.h"

// Who is served next, and who may pass without making the first wait longer. Pure, like all here.
namespace sluice::scheduler {

// A claim in the queue.
struct Waiting {
  ClaimId id;
  ClaimRequest request;
  TimePoint queued_since;
  TeamId team;          // Empty: none.
  Duration run_for{0};  // It ends by itself so long after its start; 0: not known.
  std::string kind;     // Claims of one kind run about as long: "pytorch", "run".
  // Further parts, each on cards of its own and each on one machine: all are placed, or none.
  std::vector<ClaimRequest> more;
};

// A claim that holds shares.
struct Holder {
  ClaimId claim;
  TeamId team;
  TimePoint ends_at;  // When it is due to end; 0: not known. Past: overdue.
  TimePoint held_since;
  std::string kind;  // See Waiting.
  UserId user;       // Whom its end disturbs.
  int priority = 0;
  // Whether it may be ended before its time, and how long ahead it is told: what the pools of its
  // cards say. See preempt.h.
  PreemptRule preempt = PreemptRule::kNever;
  Duration notice{0};
};

struct QueueRules {
  // A claim that has waited this long counts as one priority higher, two such times two, …; 0:
  // never. Shorter: a claim of low priority waits less behind a stream of higher ones; longer:
  // priority means more.
  Duration aging{30 * 60'000};
};

struct QueueInput {
  const Snapshot& snapshot;
  std::span<const Waiting> waiting;
  std::span<const Holder> holders;  // No claim twice.
  std::span<const Team> teams;
  TimePoint now;
  QueueRules rules;
  bool words = true;  // False: reasons are left empty, which is much quicker.
  std::span<const Reservation> reservations;
};

// What the queue decides now.
struct QueueAnswer {
  ClaimId id;
  int position = 0;  // 1 is the head. 0 for what is placed or refused now.
  Decision decision;
  bool over_quota = false;  // It waits for its own team, not for cards.
  // The head only: it is placed by then at the latest, if holders end when they are due.
  std::optional<TimePoint> promised;
};

// Walks the queue once, in the order of service:
//   1. claims within what their team is guaranteed, before those that borrow;
//   2. higher priority, raised by the time waited;
//   3. earlier; then id.
// Within a team only 2 and 3 count. Placements of this walk are subtracted for later ones. A claim
// that would take its team past its limit waits without holding up anybody.
// The first claim that waits for cards is promised the time at which it fits if holders end when
// due. A later claim passes it only if the promise holds all the same: it ends before, or leaves
// enough. Where no end is known, the cards on which the first would fit soonest by memory are kept
// for it. What is kept counts for the bounds of the pool as what it is kept for.
// Of a reservation nobody takes anything but its team: a claim that is not due to end before it
// starts is placed only if as many of its cards can be given to the team at its time as without the
// claim. What a team has reserved it gets past the first in the queue, who is promised nothing that
// is reserved, not even for the time after it.
std::vector<QueueAnswer> WalkQueue(const QueueInput& input);

// The earliest time at which `request` would fit if every holder ended when due and nobody else
// came, or nullopt if that is not known, or if it fits now. Holders that are overdue give a time
// that has passed. Requires: no claim is named twice in `holders`.
std::optional<TimePoint> NextLikely(const Snapshot& snapshot,
                                    const ClaimRequest& request,
                                    std::span<const Holder> holders);
// The same with all parts of `one`, and with what the input's reservations leave.
std::optional<TimePoint> NextLikely(const QueueInput& input, const Waiting& one);

// How many of the reservation's cards its team can have when it starts, if holders end when due.
int RoomFor(const QueueInput& input, const Reservation& reservation);

}  // namespace sluice::scheduler
