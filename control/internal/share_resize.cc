// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "control/internal/claim_steps.h"
#include "control/internal/placement.h"
#include "control/internal/share_rules.h"
#include "control/internal/share_writes.h"
#include "scheduler/scheduler.h"
#include "store/codec.h"

namespace sluice::control {
namespace {

constexpr int kAttempts = 16;

// What a resize would write, and what the agent is to enforce.
struct Plan {
  std::vector<Allocation> before;
  std::vector<Allocation> after;
  std::vector<store::Write> writes;
};

Claim Resized(Claim claim, const ClaimRequest& wish, std::vector<Allocation> allocations) {
  claim.request.memory = wish.memory;
  claim.request.guarantee = wish.guarantee;
  claim.request.guarantee_by_memory = wish.guarantee_by_memory;
  claim.request.cap = wish.cap;
  claim.allocations = std::move(allocations);
  return claim;
}

Result<Plan> PlanResize(store::Store& store,
                        const store::Versioned<Claim>& claim,
                        const ClaimRequest& wish) {
  Plan plan{.before = claim.value.allocations, .after = {}, .writes = {}};
  for (const Allocation& held : claim.value.allocations) {
    auto gpu = store::Read<Gpu>(store, held.gpu.text());
    if (!gpu) return Fail(gpu.error());
    const auto pool = store::Read<Pool>(store, gpu->value.pool.text());
    Gpu offered = gpu->value;
    offered.compute = ComputeToGive(offered, pool ? pool->value : Pool());
    const auto answer = scheduler::Resize(offered, claim.value.id, wish);
    if (const auto* refused = std::get_if<scheduler::WaitFor>(&answer)) {
      return Fail(Code::kResourceExhausted, refused->reason);
    }
    const auto& allocation = std::get<Allocation>(answer);
    for (Share& share : gpu->value.shares) {
      if (share.claim != claim.value.id) continue;
      share = ToShare(share.claim, allocation);
    }
    plan.after.push_back(allocation);
    plan.writes.push_back(store::Put(gpu->value, gpu->version));
  }
  plan.writes.push_back(store::Put(Resized(claim.value, wish, plan.after), claim.version));
  return plan;
}

// The lesser of two per figure: what is right whichever of them the rows say.
std::vector<Allocation> Lesser(const Plan& plan) {
  std::vector<Allocation> lesser = plan.after;
  for (size_t i = 0; i < lesser.size(); ++i) {
    lesser[i].memory = std::min(lesser[i].memory, plan.before[i].memory);
    lesser[i].guarantee = std::min(lesser[i].guarantee, plan.before[i].guarantee);
  }
  return lesser;
}

// A share that is not prepared yet will be, from the rows.
Result<void> ResizeIfPrepared(agent::Agent& agent,
                              const ClaimId& id,
                              const std::vector<Allocation>& allocations) {
  auto resized = agent.Resize(id, allocations);
  if (!resized && resized.error().code == Code::kNotFound) return {};
  return resized;
}

Result<void> GovernIfPrepared(agent::Agent& agent,
                              const ClaimId& id,
                              const agent::ShareRules& rules) {
  auto governed = agent.Govern(id, rules);
  if (!governed && governed.error().code == Code::kNotFound) return {};
  return governed;
}

// The rows always say at least what the agent grants, so that nothing is offered twice: what grows
// grows in the rows first, what shrinks does so there last.
Result<void> Carry(store::Store& store, agent::Agent& agent, const ClaimId& id, const Plan& plan) {
  if (auto lowered = ResizeIfPrepared(agent, id, Lesser(plan)); !lowered) return lowered;
  const auto done = store.Commit(plan.writes);
  if (done) return EnforceRows(store, agent, id);
  // Aborted is surely not done. Of anything else nobody knows: the lesser is right either way.
  if (done.error().code == Code::kAborted) {
    if (auto undone = ResizeIfPrepared(agent, id, plan.before); !undone) return undone;
  }
  return Fail(done.error());
}

}  // namespace

Result<void> EnforceRows(store::Store& store, agent::Agent& agent, const ClaimId& id) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto claim = store::Read<Claim>(store, id.text());
    if (!claim) return Fail(claim.error());
    if (!Holds(claim->value)) return {};
    if (auto done = ResizeIfPrepared(agent, id, claim->value.allocations); !done) return done;
    auto governed = GovernIfPrepared(agent, id, RulesOf(store, claim->value));
    if (!governed) return governed;
    const auto again = store::Read<Claim>(store, id.text());
    if (!again) return Fail(again.error());
    // Somebody resized it meanwhile, and the agent may have heard of us last.
    if (again->value.allocations == claim->value.allocations) return {};
  }
  return Fail(Code::kAborted, "claim " + id.text() + " changes too fast; try again");
}

Result<void> ResizeClaim(store::Store& store,
                         agent::Agent& agent,
                         const ClaimId& id,
                         const ClaimRequest& wish) {
  Error last;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto claim = store::Read<Claim>(store, id.text());
    if (!claim) return Fail(claim.error());
    if (!Holds(claim->value)) return Fail(Code::kInvalidArgument, claim->value.reason);
    if (claim->value.request.whole) {
      return Fail(Code::kInvalidArgument, "it holds the whole card");
    }
    const auto plan = PlanResize(store, *claim, wish);
    if (!plan) return Fail(plan.error());
    const auto done = Carry(store, agent, id, *plan);
    if (done || done.error().code != Code::kAborted) return done;
    last = done.error();
  }
  return Fail(std::move(last));
}

}  // namespace sluice::control
