// SPDX-License-Identifier: Apache-2.0
#include "control/internal/placement.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <utility>

#include "scheduler/policy.h"
#include "targets/targets.h"

namespace sluice::control {
namespace {

using scheduler::CardBerth;
using scheduler::DemandIndex;
using scheduler::ExpectedRequest;
using scheduler::Ledger;
using scheduler::PlacementRules;

// More kinds of requests than this make each decision slower and change little.
constexpr size_t kKindsMax = 40;
constexpr Duration kPlanEvery{6 * 3'600'000};

std::string MadeFrom(const PlanBasis& basis) {
  return fmt::format("Goes by the last {} claims, of {} {}.",
                     basis.seen,
                     basis.asked.size(),
                     basis.asked.size() == 1 ? "kind" : "kinds");
}

// The berths of the empty cards. Empty: plain fgd does as well.
std::vector<CardBerth> BerthsFor(const PlanBasis& basis) {
  Ledger ledger = scheduler::ToLedger({.gpus = basis.gpus}, /*with_shares=*/false);
  std::map<DemandIndex, ClaimRequest> request_of;
  scheduler::Mix mix;
  for (const ExpectedRequest& one : basis.asked) {
    const DemandIndex demand = ledger.Intern(scheduler::ToDemand(one.request));
    request_of.emplace(demand, one.request);
    mix.counts.emplace_back(demand, one.count);
  }
  targets::Rehearsal rehearsal;
  rehearsal.fgd_mix = mix;
  const targets::Choice choice = targets::Rehearse(ledger, mix, rehearsal);
  if (!choice.use_targets) return {};
  const auto program = targets::MakeTargets(
      ledger, targets::Scaled(ledger, mix, choice.load_percent), choice.options);
  if (!program) return {};
  std::vector<CardBerth> berths;
  for (const auto& node : program->targets.by_node) {
    for (const scheduler::Berth& berth : node) {
      if (berth.card == scheduler::Berth::kAnyCard) continue;
      berths.push_back({ledger.card_id(berth.card), request_of.at(berth.demand)});
    }
  }
  return berths;
}

// Takes the berths that those who hold shares are in.
void TakeBerths(std::vector<CardBerth>& berths, const World& world) {
  std::map<GpuId, std::vector<scheduler::Demand>> taken;
  for (const auto& [id, row] : world.claims) {
    ClaimRequest request = row.value.request;
    request.only.clear();
    for (const Allocation& held : row.value.allocations) {
      taken[held.gpu].push_back(scheduler::ToDemand(request));
    }
  }
  std::erase_if(berths, [&](const CardBerth& berth) {
    std::vector<scheduler::Demand>& here = taken[berth.gpu];
    const auto same = std::ranges::find(here, scheduler::ToDemand(berth.request));
    if (same == here.end()) return false;
    here.erase(same);
    return true;
  });
}

}  // namespace

std::string PlacementSettingId(const PoolId& pool) {
  return "placement." + pool.text();
}

std::string TooLittleSeen(PlacementPolicy wished, int64_t seen) {
  return fmt::format(
      "{} goes by what has been asked for here: {} of the {} claims that it needs have run. Until "
      "then tightest_card is in force.",
      ToString(wished),
      seen,
      kSeenMin);
}

ComputeMillis ComputeToGive(const Gpu& gpu, const Pool& pool) {
  return ComputeMillis(gpu.compute.value() * pool.compute_overcommit_percent / 100);
}

bool GoesByExpectation(PlacementPolicy policy) {
  return policy == PlacementPolicy::kFgd || policy == PlacementPolicy::kSluice;
}

Pool PoolOf(const World& world) {
  return world.pools.empty() ? Pool() : world.pools.begin()->second.value;
}

std::string CardsMark(const std::vector<Gpu>& gpus) {
  std::string mark;
  for (const Gpu& gpu : gpus) {
    mark += fmt::format("{} {} {} {};",
                        gpu.id.text(),
                        gpu.model,
                        gpu.memory.value(),
                        gpu.mode == GpuMode::kShared ? "shared" : "closed");
  }
  return mark;
}

PlanBasis PlanBasisOf(const World& world, TimePoint now) {
  PlanBasis basis{.wished = PoolOf(world).placement,
                  .gpus = SnapshotOf(world, nullptr).gpus,
                  .asked = world.past.Asked(kKindsMax),
                  .seen = static_cast<int64_t>(world.past.ran()),
                  .now = now};
  return basis;
}

PlacementPlan MakePlacementPlan(const PlanBasis& basis) {
  PlacementPlan plan{.wished = basis.wished,
                     .rules = {},
                     .note = TooLittleSeen(basis.wished, basis.seen),
                     .seen = basis.seen,
                     .cards = CardsMark(basis.gpus),
                     .made_at = basis.now};
  if (basis.seen < kSeenMin) return plan;
  plan.note = MadeFrom(basis);
  plan.rules = {
      .policy = PlacementPolicy::kFgd, .expected = basis.asked, .berths = std::vector<CardBerth>()};
  if (basis.wished != PlacementPolicy::kSluice) return plan;
  plan.rules.berths = BerthsFor(basis);
  if (plan.rules.berths.empty()) {
    plan.note += " Rehearsed with them, fgd does as well on these cards: it is in force.";
  } else {
    plan.rules.policy = PlacementPolicy::kSluice;
  }
  return plan;
}

bool PlanIsDue(const World& world, const std::optional<PlacementPlan>& plan, TimePoint now) {
  const PlacementPolicy wished = PoolOf(world).placement;
  if (!GoesByExpectation(wished)) return false;
  if (!plan || plan->wished != wished) return true;
  if (plan->cards != CardsMark(SnapshotOf(world, nullptr).gpus)) return true;
  // What was missing is there.
  const auto seen = static_cast<int64_t>(world.past.ran());
  if (plan->seen < kSeenMin && seen >= kSeenMin) return true;
  // A clock that was set back makes none old.
  return seen != plan->seen && now - plan->made_at >= kPlanEvery;
}

scheduler::Snapshot SnapshotOf(const World& world, const PlacementPlan* plan) {
  const Pool pool = PoolOf(world);
  scheduler::Snapshot snapshot;
  snapshot.gpus.reserve(world.gpus.size());
  for (const auto& [id, row] : world.gpus) {
    snapshot.gpus.push_back(row.value);
    snapshot.gpus.back().compute = ComputeToGive(row.value, pool);
  }
  if (!GoesByExpectation(pool.placement)) {
    snapshot.rules.policy = pool.placement;
  } else if (plan != nullptr && plan->wished == pool.placement) {
    snapshot.rules = plan->rules;
    TakeBerths(snapshot.rules.berths, world);
  }
  snapshot.rules.bounds = {.floor = pool.floor_cards, .ceiling = pool.ceiling_cards};
  return snapshot;
}

}  // namespace sluice::control
