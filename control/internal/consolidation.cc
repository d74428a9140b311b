// SPDX-License-Identifier: Apache-2.0
#include "control/internal/consolidation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "control/internal/notices.h"
#include "scheduler/consolidate.h"

namespace sluice::control {
namespace {

constexpr TimePoint kNone{};

Result<Pool> PoolIn(const World& world, const PoolId& id) {
  const auto pool = world.pools.find(id);
  if (pool == world.pools.end()) {
    return Fail(Code::kNotFound, "There is no pool " + id.text() + ".");
  }
  return pool->second.value;
}

PlannedMove MoveOf(const World& world, const scheduler::Relocation& move) {
  const Claim& claim = world.claims.at(move.claim).value;
  const auto desktop = world.desktops.find(claim.desktop);
  return {.claim = move.claim,
          .desktop = claim.desktop,
          .desktop_name =
              desktop == world.desktops.end() ? claim.desktop.text() : desktop->second.value.name,
          .user = claim.user,
          .from = move.from,
          .to = move.to};
}

bool IsOnPool(const World& world, const Claim& claim, const PoolId& pool) {
  if (!Holds(claim)) return false;
  const auto gpu = world.gpus.find(claim.allocations.front().gpu);
  return gpu != world.gpus.end() && gpu->second.value.pool == pool;
}

void Append(std::vector<store::Write>& writes, std::vector<store::Write> more) {
  for (store::Write& write : more) writes.push_back(std::move(write));
}

// The claims that the last plan of the pool moves or has moved.
std::vector<Claim> OfLastPlan(const World& world, const PoolId& pool) {
  std::vector<Claim> last;
  for (const auto& [id, row] : world.claims) {
    const Claim& claim = row.value;
    if (claim.plan == kNone || !IsOnPool(world, claim, pool)) continue;
    if (!last.empty() && claim.plan < last.front().plan) continue;
    if (!last.empty() && claim.plan > last.front().plan) last.clear();
    last.push_back(claim);
  }
  return last;
}

}  // namespace

Result<ConsolidationStep> ConsolidateIn(const World& world,
                                        const QueueRows& rows,
                                        const ConsolidationWish& wish) {
  const auto pool = PoolIn(world, wish.pool);
  if (!pool) return Fail(pool.error());
  const scheduler::Consolidation found = scheduler::PlanConsolidation(
      rows.snapshot, MovableIn(world), {.pool = wish.pool, .people_max = wish.people_max});
  ConsolidationStep step;
  step.plan.freed = found.freed;
  step.plan.people = found.people;
  step.plan.memory = found.memory;
  if (wish.apply && !found.moves.empty()) step.plan.at = rows.now + pool->preempt_notice;
  for (const scheduler::Relocation& move : found.moves) {
    step.plan.moves.push_back(MoveOf(world, move));
    if (!wish.apply) continue;
    Claim told = world.claims.at(move.claim).value;
    told.notice_until = step.plan.at;
    told.moves_to = move.to;
    told.plan = rows.now;
    told.moved_from.clear();
    Append(step.writes, GiveNotice(world, told));
  }
  return step;
}

Result<ConsolidationStep> UndoIn(const World& world, const QueueRows& rows, const PoolId& id) {
  const auto pool = PoolIn(world, id);
  if (!pool) return Fail(pool.error());
  ConsolidationStep step;
  std::vector<scheduler::Relocation> back;
  for (const Claim& claim : OfLastPlan(world, id)) {
    if (claim.notice_until == kNone) {
      back.push_back({claim.id, claim.allocations, claim.moved_from});
    } else {
      ++step.plan.withdrawn;
      Append(step.writes, TakeNoticeBack(world, claim));
    }
  }
  const std::vector<scheduler::Relocation> possible = scheduler::StillPossible(rows.snapshot, back);
  step.plan.stay = static_cast<int>(back.size() - possible.size());
  std::set<UserId> people;
  if (!possible.empty()) step.plan.at = rows.now + pool->preempt_notice;
  for (const scheduler::Relocation& move : possible) {
    step.plan.moves.push_back(MoveOf(world, move));
    for (const Allocation& part : move.to) step.plan.memory += part.memory;
    Claim told = world.claims.at(move.claim).value;
    people.insert(told.user);
    told.notice_until = step.plan.at;
    told.moves_to = move.to;
    told.plan = kNone;
    told.moved_from.clear();
    Append(step.writes, GiveNotice(world, told));
  }
  step.plan.people = static_cast<int>(people.size());
  if (back.empty() && step.plan.withdrawn == 0) {
    return Fail(Code::kFailedPrecondition,
                "There is nothing to take back: no desktop is where a consolidation has put it.");
  }
  return step;
}

Result<std::vector<MoveNow>> MovesIn(const World& world, const PoolId& id) {
  if (const auto pool = PoolIn(world, id); !pool) return Fail(pool.error());
  std::vector<MoveNow> moves;
  for (const Claim& claim : OfLastPlan(world, id)) {
    if (claim.notice_until != kNone || claim.moved_from.empty()) continue;
    moves.push_back(
        {.move = MoveOf(world, {claim.id, claim.moved_from, claim.allocations}), .done = true});
  }
  for (const auto& [claim_id, row] : world.claims) {
    const Claim& claim = row.value;
    if (claim.moves_to.empty() || !IsOnPool(world, claim, id)) continue;
    moves.push_back({.move = MoveOf(world, {claim.id, claim.allocations, claim.moves_to}),
                     .back = claim.plan == kNone,
                     .at = claim.notice_until});
  }
  std::ranges::sort(moves, {}, [](const MoveNow& one) { return one.move.desktop; });
  return moves;
}

}  // namespace sluice::control
