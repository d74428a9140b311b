// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "scheduler/internal/bounds.h"
#include "scheduler/rescue.h"

namespace sluice::scheduler {
namespace {

// A movable claim's shares, in the order of the snapshot's cards.
struct Holding {
  const Movable* claim = nullptr;
  std::vector<Allocation> parts;
  std::set<NodeId> nodes;
};

std::map<ClaimId, Holding> HoldingsOf(const Snapshot& snapshot, std::span<const Movable> movable) {
  std::map<ClaimId, Holding> holdings;
  for (const Movable& one : movable) holdings[one.claim].claim = &one;
  for (const Gpu& gpu : snapshot.gpus) {
    for (const Share& share : gpu.shares) {
      const auto held = holdings.find(share.claim);
      if (held == holdings.end()) continue;
      held->second.parts.push_back(ToAllocation(gpu.id, share));
      held->second.nodes.insert(gpu.node);
    }
  }
  std::erase_if(holdings, [](const auto& entry) {
    const Holding& held = entry.second;
    return held.nodes.size() != 1 ||
           std::cmp_not_equal(held.parts.size(), held.claim->request.count);
  });
  return holdings;
}

// The cards as a ledger in which each movable claim is a binding, numbered from `first` in the
// order of `claims`.
struct Fleet {
  Fleet(const Snapshot& snapshot,
        std::span<const Movable> movable,
        const std::map<ClaimId, Holding>& holdings) {
    Snapshot rest = snapshot;
    for (Gpu& gpu : rest.gpus) {
      std::erase_if(gpu.shares, [&](const Share& one) { return holdings.contains(one.claim); });
    }
    ledger = ToLedger(rest, true);
    first = static_cast<BindingIndex>(ledger.bindings());
    std::map<GpuId, std::pair<NodeIndex, CardIndex>> at;
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      const NodeState& state = ledger.node(node);
      for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
        at[ledger.card_id(card)] = {node, card};
      }
    }
    for (const Movable& one : movable) {
      const auto held = holdings.find(one.claim);
      if (held == holdings.end() || held->second.claim != &one) continue;
      std::vector<Held> parts;
      NodeIndex node = 0;
      for (const Allocation& part : held->second.parts) {
        const auto& [on, card] = at.at(part.gpu);
        node = on;
        parts.push_back({card, part.memory, part.guarantee});
      }
      ledger.BindHeld(ledger.Intern(ToDemand(one.request)), node, std::move(parts));
      claims.push_back(&held->second);
    }
  }

  // Binds it there.
  std::vector<Allocation> Give(const ClaimRequest& request, const Placement& placement) {
    std::vector<Allocation> given;
    const BindingIndex binding = ledger.Bind(ledger.Intern(ToDemand(request)), placement);
    for (const Held& part : ledger.binding(binding).held) {
      given.push_back({ledger.card_id(part.card),
                       part.memory,
                       part.compute,
                       request.whole ? ComputeMillis(0) : request.cap,
                       request.whole});
    }
    return given;
  }

  Ledger ledger;
  BindingIndex first = 0;
  std::vector<const Holding*> claims;
};

// Writes it into the rows. False: it would open more cards than the bounds leave.
bool Sit(Snapshot& rows, const ClaimId& claim, std::span<const Allocation> parts, bool whole) {
  const int budget = internal::BudgetFor(internal::ToCards(rows), whole);
  int opened = 0;
  for (const Allocation& part : parts) {
    Gpu& gpu = *std::ranges::find(rows.gpus, part.gpu, &Gpu::id);
    opened += gpu.shares.empty() ? 1 : 0;
    gpu.shares.push_back(ToShare(claim, part));
  }
  return opened <= budget;
}

// Whether each step keeps to the floor and the ceiling.
bool KeepsBounds(Snapshot rows,
                 const ClaimRequest& request,
                 const std::map<ClaimId, Holding>& holdings,
                 const RescuePlan& plan) {
  for (const Relocation& move : plan.moves) {
    for (Gpu& gpu : rows.gpus) {
      std::erase_if(gpu.shares, [&](const Share& share) { return share.claim == move.claim; });
    }
  }
  return Sit(rows, ClaimId(), plan.placement, request.whole) &&
         std::ranges::all_of(plan.moves, [&](const Relocation& move) {
           return Sit(rows, move.claim, move.to, holdings.at(move.claim).claim->request.whole);
         });
}

}  // namespace

std::optional<RescuePlan> PlanRescue(const Snapshot& snapshot,
                                     const ClaimRequest& request,
                                     std::span<const Movable> movable,
                                     int moves_max) {
  if (request.count < 1 || movable.empty()) return std::nullopt;
  const std::map<ClaimId, Holding> holdings = HoldingsOf(snapshot, movable);
  Fleet fleet(snapshot, movable, holdings);
  const DemandIndex demand = fleet.ledger.Intern(ToDemand(request));
  const auto rescue = FindRescue(fleet.ledger, demand, {moves_max, [&](BindingIndex binding) {
                                                          return binding >= fleet.first;
                                                        }});
  if (!rescue) return std::nullopt;
  for (const Move& move : rescue->moves) fleet.ledger.Release(move.binding);
  RescuePlan plan{.moves = {}, .placement = fleet.Give(request, rescue->placement)};
  for (const Move& move : rescue->moves) {
    const Holding& held = *fleet.claims[move.binding - fleet.first];
    plan.moves.push_back({held.claim->claim, held.parts, fleet.Give(held.claim->request, move.to)});
  }
  return KeepsBounds(snapshot, request, holdings, plan) ? std::optional(std::move(plan))
                                                        : std::nullopt;
}

}  // namespace sluice::scheduler
