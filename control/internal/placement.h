// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "control/internal/world.h"
#include "model/pool.h"
#include "scheduler/scheduler.h"

// How a pool's cards are chosen: what its policy is to know of the claims to come is worked out
// seldom, from the past ones, and kept as a row, so that decisions stay the same after a restart
// and can be replayed.
namespace sluice::control {

// What a policy that goes by expectation was given. `rules.berths` are those of the empty cards.
struct PlacementPlan {
  PlacementPolicy wished = PlacementPolicy::kTightestCard;
  scheduler::PlacementRules rules;  // The policy in force, which may be another than the wished.
  std::string note;                 // What it goes by, or why another one is in force. A sentence.
  int64_t seen = 0;                 // Past claims that it is made from.
  std::string cards;                // Of which cards, see CardsMark.
  TimePoint made_at;

  friend bool operator==(const PlacementPlan&, const PlacementPlan&) = default;
};

std::string Encode(const PlacementPlan& plan);
// nullopt: it cannot be read, and is made anew.
std::optional<PlacementPlan> DecodePlacementPlan(std::string_view json);
// Where a pool's plan is kept, among the settings.
std::string PlacementSettingId(const PoolId& pool);

// What guarantees on the card may add up to.
ComputeMillis ComputeToGive(const Gpu& gpu, const Pool& pool);

// Why such a policy is not in force yet.
std::string TooLittleSeen(PlacementPolicy wished, int64_t seen);

// Whether the policy goes by what is expected.
bool GoesByExpectation(PlacementPolicy policy);
// The machine's pool: the first one. A default one if there is none.
Pool PoolOf(const World& world);
// The cards as far as a plan depends on them.
std::string CardsMark(const std::vector<Gpu>& gpus);

// What a plan is made from.
struct PlanBasis {
  PlacementPolicy wished = PlacementPolicy::kTightestCard;
  std::vector<Gpu> gpus;
  std::vector<scheduler::ExpectedRequest> asked;
  int64_t seen = 0;
  TimePoint now;
};
// Fewer past claims than this say too little.
inline constexpr int64_t kSeenMin = 50;
PlanBasis PlanBasisOf(const World& world, TimePoint now);
// Takes up to seconds on a large fleet (linear programs, rehearsed).
PlacementPlan MakePlacementPlan(const PlanBasis& basis);

// Whether a plan is to be made: there is none for what the pool wishes, the cards have changed, or
// it is old.
bool PlanIsDue(const World& world, const std::optional<PlacementPlan>& plan, TimePoint now);

// The cards as the scheduler is to see them, with the rules that hold now: berths that a holder has
// taken are left out, guarantees may add up to what the pool allows, and its floor and ceiling
// hold.
scheduler::Snapshot SnapshotOf(const World& world, const PlacementPlan* plan);

}  // namespace sluice::control
