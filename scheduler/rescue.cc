// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue.h"

#include <algorithm>
#include <limits>
#include <map>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

// One or two claims of a node that might make room.
struct Attempt {
  int64_t cost = 0;
  NodeIndex node = 0;
  std::vector<BindingIndex> away;
};

class Search {
 public:
  Search(const Ledger& ledger, DemandIndex demand, const RescueOptions& options)
      : ledger_(ledger), demand_(demand), options_(options), on_node_(ledger.nodes()) {
    for (TypeIndex type = 0; type < ledger.types(); ++type) {
      type_fits_.push_back(ledger.FitsEmpty(demand, type));
    }
    most_free_.reserve(ledger.nodes());
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      int64_t most = 0;
      for (const CardState& card : ledger.CardsOf(node)) {
        if (card.open) most = std::max(most, card.memory_free);
      }
      most_free_.push_back(most);
    }
    for (BindingIndex i = 0; i < ledger.bindings(); ++i) {
      const Binding& binding = ledger.binding(i);
      if (!binding.live || !type_fits_[ledger.node(binding.node).type]) continue;
      if (options_.movable(i)) on_node_[binding.node].push_back(i);
    }
  }

  std::optional<Rescue> Run() {
    for (int moves = 1; moves <= options_.moves_max; ++moves) {
      attempts_.clear();
      for (NodeIndex node = 0; node < ledger_.nodes(); ++node) Attempts(node, moves);
      // Found in the order of nodes, which is the order of those that cost as much.
      std::ranges::stable_sort(attempts_, {}, &Attempt::cost);
      for (const Attempt& attempt : attempts_) {
        if (!RoomFor(attempt)) continue;
        if (auto rescue = Try(attempt)) return rescue;
      }
    }
    return std::nullopt;
  }

 private:
  // Those claims of the node, or those two, without whom there may be room: seen by what they hold.
  void Attempts(NodeIndex node, int moves) {
    const std::vector<BindingIndex>& here = on_node_[node];
    if (here.empty() || !ledger_.node(node).open || !MayFit(node, here)) return;
    const int fitting = moves == 1 ? CardsThatFit(node) : 0;
    for (size_t i = 0; i < here.size(); ++i) {
      if (moves == 1) {
        if (MayFitWithout(node, fitting, here[i])) Note(node, {here[i]});
        continue;
      }
      for (size_t j = i + 1; j < here.size(); ++j) {
        if (MayFit(node, {here[i], here[j]})) Note(node, {here[i], here[j]});
      }
    }
  }

  void Note(NodeIndex node, std::vector<BindingIndex> away) {
    int64_t cost = 0;
    for (const BindingIndex binding : away) cost += Cost(binding);
    attempts_.push_back({cost, node, std::move(away)});
  }

  int CardsThatFit(NodeIndex node) const {
    int fitting = 0;
    for (const CardState& card : ledger_.CardsOf(node)) {
      fitting += NeedFits(ledger_.NeedOf(demand_, card.kind), card) ? 1 : 0;
    }
    return fitting;
  }

  static CardState Without(CardState card, const Held& part) {
    card.memory_free += part.memory.value();
    card.compute_free += static_cast<int32_t>(part.compute.value());
    card.taken ^= part.places;
    ++card.slots_free;
    --card.holders;
    return card;
  }

  // MayFit() for one, by its own cards alone.
  bool MayFitWithout(NodeIndex index, int fitting, BindingIndex one) const {
    const Demand& asked = ledger_.demand(demand_);
    const NodeState& node = ledger_.node(index);
    const Binding& binding = ledger_.binding(one);
    const Demand& held = ledger_.demand(binding.demand);
    if (node.cpu_free + held.cpu_millis < asked.cpu_millis ||
        node.memory_free + held.main_memory.value() < asked.main_memory.value()) {
      return false;
    }
    for (const Held& part : binding.held) {
      const CardState& card = ledger_.card(part.card);
      const Need& need = ledger_.NeedOf(demand_, card.kind);
      fitting += NeedFits(need, Without(card, part)) ? 1 : 0;
      fitting -= NeedFits(need, card) ? 1 : 0;
    }
    return fitting >= asked.count;
  }

  // False: the demand does not fit the node without them. True: it may.
  bool MayFit(NodeIndex index, const std::vector<BindingIndex>& away) {
    const Demand& asked = ledger_.demand(demand_);
    const NodeState& node = ledger_.node(index);
    int64_t cpu = node.cpu_free;
    int64_t memory = node.memory_free;
    const std::span<const CardState> now = ledger_.CardsOf(index);
    cards_.assign(now.begin(), now.end());
    for (const BindingIndex one : away) {
      const Binding& binding = ledger_.binding(one);
      const Demand& held = ledger_.demand(binding.demand);
      cpu += held.cpu_millis;
      memory += held.main_memory.value();
      for (const Held& part : binding.held) {
        CardState& card = cards_[part.card - node.first_card];
        card = Without(card, part);
      }
    }
    if (cpu < asked.cpu_millis || memory < asked.main_memory.value()) return false;
    int missing = asked.count;
    for (size_t i = 0; i < cards_.size() && missing > 0; ++i) {
      missing -= NeedFits(ledger_.NeedOf(demand_, cards_[i].kind), cards_[i]) ? 1 : 0;
    }
    return missing <= 0;
  }

  // False: one of them has no room anywhere.
  bool RoomFor(const Attempt& attempt) {
    return std::ranges::all_of(attempt.away, [&](BindingIndex binding) {
      const DemandIndex moved = ledger_.binding(binding).demand;
      if (RoomSomewhere(moved)) return true;
      // Where a card alone was too full, the one who leaves it finds no room beside the demand; but
      // several may change places, and a guarantee by memory takes what is left.
      const Demand& held = ledger_.demand(moved);
      return attempt.away.size() > 1 || held.count > 1 || held.by_memory;
    });
  }

  std::optional<Rescue> Try(const Attempt& attempt) {
    if (!scratch_) scratch_.emplace(ledger_);
    Ledger& scratch = *scratch_;
    const NodeIndex node = attempt.node;
    // Bindings are released and bound again on the scratch ledger; their numbers change, so they
    // are kept by value.
    std::vector<Binding> was;
    for (const BindingIndex binding : attempt.away) {
      was.push_back(scratch.binding(binding));
      scratch.Release(binding);
    }
    Rescue rescue;
    std::vector<BindingIndex> undo;
    bool found = scratch.Fits(demand_, node);
    if (found) {
      rescue.placement.node = node;
      ChooseTightestCards(scratch, demand_, rescue.placement);
      undo.push_back(scratch.Bind(demand_, rescue.placement));
    }
    for (size_t i = 0; i < was.size() && found; ++i) {
      const DemandIndex moved = was[i].demand;
      std::optional<Placement> to;
      if (RoomSomewhere(moved) || scratch.Fits(moved, node)) to = TightestRoom(moved, node);
      found = to.has_value();
      if (!found) break;
      undo.push_back(scratch.Bind(was[i].demand, *to));
      rescue.moves.push_back({attempt.away[i], *to});
    }
    // The last one released is the first one given back, so that each gets its number again.
    for (size_t i = undo.size(); i-- > 0;) scratch.Release(undo[i]);
    for (size_t i = was.size(); i-- > 0;) scratch.BindHeld(was[i].demand, was[i].node, was[i].held);
    return found ? std::optional(std::move(rescue)) : std::nullopt;
  }

  // The least memory that the demand takes of a card.
  int64_t LeastOf(DemandIndex demand) const {
    if (ledger_.demand(demand).count == 0) return 0;
    int64_t least = std::numeric_limits<int64_t>::max();
    for (KindIndex kind = 0; kind < ledger_.kinds(); ++kind) {
      const Need& need = ledger_.NeedOf(demand, kind);
      if (need.admitted) least = std::min(least, need.memory);
    }
    return least;
  }

  // Whether any node takes the demand as things stand; found out once.
  bool RoomSomewhere(DemandIndex demand) {
    const auto [at, fresh] = room_.try_emplace(demand, false);
    if (!fresh) return at->second;
    const int64_t least = LeastOf(demand);
    for (NodeIndex node = 0; !at->second && node < ledger_.nodes(); ++node) {
      at->second = most_free_[node] >= least && ledger_.Fits(demand, node);
    }
    return at->second;
  }

  // Least left on the card, or least CPU on the node for claims without a share.
  // `changed` is the node that has more room than at first.
  std::optional<Placement> TightestRoom(DemandIndex demand, NodeIndex changed) {
    std::optional<Placement> best;
    const int64_t smallest = LeastOf(demand);
    int64_t least = std::numeric_limits<int64_t>::max();
    for (NodeIndex node = 0; node < scratch_->nodes(); ++node) {
      if (node != changed && most_free_[node] < smallest) continue;
      if (!scratch_->Fits(demand, node)) continue;
      Placement placement{.node = node, .cards = {}};
      ChooseTightestCards(*scratch_, demand, placement);
      const Demand& asked = scratch_->demand(demand);
      const int64_t left = asked.count == 1 && !asked.whole
                               ? scratch_->card(placement.cards.front()).memory_free
                               : scratch_->node(node).cpu_free;
      if (left >= least) continue;
      least = left;
      best = std::move(placement);
    }
    return best;
  }

  int64_t Cost(BindingIndex index) const {
    int64_t memory = 1;  // Also who has no card is disturbed.
    for (const Held& part : ledger_.binding(index).held) memory += part.memory.value();
    return memory;
  }

  const Ledger& ledger_;
  DemandIndex demand_;
  const RescueOptions& options_;
  std::vector<std::vector<BindingIndex>> on_node_;
  std::map<DemandIndex, bool> room_;
  std::vector<bool> type_fits_;
  std::vector<int64_t> most_free_;  // By node: card memory, on one card.
  std::vector<Attempt> attempts_;
  std::vector<CardState> cards_;
  std::optional<Ledger> scratch_;  // Copied when there is something to try.
};

}  // namespace

std::optional<Rescue> FindRescue(const Ledger& ledger,
                                 DemandIndex demand,
                                 const RescueOptions& options) {
  return Search(ledger, demand, options).Run();
}

}  // namespace sluice::scheduler
