// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"
#include "model/pool.h"
#include "model/reservation.h"
#include "model/team.h"
#include "scheduler/estimate.h"
#include "scheduler/queue.h"

// Claims that come, wait, run and go, in virtual time, through the functions that control uses:
// WalkQueue, Decide, EstimateStarts. No I/O, clock or threads; equal arguments give equal results.
namespace sluice::sim {

struct TimedClaim {
  ClaimId id;  // No two alike.
  ClaimRequest request;
  std::vector<ClaimRequest> more = {};  // Further parts, see scheduler::Waiting.
  TeamId team;
  UserId user = {};  // Whom its end disturbs.
  std::string kind;  // Claims of one kind run about as long; see scheduler::Waiting.
  std::string size;  // The class under which its wait is shown: "share", "2 cards".
  TimePoint arrives;
  Duration runs{0};  // From its start to its end, which only the replay knows.
  // What it says of that when it comes, as a desktop with a set end does; 0: nothing.
  Duration run_for{0};
  // So much longer than that it may hold its cards, as the queue sees it: its time runs from when
  // it can be used.
  Duration usable_within{0};
  // Whether it can go on later, so that it may be told to give way: a desktop, not a command.
  bool may_yield = false;
  // Whether it may be moved to other cards of the fleet, see TimedOptions::moves_per_10000.
  bool movable = false;
};

// Who is served next; where a claim goes is decided by scheduler::Decide for both.
enum class Discipline {
  kFifo,   // Strictly in the order of coming: nobody is placed before the first in the queue.
  kQueue,  // scheduler::WalkQueue.
};
std::string_view ToString(Discipline discipline);

// The fleet after all that happens at one moment, for tests.
struct TimedState {
  TimePoint now;
  std::span<const Gpu> fleet;
  std::span<const scheduler::Waiting> waiting;
};

// How it looked at one moment, for charts.
struct TimedPoint {
  double hours = 0;  // Since the first arrival.
  int64_t waiting = 0;
  double held_pct = 0;  // Of the fleet.
};

struct TimedOptions {
  Discipline discipline = Discipline::kQueue;
  scheduler::PlacementRules placement;
  scheduler::QueueRules rules;
  // Each is known to the queue from its `created_at` to its `removed_at`. For kQueue.
  std::span<const Reservation> reservations;
  // What they say of who gives way is played, each for its own cards: who is told ends when the
  // notice is over, waits again, and then runs for what was left. Empty: nobody is told. For
  // kQueue.
  std::span<const Pool> pools;
  // Claims may be moved so that the first in the queue, which fits nowhere, starts (PlanRescue): at
  // most so many per 10,000 arrivals so far, so many at once, of those that are movable and are not
  // told to give way. 0: none. For kQueue; not while there are reservations, nor for a claim of
  // several parts.
  int moves_per_10000 = 0;
  int moves_at_once = 1;
  // What a move costs who is moved: it holds its cards so much longer.
  Duration restart = Pool().preempt_notice;
  // Every so-manieth arrival is told when it is likely to start, if it has to wait; 0: none. The
  // estimate knows what has come, run and ended until then, and nothing else.
  int estimate_every = 0;
  // Wider than control's own, so that also who comes last to a long queue is told something.
  scheduler::EstimateRules estimates{
      .samples = 20, .waiting_max = 500, .ends_max = 400, .work_max = int64_t{1} << 40};
  // Looks at a card by waiting claims, after which the replay ends early; 0: none. A queue that
  // grows without end costs more with each arrival.
  int64_t looks_max = 0;
  std::function<void(size_t done, size_t of)> on_progress;  // Arrivals. May be empty.
  std::function<void(const TimedState&)> on_state;          // May be empty.
};

// Seconds from coming to starting, of claims that started. Percentiles are the smallest wait that
// so many do not pass.
struct WaitFigures {
  int64_t claims = 0;
  int64_t waited = 0;  // Of these, those that did not start at once.
  double mean_s = 0;
  double p50_s = 0;
  double p95_s = 0;
  double p99_s = 0;
  double max_s = 0;
};

// Of claims that had to wait: the range [earliest, latest] they were given when they came.
struct RangeFigures {
  int64_t asked = 0;
  int64_t given = 0;   // Both ends were known.
  int64_t inside = 0;  // Of those given: the start lay in the range.
  int64_t early = 0;   // Of those given: it started before the range…
  int64_t late = 0;    // …or after it.
  double width_s = 0;  // Of those given: the median.
};

struct TimedOutcome {
  std::optional<TimePoint> started;     // For the first time.
  std::vector<Allocation> allocations;  // The last it had; empty: it never started.
  std::string refused;                  // Why; empty: it started, or the replay was cut short.
};

inline constexpr int64_t kTimedPoints = 240;

// A card's worth is the part of a card's memory that a claim holds (of each of its cards), or,
// while it waits, would hold of the smallest card that admits it.
struct TimedResult {
  int64_t claims = 0;
  int64_t starts = 0;
  int64_t starts_again = 0;  // Of claims that have given way; their waits count with the others.
  int64_t refused = 0;       // They fit no empty fleet, or their team's limit.
  int64_t gave_way = 0;      // How often a claim ended before its time for another.
  int64_t moves = 0;
  double gpu_hours_restarting = 0;  // Of `gpu_hours_held`, what moves added.
  WaitFigures wait;
  std::map<std::string, WaitFigures> wait_by_size;
  int64_t longest_queue = 0;
  double gpu_hours_held = 0;  // Cards' worth over time, from the first arrival to the last end.
  // Card time held idle while somebody waits who would fit in total: at each moment the smaller of
  // what is free of all cards together, and what those claims ask together that each ask for no
  // more than that. Nobody can be rid of all of it: what is free may lie on several cards.
  double gpu_hours_lost = 0;
  double utilisation_pct = 0;  // Held, of the fleet, from the first arrival to the last one.
  double offered_pct = 0;      // Asked, of the fleet, over the same time, refused claims apart.
  double hours = 0;            // From the first arrival to the last end.
  bool cut_short = false;      // By `looks_max`: the other figures are of what came before.
  RangeFigures ranges;
  // At most kTimedPoints, evenly spread: each with the longest queue since the one before, and what
  // is held at its moment.
  std::vector<TimedPoint> points;
  std::vector<TimedOutcome> outcomes;  // By claim, in the order given.
};

// `fleet` is taken as it is, its shares apart; cards that are not in service take nothing.
// Requires: claims run longer than 0.
TimedResult ReplayTimed(std::span<const Gpu> fleet,
                        std::span<const Team> teams,
                        std::span<const TimedClaim> claims,
                        const TimedOptions& options);

}  // namespace sluice::sim
