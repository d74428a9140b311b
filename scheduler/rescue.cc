// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "scheduler/internal/mirror.h"
#include "scheduler/internal/rooms.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

constexpr BindingIndex kNobody = std::numeric_limits<BindingIndex>::max();

// One or two claims of a node that may make room by leaving, seen by what they hold.
struct Attempt {
  int64_t cost = 0;  // Bytes of cards that are moved, and one more for each claim.
  BindingIndex first = 0;
  BindingIndex second = kNobody;
  bool only_elsewhere = false;  // Tried: with no room on other nodes there is none.
};

}  // namespace

class RescueSearch {
 public:
  RescueSearch(const Ledger& ledger, std::function<bool(BindingIndex)> movable)
      : ledger_(ledger), mirror_(ledger, std::move(movable)), rooms_(ledger) {}

  std::optional<Rescue> Find(DemandIndex demand, int moves_max) {
    mirror_.Follow();
    for (int moves = 1; moves <= moves_max; ++moves) {
      Chances& chances = chances_[{demand, moves}];
      if (chances.in_vain_at == ledger_.now() && chances.by_node.size() == ledger_.nodes()) {
        continue;
      }
      Refresh(demand, moves, chances);
      if (auto rescue = FirstThatWorks(demand, chances)) return rescue;
      chances.in_vain_at = ledger_.now();
    }
    return std::nullopt;
  }

 private:
  // What might be tried for a demand with so many moves.
  struct Chances {
    uint64_t seen = 0;        // Position in the ledger's log: changes from here on are unseen.
    uint64_t in_vain_at = 0;  // Where the log was when all of them had failed.
    std::vector<bool> type_fits;
    std::vector<std::vector<Attempt>> by_node;
  };
  struct Try {
    Attempt* attempt = nullptr;
    NodeIndex node = 0;
  };

  void Refresh(DemandIndex demand, int moves, Chances& chances) {
    if (chances.by_node.size() != ledger_.nodes() || chances.seen < ledger_.kept_from()) {
      chances = {};
      for (TypeIndex type = 0; type < ledger_.types(); ++type) {
        chances.type_fits.push_back(ledger_.FitsEmpty(demand, type));
      }
      chances.by_node.resize(ledger_.nodes());
      for (NodeIndex node = 0; node < ledger_.nodes(); ++node) Look(demand, moves, node, chances);
    } else {
      uint64_t at = chances.seen;
      for (const NodeIndex node : ledger_.ChangesSince(chances.seen)) {
        // Only a node's last change counts.
        if (ledger_.node(node).changed_at == at++) Look(demand, moves, node, chances);
      }
    }
    chances.seen = ledger_.now();
  }

  // Those claims of the node, or those two, without whom there may be room.
  void Look(DemandIndex demand, int moves, NodeIndex node, Chances& chances) {
    std::vector<Attempt>& attempts = chances.by_node[node];
    attempts.clear();
    const NodeState& state = ledger_.node(node);
    if (!state.open || !chances.type_fits[state.type]) return;
    movable_.clear();
    for (const BindingIndex one : mirror_.ClaimsOf(node)) {
      if (mirror_.movable(one)) movable_.push_back(one);
    }
    if (movable_.empty() || !MayFit(demand, node, movable_)) return;
    for (size_t i = 0; i < movable_.size(); ++i) {
      const BindingIndex first = movable_[i];
      if (moves == 1) {
        if (MayFit(demand, node, {&first, 1})) attempts.push_back({Cost(first), first});
        continue;
      }
      for (size_t j = i + 1; j < movable_.size(); ++j) {
        const BindingIndex both[] = {first, movable_[j]};
        if (!MayFit(demand, node, both)) continue;
        attempts.push_back({Cost(first) + Cost(both[1]), first, both[1]});
      }
    }
  }

  // False: the demand does not fit the node without them. True: it may.
  bool MayFit(DemandIndex demand, NodeIndex index, std::span<const BindingIndex> away) {
    const Demand& asked = ledger_.demand(demand);
    const NodeState& node = ledger_.node(index);
    int64_t cpu = node.cpu_free;
    int64_t memory = node.memory_free;
    for (const BindingIndex one : away) {
      const Demand& held = ledger_.demand(ledger_.binding(one).demand);
      cpu += held.cpu_millis;
      memory += held.main_memory.value();
    }
    if (cpu < asked.cpu_millis || memory < asked.main_memory.value()) return false;
    const std::span<const CardState> now = ledger_.CardsOf(index);
    cards_.assign(now.begin(), now.end());
    for (const BindingIndex one : away) {
      for (const Held& part : ledger_.binding(one).held) {
        CardState& card = cards_[part.card - node.first_card];
        card.memory_free += part.memory.value();
        card.compute_free += static_cast<int32_t>(part.compute.value());
        card.taken ^= part.places;
        ++card.slots_free;
        --card.holders;
      }
    }
    int missing = asked.count;
    for (size_t i = 0; i < cards_.size() && missing > 0; ++i) {
      missing -= NeedFits(ledger_.NeedOf(demand, cards_[i].kind), cards_[i]) ? 1 : 0;
    }
    return missing <= 0;
  }

  std::optional<Rescue> FirstThatWorks(DemandIndex demand, Chances& chances) {
    tries_.clear();
    for (NodeIndex node = 0; node < chances.by_node.size(); ++node) {
      for (Attempt& attempt : chances.by_node[node]) {
        if (!attempt.only_elsewhere || AnyRoomElsewhere(attempt, node)) {
          tries_.push_back({&attempt, node});
        }
      }
    }
    std::ranges::sort(tries_, {}, [](const Try& one) {
      return std::tuple(one.attempt->cost, one.node, one.attempt->first, one.attempt->second);
    });
    for (const Try& one : tries_) {
      if (auto rescue = Carry(demand, *one.attempt, one.node)) return rescue;
      if (!AnyRoomElsewhere(*one.attempt, one.node)) one.attempt->only_elsewhere = true;
    }
    return std::nullopt;
  }

  bool AnyRoomElsewhere(const Attempt& attempt, NodeIndex node) {
    const auto elsewhere = [&](BindingIndex one) {
      return rooms_.Tightest(ledger_.binding(one).demand, node).has_value();
    };
    return elsewhere(attempt.first) || (attempt.second != kNobody && elsewhere(attempt.second));
  }

  // Does it on a copy of the ledger, and undoes it.
  std::optional<Rescue> Carry(DemandIndex demand, const Attempt& attempt, NodeIndex node) {
    std::vector<BindingIndex> away = {attempt.first};
    if (attempt.second != kNobody) away.push_back(attempt.second);
    Ledger& scratch = mirror_.Scratch();
    // Their numbers there change while others are bound, so they are kept by value.
    std::vector<Binding> was;
    for (const BindingIndex one : away) {
      was.push_back(ledger_.binding(one));
      scratch.Release(mirror_.InScratch(one));
    }
    Rescue rescue;
    std::vector<BindingIndex> undo;
    bool found = scratch.Fits(demand, node);
    if (found) {
      rescue.placement.node = node;
      ChooseTightestCards(scratch, demand, rescue.placement);
      undo.push_back(scratch.Bind(demand, rescue.placement));
    }
    NodeIndex also = kNoNode;  // Where the first of them went.
    for (size_t i = 0; i < was.size() && found; ++i) {
      auto to = TightestRoom(scratch, was[i].demand, node, also);
      found = to.has_value();
      if (!found) break;
      undo.push_back(scratch.Bind(was[i].demand, *to));
      also = to->node;
      rescue.moves.push_back({away[i], *std::move(to)});
    }
    // The last one released is the first one given back, so that each gets its number again.
    for (size_t i = undo.size(); i-- > 0;) scratch.Release(undo[i]);
    for (size_t i = was.size(); i-- > 0;) scratch.BindHeld(was[i].demand, was[i].node, was[i].held);
    return found ? std::optional(std::move(rescue)) : std::nullopt;
  }

  // On the copy, in which `node` and `also` are not as in the ledger.
  std::optional<Placement> TightestRoom(const Ledger& scratch,
                                        DemandIndex demand,
                                        NodeIndex node,
                                        NodeIndex also) {
    std::optional<Room> best = rooms_.Tightest(demand, node, also);
    for (const NodeIndex changed : {node, also}) {
      if (changed == kNoNode) continue;
      const auto room = RoomOn(scratch, demand, changed);
      if (room && (!best || *room < *best)) best = room;
    }
    if (!best) return std::nullopt;
    Placement placement{.node = best->node, .cards = {}};
    ChooseTightestCards(scratch, demand, placement);
    return placement;
  }

  int64_t Cost(BindingIndex index) const {
    int64_t memory = 1;  // Also who has no card is disturbed.
    for (const Held& part : ledger_.binding(index).held) memory += part.memory.value();
    return memory;
  }

  const Ledger& ledger_;
  Mirror mirror_;
  Rooms rooms_;
  std::map<std::pair<DemandIndex, int>, Chances> chances_;  // By demand and moves.
  // Kept for their memory.
  std::vector<BindingIndex> movable_;
  std::vector<CardState> cards_;
  std::vector<Try> tries_;
};

Rescuer::Rescuer(const Ledger& ledger, std::function<bool(BindingIndex)> movable)
    : search_(std::make_unique<RescueSearch>(ledger, std::move(movable))) {}
Rescuer::~Rescuer() = default;

std::optional<Rescue> Rescuer::Find(DemandIndex demand, int moves_max) {
  return search_->Find(demand, moves_max);
}

std::optional<Rescue> FindRescue(const Ledger& ledger,
                                 DemandIndex demand,
                                 const RescueOptions& options) {
  return Rescuer(ledger, options.movable).Find(demand, options.moves_max);
}

}  // namespace sluice::scheduler
