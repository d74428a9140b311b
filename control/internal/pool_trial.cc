// SPDX-License-Identifier: Apache-2.0
#include "control/internal/pool_trial.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <variant>

namespace sluice::control {
namespace {

using scheduler::Decision;
using scheduler::Placed;
using Decisions = std::map<ClaimId, Decision>;

const PlacementPlan* OrNull(const std::optional<PlacementPlan>& plan) {
  return plan ? &*plan : nullptr;
}

World WithPool(const World& world, const Pool& changed) {
  World other = world;
  const auto row = other.pools.find(changed.id);
  other.pools.insert_or_assign(
      changed.id,
      store::Versioned<Pool>{changed, row == other.pools.end() ? 0 : row->second.version});
  return other;
}

Decisions Walk(const World& world, const PlacementPlan* plan, TimePoint now) {
  Decisions decisions;
  const QueueRows rows = QueueRowsOf(world, now, nullptr, plan);
  for (scheduler::QueueAnswer& answer : scheduler::WalkQueue(rows.Input())) {
    decisions[answer.id] = std::move(answer.decision);
  }
  return decisions;
}

std::string CardWords(const World& world, const Decision& decision) {
  std::string words;
  for (const Allocation& part : std::get<Placed>(decision).allocations) {
    const auto row = world.gpus.find(part.gpu);
    if (row == world.gpus.end()) continue;
    words += fmt::format(
        "{}{} {}", words.empty() ? "" : ", ", row->second.value.model, row->second.value.index);
  }
  return words;
}

PoolEffect EffectOn(const Claim& claim, PoolEffect::Kind kind, std::string detail) {
  return {.kind = kind, .claim = claim.id, .desktop = claim.desktop, .detail = std::move(detail)};
}

void CompareWaiting(const World& world,
                    const Decisions& before,
                    const Decisions& after,
                    std::vector<PoolEffect>& effects) {
  using enum PoolEffect::Kind;
  for (const auto& [id, then] : after) {
    const Claim& claim = world.claims.at(id).value;
    const Decision& now = before.at(id);
    if (now.index() == then.index()) continue;
    if (std::holds_alternative<Placed>(then)) {
      effects.push_back(EffectOn(claim, kStarts, "on " + CardWords(world, then)));
    } else if (const auto* never = std::get_if<scheduler::Never>(&then)) {
      effects.push_back(EffectOn(claim, kRefused, never->reason));
    } else {
      effects.push_back(EffectOn(claim, kWaits, std::get<scheduler::WaitFor>(then).reason));
    }
  }
}

// All that is held, placed anew in the order in which it was placed.
struct Anew {
  Decisions decisions;
  Bytes largest_free;
};

Anew PlaceAnew(World world, const PlacementPlan* plan) {
  std::vector<Claim> holders;
  for (auto& [id, row] : world.claims) {
    if (Holds(row.value)) holders.push_back(row.value);
    row.value.allocations.clear();
  }
  for (auto& [id, row] : world.gpus) row.value.shares.clear();
  std::ranges::sort(
      holders, {}, [](const Claim& one) { return std::tuple(one.held_since, one.id); });
  Anew anew;
  for (const Claim& claim : holders) {
    const scheduler::Snapshot snapshot = SnapshotOf(world, plan);
    Decision decision = scheduler::Decide(snapshot, claim.request);
    if (const auto* placed = std::get_if<Placed>(&decision)) {
      for (const Allocation& part : placed->allocations) {
        world.gpus.at(part.gpu).value.shares.push_back(ToShare(claim.id, part));
      }
      world.claims.at(claim.id).value.allocations = placed->allocations;
    }
    anew.decisions[claim.id] = std::move(decision);
  }
  anew.largest_free = scheduler::RoomForShares(SnapshotOf(world, plan), "", Bytes(0)).largest;
  return anew;
}

bool SameCards(const Decision& a, const Decision& b) {
  const auto* first = std::get_if<Placed>(&a);
  const auto* second = std::get_if<Placed>(&b);
  if (first == nullptr || second == nullptr) return first == second;
  return std::ranges::equal(
      first->allocations, second->allocations, {}, &Allocation::gpu, &Allocation::gpu);
}

void CompareAnew(const World& world,
                 const Anew& before,
                 const Anew& after,
                 std::vector<PoolEffect>& effects) {
  for (const auto& [id, then] : after.decisions) {
    const Decision& now = before.decisions.at(id);
    if (SameCards(now, then) || !std::holds_alternative<Placed>(now) ||
        !std::holds_alternative<Placed>(then)) {
      continue;
    }
    effects.push_back(EffectOn(
        world.claims.at(id).value,
        PoolEffect::Kind::kElsewhere,
        fmt::format("on {} instead of {}", CardWords(world, then), CardWords(world, now))));
  }
}

void TellTooSmall(const World& world, const Pool& changed, std::vector<PoolEffect>& effects) {
  if (changed.share_memory_min <= PoolOf(world).share_memory_min) return;
  const auto tell = [&](const ClaimId& claim, const DesktopId& desktop, Bytes memory) {
    if (memory >= changed.share_memory_min) return;
    effects.push_back({.kind = PoolEffect::Kind::kBelowSmallest,
                       .claim = claim,
                       .desktop = desktop,
                       .detail = ToText(memory) + " is below the smallest share"});
  };
  for (const auto& [id, row] : world.desktops) {
    if (row.value.desired == DesiredState::kDeleted) continue;
    tell(row.value.claim, id, row.value.request.memory);
  }
  for (const auto& [id, row] : world.claims) {
    const Claim& claim = row.value;
    const bool lives = Holds(claim) || claim.phase == ClaimPhase::kPending;
    if (claim.owner_kind == ClaimOwner::kRun && lives) tell(id, {}, claim.request.memory);
  }
}

void TellOverGuaranteed(const World& world, const Pool& changed, std::vector<PoolEffect>& effects) {
  if (changed.compute_overcommit_percent >= PoolOf(world).compute_overcommit_percent) return;
  for (const auto& [id, row] : world.gpus) {
    const Gpu& gpu = row.value;
    ComputeMillis sum;
    for (const Share& share : gpu.shares) sum += share.guarantee;
    if (sum <= ComputeToGive(gpu, changed)) continue;
    for (const Share& share : gpu.shares) {
      const auto claim = world.claims.find(share.claim);
      if (claim == world.claims.end() || share.guarantee == ComputeMillis(0)) continue;
      effects.push_back(EffectOn(
          claim->second.value,
          PoolEffect::Kind::kOverGuaranteed,
          fmt::format("{}% of {} {} are guaranteed", sum.value() / 10, gpu.model, gpu.index)));
    }
  }
}

// The cards, those first that have been in use longest.
std::vector<const Gpu*> ByAge(const World& world, bool (*counts)(const Gpu&)) {
  std::vector<std::tuple<TimePoint, GpuId, const Gpu*>> aged;
  for (const auto& [id, row] : world.gpus) {
    if (!counts(row.value)) continue;
    TimePoint since = TimePoint::max();
    for (const Share& share : row.value.shares) {
      const auto claim = world.claims.find(share.claim);
      if (claim != world.claims.end()) since = std::min(since, claim->second.value.held_since);
    }
    aged.emplace_back(since, id, &row.value);
  }
  std::ranges::sort(aged);
  std::vector<const Gpu*> cards;
  for (const auto& [since, id, gpu] : aged) cards.push_back(gpu);
  return cards;
}

// Tells whoever holds the cards from the `most`-th on; each claim once.
void TellBeyond(const World& world,
                std::span<const Gpu* const> cards,
                int most,
                const PoolEffect& what,
                std::vector<PoolEffect>& effects) {
  std::set<ClaimId> told;
  for (size_t i = static_cast<size_t>(std::max(most, 0)); i < cards.size(); ++i) {
    for (const Share& share : cards[i]->shares) {
      const auto claim = world.claims.find(share.claim);
      if (claim == world.claims.end() || !told.insert(share.claim).second) continue;
      effects.push_back(
          EffectOn(claim->second.value,
                   what.kind,
                   fmt::format("on {} {}: {}", cards[i]->model, cards[i]->index, what.detail)));
    }
  }
}

void TellAboveCeiling(const World& world, const Pool& changed, std::vector<PoolEffect>& effects) {
  const int was = PoolOf(world).ceiling_cards;
  const int ceiling = changed.ceiling_cards;
  if (ceiling == 0 || (was > 0 && was <= ceiling)) return;
  const std::vector<const Gpu*> carrying = ByAge(world, CarriesShares);
  TellBeyond(world,
             carrying,
             ceiling,
             {.kind = PoolEffect::Kind::kAboveCeiling,
              .claim = {},
              .desktop = {},
              .detail = fmt::format(
                  "{} cards carry shares, the ceiling would be {}", carrying.size(), ceiling)},
             effects);
}

void TellBelowFloor(const World& world, const Pool& changed, std::vector<PoolEffect>& effects) {
  const int floor = changed.floor_cards;
  if (floor <= PoolOf(world).floor_cards) return;
  const std::vector<const Gpu*> whole =
      ByAge(world, [](const Gpu& gpu) { return OpenToShares(gpu) && IsHeldWhole(gpu); });
  const auto in_service = static_cast<int>(std::ranges::count_if(
      world.gpus, [](const auto& entry) { return OpenToShares(entry.second.value); }));
  const int left = in_service - static_cast<int>(whole.size());
  TellBeyond(world,
             whole,
             in_service - floor,
             {.kind = PoolEffect::Kind::kBelowFloor,
              .claim = {},
              .desktop = {},
              .detail = fmt::format("{} {} left to shares, the floor would be {}",
                                    left,
                                    left == 1 ? "card is" : "cards are",
                                    floor)},
             effects);
}

}  // namespace

PlacementState StateOfPlacement(const World& world, const std::optional<PlacementPlan>& plan) {
  const Pool pool = PoolOf(world);
  if (!GoesByExpectation(pool.placement)) return {.in_force = pool.placement};
  if (!plan || plan->wished != pool.placement) {
    return {.in_force = PlacementPolicy::kTightestCard,
            .note = "What has been asked for here is being worked out."};
  }
  PlacementState state{
      .in_force = plan->rules.policy, .note = plan->note, .made_at = plan->made_at};
  const auto seen = static_cast<int64_t>(world.past.ran());
  if (plan->seen < kSeenMin) {
    state.note = TooLittleSeen(pool.placement, seen);
    state.made_at = TimePoint();
  }
  return state;
}

PoolTrial TryPoolOn(const World& world,
                    const std::optional<PlacementPlan>& plan,
                    const Pool& changed,
                    TimePoint now) {
  const World other = WithPool(world, changed);
  std::optional<PlacementPlan> then = plan;
  if (PlanIsDue(other, then, now)) then = MakePlacementPlan(PlanBasisOf(other, now));
  PoolTrial trial;
  CompareWaiting(
      world, Walk(world, OrNull(plan), now), Walk(other, OrNull(then), now), trial.effects);
  const Anew before = PlaceAnew(world, OrNull(plan));
  const Anew after = PlaceAnew(other, OrNull(then));
  CompareAnew(world, before, after, trial.effects);
  TellTooSmall(world, changed, trial.effects);
  TellOverGuaranteed(world, changed, trial.effects);
  TellAboveCeiling(world, changed, trial.effects);
  TellBelowFloor(world, changed, trial.effects);
  trial.placement = StateOfPlacement(other, then);
  trial.largest_free_before = before.largest_free;
  trial.largest_free_after = after.largest_free;
  return trial;
}

std::string_view ToString(PoolEffect::Kind kind) {
  switch (kind) {
    case PoolEffect::Kind::kStarts:
      return "starts";
    case PoolEffect::Kind::kWaits:
      return "waits";
    case PoolEffect::Kind::kRefused:
      return "refused";
    case PoolEffect::Kind::kElsewhere:
      return "elsewhere";
    case PoolEffect::Kind::kBelowSmallest:
      return "below_smallest";
    case PoolEffect::Kind::kOverGuaranteed:
      return "over_guaranteed";
    case PoolEffect::Kind::kAboveCeiling:
      return "above_ceiling";
    case PoolEffect::Kind::kBelowFloor:
      return "below_floor";
  }
  return "";
}

}  // namespace sluice::control
