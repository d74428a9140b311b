// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue.h"

#include <algorithm>
#include <limits>
#include <map>

#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

class Search {
 public:
  Search(const Ledger& ledger, DemandIndex demand, const RescueOptions& options)
      : scratch_(ledger), demand_(demand), options_(options), on_node_(ledger.nodes()) {
    for (BindingIndex i = 0; i < ledger.bindings(); ++i) {
      const Binding& binding = ledger.binding(i);
      if (binding.live && options.movable(i)) on_node_[binding.node].push_back(i);
    }
  }

  std::optional<Rescue> Run() {
    for (int moves = 1; moves <= options_.moves_max; ++moves) {
      for (NodeIndex node = 0; node < scratch_.nodes(); ++node) {
        if (scratch_.node(node).open && scratch_.FitsEmpty(demand_, scratch_.node(node).type)) {
          TryNode(node, moves);
        }
      }
      if (best_) return best_;
    }
    return std::nullopt;
  }

 private:
  // Takes each movable claim of the node away in turn, and with two moves each two.
  void TryNode(NodeIndex node, int moves) {
    const std::vector<BindingIndex> here = on_node_[node];
    for (size_t i = 0; i < here.size(); ++i) {
      const int64_t cost = Cost(here[i]);
      if (cost >= least_) continue;
      if (moves == 1) {
        Try(node, {here[i]}, cost);
        continue;
      }
      for (size_t j = i + 1; j < here.size(); ++j) {
        if (cost + Cost(here[j]) < least_) Try(node, {here[i], here[j]}, cost + Cost(here[j]));
      }
    }
  }

  void Try(NodeIndex node, const std::vector<BindingIndex>& away, int64_t cost) {
    // Bindings are released and bound again on the scratch ledger; their numbers change, so they
    // are kept by value.
    std::vector<Binding> was;
    for (const BindingIndex binding : away) {
      was.push_back(scratch_.binding(binding));
      scratch_.Release(binding);
    }
    Rescue rescue;
    std::vector<BindingIndex> undo;
    bool found = scratch_.Fits(demand_, node);
    if (found) {
      rescue.placement.node = node;
      ChooseTightestCards(scratch_, demand_, rescue.placement);
      undo.push_back(scratch_.Bind(demand_, rescue.placement));
    }
    for (size_t i = 0; i < was.size() && found; ++i) {
      const DemandIndex moved = was[i].demand;
      std::optional<Placement> to;
      if (RoomSomewhere(moved) || scratch_.Fits(moved, node)) to = TightestRoom(moved);
      found = to.has_value();
      if (!found) break;
      undo.push_back(scratch_.Bind(was[i].demand, *to));
      rescue.moves.push_back({away[i], *to});
    }
    // The last one released is the first one given back, so that each gets its number again.
    for (size_t i = undo.size(); i-- > 0;) scratch_.Release(undo[i]);
    for (size_t i = was.size(); i-- > 0;)
      scratch_.BindHeld(was[i].demand, was[i].node, was[i].held);
    if (found) {
      best_ = std::move(rescue);
      least_ = cost;
    }
  }

  // Whether any node takes the demand as things stand; found out once.
  bool RoomSomewhere(DemandIndex demand) {
    const auto [at, fresh] = room_.try_emplace(demand, false);
    for (NodeIndex node = 0; fresh && !at->second && node < scratch_.nodes(); ++node) {
      at->second = scratch_.Fits(demand, node);
    }
    return at->second;
  }

  // Least left on the card, or least CPU on the node for claims without a share.
  std::optional<Placement> TightestRoom(DemandIndex demand) {
    std::optional<Placement> best;
    int64_t least = std::numeric_limits<int64_t>::max();
    for (NodeIndex node = 0; node < scratch_.nodes(); ++node) {
      if (!scratch_.Fits(demand, node)) continue;
      Placement placement{.node = node, .cards = {}};
      ChooseTightestCards(scratch_, demand, placement);
      const Demand& asked = scratch_.demand(demand);
      const int64_t left = asked.count == 1 && !asked.whole
                               ? scratch_.card(placement.cards.front()).memory_free
                               : scratch_.node(node).cpu_free;
      if (left >= least) continue;
      least = left;
      best = std::move(placement);
    }
    return best;
  }

  int64_t Cost(BindingIndex index) const {
    int64_t memory = 1;  // Also who has no card is disturbed.
    for (const Held& part : scratch_.binding(index).held) memory += part.memory.value();
    return memory;
  }

  Ledger scratch_;
  DemandIndex demand_;
  const RescueOptions& options_;
  std::vector<std::vector<BindingIndex>> on_node_;
  std::map<DemandIndex, bool> room_;
  std::optional<Rescue> best_;
  int64_t least_ = std::numeric_limits<int64_t>::max();
};

}  // namespace

std::optional<Rescue> FindRescue(const Ledger& ledger,
                                 DemandIndex demand,
                                 const RescueOptions& options) {
  return Search(ledger, demand, options).Run();
}

}  // namespace sluice::scheduler
