// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"
#include "model/pool.h"
#include "model/team.h"
#include "scheduler/scheduler.h"
#include "sim/timed.h"

// The capacity planner: what has been asked for is played against today's fleet and against another
// one, other share sizes, idle limits or rules. No I/O, clock or threads; equal arguments give
// equal answers.
namespace sluice::sim {

// Each day of the week twice, so that a busy Monday is told from a busy day…
inline constexpr int kPlanDaysNeeded = 14;
// …and ten claims above the 95th percentile.
inline constexpr int64_t kPlanClaimsNeeded = 200;
inline constexpr int64_t kPlanClaimsMax = 50'000;
inline constexpr int kPlanCardsMax = 2'000;

struct PlanQuestion {
  // "4x24GiB,10*2x80GiB@1.20": a machine with four cards of 24 GiB, and ten with two of 80 GiB, of
  // which each card costs 1.20 an hour. Empty: today's.
  std::string fleet;
  Bytes share;                   // Claims for a part of a card ask for so much; 0: as they did.
  std::optional<Duration> idle;  // Desktops end when they have been idle for so long; 0: never.
  std::optional<PlacementPolicy> policy;
  std::optional<int> overcommit_pct;   // Of the planned cards' compute; from 100. See Pool.
  std::optional<PreemptRule> preempt;  // Who gives way on the planned cards.
  double price = 0;        // Of a card for an hour, where the fleet does not say; 0: not known.
  int growth_pct = 100;    // So many claims, in percent of what came. Not 100: synthetic.
  bool synthetic = false;  // With too little history: draw two weeks from the days there are.
  uint64_t seed = 1;       // Of what is drawn.
  int64_t looks_max = 0;   // See TimedOptions.
};

// How much is known of what this installation was asked for.
struct PlanHistory {
  int64_t claims = 0;      // That held cards and ended.
  int64_t never_held = 0;  // That did not: refused or given up; how long they would have run is
                           // not known, so they are not played.
  TimePoint from;          // 0: none.
  TimePoint until;
  double days = 0;
  double days_missing = 0;
  int64_t claims_missing = 0;
  bool enough = false;
  std::string why;   // A sentence when it is not enough.
  WaitFigures wait;  // As it was.
};

struct PlanFleet {
  std::string text;  // "4x24GiB,2x80GiB".
  size_t machines = 0;
  size_t cards = 0;
  Bytes memory;
};

// Per card-hour of the fleet and per GPU-hour that a claim held. What programs did with it is not
// known here.
struct PlanCost {
  double card_hours = 0;
  double total = 0;
  double per_useful_hour = 0;  // 0: nothing was held.
};

// What the cards were given out by.
struct PlanRules {
  PlacementPolicy policy = PlacementPolicy::kTightestCard;
  int overcommit_pct = 100;
  PreemptRule preempt = PreemptRule::kNever;
};

struct PlanRun {
  PlanFleet fleet;
  PlanRules rules;
  TimedResult result;
  std::map<std::string, int64_t> refused_why;
  std::optional<PlanCost> cost;  // Absent: no price.
};

struct PlanAnswer {
  PlanHistory history;
  // Of what is played: "the claims of 20 days", or what was drawn, and then it is synthetic.
  std::string load;
  bool synthetic = false;
  int64_t claims = 0;
  // Claims that named cards or a model which are not in the planned fleet: there they take any.
  int64_t any_card = 0;
  // Of the idle limit: claims that end earlier or later by it. Others were never idle so long, or
  // it is not known.
  int64_t ended_by_idle = 0;
  int64_t in_parts = 0;  // Claims of several parts.
  // Reservations that are played: those that were in force while the claims came. Drawn days are
  // no days of which there were any, so none is played with them.
  int64_t reservations = 0;
  // Absent: too little history and nothing may be drawn, or there is none at all.
  std::optional<PlanRun> today;
  std::optional<PlanRun> planned;
};

// What the installation is now.
struct PlanInput {
  std::span<const PastClaim> past;
  std::span<const Gpu> gpus;  // Cards that are not for shares are left out.
  std::span<const Team> teams;
  scheduler::PlacementRules placement;
  // By id. The first one's overcommit holds for all cards, as in control; a planned card is of the
  // pool that most cards are of today.
  std::span<const Pool> pools;
  std::span<const Reservation> reservations;  // Those there are and were.
};

// kInvalidArgument for a fleet that cannot be read or is too large, kResourceExhausted for more
// than kPlanClaimsMax claims after growth. `on_progress` may be empty.
Result<PlanAnswer> Plan(const PlanInput& input,
                        const PlanQuestion& question,
                        const std::function<void(size_t done, size_t of)>& on_progress);

// The fleet of the notation above.
struct PlannedCards {
  std::vector<Gpu> cards;
  double price_per_hour = 0;  // Of all of them.
  bool priced = false;        // Every entry, or `price` was given.
};
Result<PlannedCards> ParseFleet(std::string_view text, double price);

}  // namespace sluice::sim
