// SPDX-License-Identifier: Apache-2.0
#include "scheduler/consolidate.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "scheduler/internal/bounds.h"
#include "scheduler/internal/holdings.h"

namespace sluice::scheduler {
namespace {

using internal::Card;
using internal::Part;

// What the claim's parts are, each for itself; nullopt if they are not alike.
std::optional<Demand> PartOf(const Movable& one, const std::vector<Part>& parts) {
  const Share& first = parts.front().share;
  for (const Part& part : parts) {
    const Share& share = part.share;
    if (share.memory != first.memory || share.guarantee != first.guarantee ||
        share.cap != first.cap) {
      return std::nullopt;
    }
  }
  Demand demand = ToDemand(one.request);
  demand.count = static_cast<int>(parts.size());
  demand.memory = first.memory;
  demand.guarantee = first.guarantee;
  demand.by_memory = false;
  return demand;
}

// Who can be moved, and what each asks of a card.
struct Mover {
  const Movable* movable = nullptr;
  const std::vector<Part>* parts = nullptr;
  Demand demand;
};

// One card emptied.
struct Emptied {
  std::vector<Relocation> moves;
  std::vector<size_t> onto;
  std::set<UserId> users;
  int people = 0;  // Beside those who are disturbed already.
  Bytes memory;
};

class Planner {
 public:
  Planner(const Snapshot& snapshot,
          std::span<const Movable> movable,
          const ConsolidationOptions& options)
      : options_(options),
        cards_(internal::ToCards(snapshot)),
        holdings_(internal::HoldingsOf(cards_)),
        fixed_(cards_.size()) {
    for (const Movable& one : movable) {
      const auto parts = holdings_.find(one.claim);
      if (parts == holdings_.end() || one.request.whole) continue;
      if (auto demand = PartOf(one, parts->second)) {
        movers_[one.claim] = {&one, &parts->second, std::move(*demand)};
      }
    }
    for (size_t i = 0; i < cards_.size(); ++i) {
      fixed_[i] = !cards_[i].open || cards_[i].gpu->pool != options.pool || cards_[i].shares == 0;
      order_.push_back(i);
    }
    std::ranges::sort(order_, {}, [&](size_t i) {
      return std::tuple(std::cref(cards_[i].gpu->node), std::cref(cards_[i].gpu->id));
    });
  }

  Consolidation Plan() {
    Consolidation plan;
    for (;;) {
      std::optional<Emptied> best;
      for (const size_t card : order_) {
        if (fixed_[card]) continue;
        std::optional<Emptied> one = Empty(card);
        if (!one || plan.people + one->people > options_.people_max) continue;
        if (best &&
            std::tuple(best->people, best->memory) <= std::tuple(one->people, one->memory)) {
          continue;
        }
        best = std::move(one);
      }
      if (!best) return plan;
      Take(*best, plan);
    }
  }

 private:
  std::optional<Emptied> Empty(size_t from) {
    std::vector<const Mover*> here;
    for (const Share& share : cards_[from].gpu->shares) {
      const auto mover = movers_.find(share.claim);
      if (mover == movers_.end()) return std::nullopt;
      here.push_back(&mover->second);
    }
    // The largest has the fewest places to go to.
    std::ranges::stable_sort(
        here, std::greater<>(), [](const Mover* one) { return one->demand.memory; });
    Emptied emptied;
    const std::vector<Card> before = cards_;
    for (const Mover* one : here) {
      if (!MoveOne(*one, from, emptied)) {
        cards_ = before;
        return std::nullopt;
      }
    }
    cards_ = before;
    return emptied;
  }

  bool MoveOne(const Mover& one, size_t from, Emptied& emptied) {
    std::vector<size_t> own;
    for (const Part& part : *one.parts) own.push_back(part.card);
    internal::GiveBackAll(cards_, holdings_, one.movable->claim);
    const std::vector<size_t> to = Room(one.demand, from, own);
    if (to.empty()) return false;
    Relocation move{one.movable->claim, {}, {}};
    for (const Part& part : *one.parts)
      move.from.push_back(ToAllocation(cards_[part.card].gpu->id, part.share));
    for (const size_t card : to) {
      move.to.push_back(ToAllocation(cards_[card].gpu->id, one.parts->front().share));
      emptied.memory += move.to.back().memory;
      emptied.onto.push_back(card);
    }
    internal::TakeAll(cards_, move.to);
    emptied.moves.push_back(std::move(move));
    const UserId& user = one.movable->user;
    const bool fresh =
        user.empty() || (!disturbed_.contains(user) && emptied.users.insert(user).second);
    emptied.people += fresh ? 1 : 0;
    return true;
  }

  // The tightest cards of one machine that take the demand; its own may be among them, but for the
  // one that is to be empty.
  std::vector<size_t> Room(const Demand& demand, size_t from, const std::vector<size_t>& own) {
    std::map<NodeId, std::vector<size_t>> by_node;
    for (const size_t i : order_) {
      const Card& card = cards_[i];
      const bool is_own = std::ranges::find(own, i) != own.end();
      if (i == from || (card.shares == 0 && !is_own) || card.gpu->pool != options_.pool) continue;
      const Need need = NeedOn(demand, internal::KindOf(*card.gpu));
      if (!NeedFits(need, internal::StateOf(card)) || !TakesName(demand, card.gpu->id)) continue;
      by_node[card.gpu->node].push_back(i);
    }
    std::vector<size_t> best;
    Bytes least;
    for (auto& [node, fitting] : by_node) {
      if (fitting.size() < static_cast<size_t>(demand.count)) continue;
      std::ranges::stable_sort(
          fitting, {}, [&](size_t i) { return internal::MemoryFree(cards_[i]); });
      fitting.resize(static_cast<size_t>(demand.count));
      Bytes free;
      for (const size_t i : fitting) free += internal::MemoryFree(cards_[i]);
      if (!best.empty() && free >= least) continue;
      least = free;
      best = std::move(fitting);
    }
    return best;
  }

  void Take(const Emptied& emptied, Consolidation& plan) {
    for (const Relocation& move : emptied.moves) {
      internal::GiveBackAll(cards_, holdings_, move.claim);
      internal::TakeAll(cards_, move.to);
      // It is moved once.
      for (const Part& part : *movers_.at(move.claim).parts) {
        fixed_[part.card] = true;
        if (cards_[part.card].shares == 0) plan.freed.push_back(cards_[part.card].gpu->id);
      }
      movers_.erase(move.claim);
    }
    for (const size_t card : emptied.onto) fixed_[card] = true;
    disturbed_.insert(emptied.users.begin(), emptied.users.end());
    plan.moves.insert(plan.moves.end(), emptied.moves.begin(), emptied.moves.end());
    plan.people += emptied.people;
    plan.memory += emptied.memory;
  }

  const ConsolidationOptions& options_;
  std::vector<Card> cards_;
  internal::Holdings holdings_;
  std::vector<size_t> order_;  // Of the cards, by machine and id.
  std::vector<bool> fixed_;    // By card: it is not emptied, or not any more.
  std::map<ClaimId, Mover> movers_;
  std::set<UserId> disturbed_;
};

// What the claim holds, in the order of the cards.
std::vector<Allocation> HeldBy(const std::vector<Gpu>& gpus, const ClaimId& claim) {
  std::vector<Allocation> held;
  for (const Gpu& gpu : gpus) {
    for (const Share& share : gpu.shares) {
      if (share.claim == claim) held.push_back(ToAllocation(gpu.id, share));
    }
  }
  return held;
}

bool HasRoom(const Gpu& gpu, const Allocation& allocation) {
  ComputeMillis guaranteed = allocation.guarantee;
  for (const Share& share : gpu.shares) guaranteed += share.guarantee;
  const bool computes = allocation.guarantee == ComputeMillis(0) || guaranteed <= gpu.compute;
  return MemoryFree(gpu) >= allocation.memory && computes;
}

bool DoMove(Snapshot& fleet, const Relocation& move) {
  std::vector<Gpu>& gpus = fleet.gpus;
  const std::vector<Card> before = internal::ToCards(fleet);
  std::vector<Allocation> held = HeldBy(gpus, move.claim);
  std::vector<Allocation> from = move.from;
  std::ranges::sort(held, {}, &Allocation::gpu);
  std::ranges::sort(from, {}, &Allocation::gpu);
  if (held != from) return false;
  for (Gpu& gpu : gpus) {
    std::erase_if(gpu.shares, [&](const Share& share) { return share.claim == move.claim; });
  }
  for (const Allocation& part : move.to) {
    const auto gpu = std::ranges::find(gpus, part.gpu, &Gpu::id);
    if (gpu == gpus.end() || !HasRoom(*gpu, part)) return false;
    gpu->shares.push_back(ToShare(move.claim, part));
  }
  const int opened =
      internal::CountsOf(internal::ToCards(fleet)).carrying - internal::CountsOf(before).carrying;
  return opened <= internal::BudgetFor(before, /*whole=*/false);
}

}  // namespace

Consolidation PlanConsolidation(const Snapshot& snapshot,
                                std::span<const Movable> movable,
                                const ConsolidationOptions& options) {
  return Planner(snapshot, movable, options).Plan();
}

std::vector<Relocation> StillPossible(const Snapshot& snapshot, std::span<const Relocation> moves) {
  Snapshot fleet = snapshot;
  std::vector<Relocation> possible;
  for (const Relocation& move : moves) {
    Snapshot then = fleet;
    if (!DoMove(then, move)) continue;
    fleet = std::move(then);
    possible.push_back(move);
  }
  return possible;
}

}  // namespace sluice::scheduler
