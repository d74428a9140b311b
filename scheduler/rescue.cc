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
constexpr int64_t kFull = std::numeric_limits<int64_t>::max();

// One or two claims of a node that may make room by leaving, seen by what they hold.
struct Attempt {
  int64_t cost = 0;  // Bytes of cards that are moved, and one more for each claim.
  BindingIndex first = 0;
  BindingIndex second = kNobody;
  // Looked at on the node alone: whether the first, the second, or one of them must find room on
  // another one, as beside the demand there is none; or whether the demand does not fit after all.
  bool known = false;
  bool first_out = false;
  bool second_out = false;
  bool one_out = false;
  bool useless = false;
};

// The copy of a ledger without those of an attempt. Puts it back as it was at its end.
class Away {
 public:
  Away(const Ledger& ledger, Mirror& mirror, const Attempt& attempt) : scratch_(mirror.Scratch()) {
    for (const BindingIndex one : {attempt.first, attempt.second}) {
      if (one == kNobody) continue;
      was_.push_back(&ledger.binding(one));
      scratch_.Release(mirror.InScratch(one));
    }
  }
  Away(const Away&) = delete;
  Away& operator=(const Away&) = delete;
  ~Away() {
    // The last one released is the first one given back, so that each gets its number again.
    for (size_t i = placed_.size(); i-- > 0;) scratch_.Release(placed_[i]);
    for (size_t i = was_.size(); i-- > 0;) {
      scratch_.BindHeld(was_[i]->demand, was_[i]->node, was_[i]->held);
    }
  }

  Ledger& scratch() { return scratch_; }
  // Requires: it fits there.
  Placement Place(DemandIndex demand, NodeIndex node) {
    Placement placement{.node = node, .cards = {}};
    ChooseTightestCards(scratch_, demand, placement);
    placed_.push_back(scratch_.Bind(demand, placement));
    return placement;
  }

 private:
  Ledger& scratch_;
  std::vector<const Binding*> was_;
  std::vector<BindingIndex> placed_;
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
        if (HasAChance(demand, attempt, node)) tries_.push_back({&attempt, node});
      }
    }
    std::ranges::sort(tries_, {}, [](const Try& one) {
      return std::tuple(one.attempt->cost, one.node, one.attempt->first, one.attempt->second);
    });
    for (const Try& one : tries_) {
      if (auto rescue = Carry(demand, *one.attempt, one.node)) return rescue;
    }
    return std::nullopt;
  }

  // False: it cannot work.
  bool HasAChance(DemandIndex demand, Attempt& attempt, NodeIndex node) {
    const auto elsewhere = [&](BindingIndex one) {
      return one != kNobody && rooms_.Elsewhere(ledger_.binding(one).demand, node);
    };
    const bool first = elsewhere(attempt.first);
    const bool second = elsewhere(attempt.second);
    if (!attempt.known) LookOnNode(demand, attempt, node);
    return !attempt.useless && (first || !attempt.first_out) && (second || !attempt.second_out) &&
           (first || second || !attempt.one_out);
  }

  // What depends on nothing but the node.
  void LookOnNode(DemandIndex demand, Attempt& attempt, NodeIndex node) {
    attempt.known = true;
    Away away(ledger_, mirror_, attempt);
    Ledger& scratch = away.scratch();
    attempt.useless = !scratch.Fits(demand, node);
    if (attempt.useless) return;
    away.Place(demand, node);
    const DemandIndex first = ledger_.binding(attempt.first).demand;
    attempt.first_out = !scratch.Fits(first, node);
    attempt.one_out = attempt.first_out;
    if (attempt.second == kNobody) return;
    const DemandIndex second = ledger_.binding(attempt.second).demand;
    attempt.second_out = !scratch.Fits(second, node);
    if (!attempt.first_out) {
      away.Place(first, node);
      attempt.one_out = !scratch.Fits(second, node);
    }
  }

  std::optional<Rescue> Carry(DemandIndex demand, const Attempt& attempt, NodeIndex node) {
    Away away(ledger_, mirror_, attempt);
    Rescue rescue{.moves = {}, .placement = away.Place(demand, node)};
    NodeIndex also = kNoNode;  // Where the first of them went.
    for (const BindingIndex one : {attempt.first, attempt.second}) {
      if (one == kNobody) break;
      const DemandIndex moved = ledger_.binding(one).demand;
      const NodeIndex to = TightestRoom(away.scratch(), moved, node, also);
      if (to == kNoNode) return std::nullopt;
      rescue.moves.push_back({one, away.Place(moved, to)});
      also = to;
    }
    return rescue;
  }

  // On the copy, in which `node` and `also` are not as in the ledger.
  NodeIndex TightestRoom(const Ledger& scratch,
                         DemandIndex demand,
                         NodeIndex node,
                         NodeIndex also) {
    Room best = rooms_.Tightest(demand, node, also).value_or(Room{kFull, kNoNode});
    for (const NodeIndex changed : {node, also}) {
      if (changed == kNoNode) continue;
      best = std::min(best, RoomOn(scratch, demand, changed).value_or(best));
    }
    return best.node;
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
