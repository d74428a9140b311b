// SPDX-License-Identifier: Apache-2.0
#include "scheduler/pod.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "scheduler/rules.h"

namespace sluice::scheduler {
namespace {

// Tries a pod on one node, on a copy of the node's cards.
class Trial {
 public:
  Trial(const Ledger& ledger, const Pod& pod, NodeIndex node)
      : ledger_(ledger), pod_(pod), first_(ledger.node(node).first_card) {
    const auto cards = ledger.CardsOf(node);
    cards_.assign(cards.begin(), cards.end());
    placement_.node = node;
    placement_.containers.resize(pod.containers.size());
    for (size_t i = 0; i < pod.containers.size(); ++i) order_.push_back(i);
    std::ranges::stable_sort(order_, {}, [&](size_t i) {
      const Demand& demand = ledger.demand(pod.containers[i]);
      // Who needs a card without holders comes before those who may join him there; who takes
      // compute as far as it is free leaves it to the others first.
      const bool idle = demand.whole || demand.idle_cards;
      return std::tuple(
          !idle, demand.by_memory, -demand.count, !demand.whole, Bytes(0) - demand.memory);
    });
  }

  std::optional<PodPlacement> Run() {
    if (!PlaceFrom(0)) return std::nullopt;
    return std::move(placement_);
  }

 private:
  using Cards = std::vector<size_t>;  // Positions on the node.

  const Need& NeedOf(DemandIndex demand, size_t at) const {
    return ledger_.NeedOf(demand, cards_[at].kind);
  }

  bool Named(DemandIndex demand, size_t at) const {
    return TakesName(ledger_.demand(demand), ledger_.card_id(first_ + static_cast<CardIndex>(at)));
  }

  int Numa(size_t at) const { return ledger_.numa(first_ + static_cast<CardIndex>(at)); }

  bool PlaceFrom(size_t next) {
    if (next == order_.size()) return PlaceInits();
    const DemandIndex demand = pod_.containers[order_[next]];
    for (const Cards& set : SetsFor(demand)) {
      if (++tries_ > kPodTriesMax) return false;
      const std::vector<CardState> cards = cards_;
      const size_t held = placement_.held.size();
      Put(demand, set, placement_.containers[order_[next]]);
      if (PlaceFrom(next + 1)) return true;
      cards_ = cards;
      placement_.held.resize(held);
      placement_.containers[order_[next]].clear();
    }
    return false;
  }

  // The sets of cards to try, in this order.
  std::vector<Cards> SetsFor(DemandIndex demand) const {
    const Demand& asked = ledger_.demand(demand);
    const auto count = static_cast<size_t>(asked.count);
    std::vector<Cards> sets;
    if (count == 0) return {{}};
    for (Cards cards : GroupsFor(demand)) {
      if (cards.size() < count) continue;
      std::ranges::sort(cards, {}, [&](size_t at) {
        return std::tuple(cards_[at].memory_free, cards_[at].compute_free, at);
      });
      if (count > 1) {
        sets.emplace_back(cards.begin(), cards.begin() + asked.count);
        sets.emplace_back(cards.end() - asked.count, cards.end());
        continue;
      }
      for (const size_t at : cards) sets.push_back({at});
    }
    if (asked.card_rule == CardRule::kSpread) std::ranges::reverse(sets);
    return sets;
  }

  // The cards that fit one by one; by NUMA node where it counts.
  std::vector<Cards> GroupsFor(DemandIndex demand) const {
    std::map<int, Cards> groups;
    const bool one_numa = ledger_.demand(demand).one_numa;
    for (size_t at = 0; at < cards_.size(); ++at) {
      if (!NeedFits(NeedOf(demand, at), cards_[at]) || !Named(demand, at)) continue;
      groups[one_numa ? Numa(at) : 0].push_back(at);
    }
    std::vector<Cards> list;
    for (auto& [numa, cards] : groups) list.push_back(std::move(cards));
    return list;
  }

  // Takes what one part of the demand needs of the card.
  void Hold(const Held& held) {
    CardState& card = cards_[held.card - first_];
    card.memory_free -= held.memory.value();
    card.compute_free -= static_cast<int32_t>(held.compute.value());
    card.taken ^= held.places;
    ++card.holders;
    --card.slots_free;
    placement_.held.push_back(held);
  }

  Held TakeOf(DemandIndex demand, size_t at) const {
    const Need& need = NeedOf(demand, at);
    const CardState& card = cards_[at];
    Held held{first_ + static_cast<CardIndex>(at),
              Bytes(need.memory),
              ComputeMillis(ComputeTaken(need, card)),
              0};
    if (need.width > 0) {
      const Cut& cut = ledger_.kind(card.kind).cut;
      held.places = ChoosePlaces(cut, need.starts, need.width, card.taken).value_or(0);
    }
    return held;
  }

  void Put(DemandIndex demand, const Cards& set, std::vector<CardIndex>& chosen) {
    for (const size_t at : set) {
      Hold(TakeOf(demand, at));
      chosen.push_back(first_ + static_cast<CardIndex>(at));
    }
  }

  // How an init gets its part of a card: from a share of the containers', which may have to grow.
  struct Reuse {
    int64_t memory = 0;  // More than the pod has there.
    int64_t compute = 0;
    size_t at = 0;
    std::optional<size_t> share;  // Of held; nothing: one of its own.
  };

  std::optional<Reuse> ReuseOf(DemandIndex demand, size_t at) const {
    const Need& need = NeedOf(demand, at);
    if (!need.admitted || !Named(demand, at)) return std::nullopt;
    if (need.width > 0) return ReuseOfPiece(demand, at);
    CardState without = cards_[at];
    Reuse reuse{.at = at};
    int64_t memory = 0;
    int64_t compute = 0;
    for (size_t i = 0; i < placement_.held.size(); ++i) {
      const Held& held = placement_.held[i];
      if (held.card - first_ != at) continue;
      if (!reuse.share) reuse.share = i;
      memory += held.memory.value();
      compute += held.compute.value();
      --without.holders;
      ++without.slots_free;
    }
    without.memory_free += memory;
    without.compute_free += static_cast<int32_t>(compute);
    if (!NeedFits(need, without)) return std::nullopt;
    reuse.memory = std::max<int64_t>(need.memory - memory, 0);
    reuse.compute = std::max<int64_t>(ComputeTaken(need, without) - compute, 0);
    return reuse;
  }

  // A piece does not grow: one that is large enough serves, or another one is taken.
  std::optional<Reuse> ReuseOfPiece(DemandIndex demand, size_t at) const {
    const Need& need = NeedOf(demand, at);
    for (size_t i = 0; i < placement_.held.size(); ++i) {
      const Held& held = placement_.held[i];
      const bool serves =
          held.memory.value() >= need.memory && held.compute.value() >= need.compute;
      if (held.card - first_ == at && serves && (!need.idle || HeldOn(at) == cards_[at].holders)) {
        return Reuse{.at = at, .share = i};
      }
    }
    if (!NeedFits(need, cards_[at])) return std::nullopt;
    return Reuse{.memory = need.memory, .compute = need.compute, .at = at, .share = std::nullopt};
  }

  int HeldOn(size_t at) const {
    return static_cast<int>(std::ranges::count_if(
        placement_.held, [&](const Held& held) { return held.card - first_ == at; }));
  }

  bool PlaceInits() {
    const std::vector<CardState> cards = cards_;
    const std::vector<Held> held = placement_.held;
    placement_.inits.assign(pod_.inits.size(), {});
    for (size_t i = 0; i < pod_.inits.size(); ++i) {
      if (PlaceInit(pod_.inits[i], placement_.inits[i])) continue;
      cards_ = cards;
      placement_.held = held;
      return false;
    }
    return true;
  }

  // On the cards where the pod needs the least more for it.
  bool PlaceInit(DemandIndex demand, std::vector<CardIndex>& chosen) {
    const Demand& asked = ledger_.demand(demand);
    const auto count = static_cast<size_t>(asked.count);
    std::map<int, std::vector<Reuse>> groups;
    for (size_t at = 0; at < cards_.size() && count > 0; ++at) {
      const auto reuse = ReuseOf(demand, at);
      if (reuse) groups[asked.one_numa ? Numa(at) : 0].push_back(*reuse);
    }
    const std::vector<Reuse>* best = nullptr;
    int64_t least = 0;
    for (auto& [numa, ways] : groups) {
      if (ways.size() < count) continue;
      std::ranges::stable_sort(ways, {}, [](const Reuse& way) {
        return std::tuple(way.memory, way.compute, !way.share, way.at);
      });
      ways.resize(count);
      int64_t more = 0;
      for (const Reuse& way : ways) more += way.memory;
      if (best != nullptr && more >= least) continue;
      best = &ways;
      least = more;
    }
    if (best == nullptr) return count == 0;
    for (const Reuse& way : *best) {
      Grow(demand, way);
      chosen.push_back(first_ + static_cast<CardIndex>(way.at));
    }
    return true;
  }

  void Grow(DemandIndex demand, const Reuse& way) {
    if (!way.share) return Hold(TakeOf(demand, way.at));
    Held& share = placement_.held[*way.share];
    share.memory += Bytes(way.memory);
    share.compute += ComputeMillis(way.compute);
    cards_[way.at].memory_free -= way.memory;
    cards_[way.at].compute_free -= static_cast<int32_t>(way.compute);
  }

  const Ledger& ledger_;
  const Pod& pod_;
  const CardIndex first_;
  std::vector<CardState> cards_;
  std::vector<size_t> order_;  // Of the containers, the hardest first.
  PodPlacement placement_;
  int tries_ = 0;
};

DemandIndex Hardest(const Ledger& ledger, const Pod& pod) {
  DemandIndex hardest = pod.beside;
  const auto key = [&](DemandIndex index) {
    const Demand& demand = ledger.demand(index);
    return std::tuple(demand.count, demand.whole, demand.memory);
  };
  for (const DemandIndex index : pod.containers) {
    if (ledger.demand(index).count > 0 && (hardest == pod.beside || key(index) > key(hardest))) {
      hardest = index;
    }
  }
  return hardest;
}

}  // namespace

Pod InternPod(Ledger& ledger,
              const std::vector<Demand>& containers,
              const std::vector<Demand>& inits) {
  Pod pod;
  Demand beside{.count = 0};
  for (const Demand& demand : containers) {
    beside.cpu_millis += demand.cpu_millis;
    beside.main_memory += demand.main_memory;
    pod.containers.push_back(ledger.Intern(demand));
  }
  for (const Demand& demand : inits) {
    beside.cpu_millis = std::max(beside.cpu_millis, demand.cpu_millis);
    beside.main_memory = std::max(beside.main_memory, demand.main_memory);
    pod.inits.push_back(ledger.Intern(demand));
  }
  pod.beside = ledger.Intern(beside);
  return pod;
}

std::optional<PodPlacement> PlacePod(const Ledger& ledger, Policy& policy, const Pod& pod) {
  const DemandIndex hardest = Hardest(ledger, pod);
  const bool by_rule = ledger.demand(hardest).node_rule != NodeRule::kPolicy;
  std::optional<PodPlacement> best;
  Score most = kNoFit;
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    if (!ledger.RoomBesideCards(pod.beside, node) || !ledger.Fits(hardest, node)) continue;
    const Score score =
        by_rule ? ScoreByRule(ledger, hardest, node) : policy.ScoreNode(ledger, hardest, node);
    if (score == kNoFit || (best && score <= most)) continue;
    if (auto found = Trial(ledger, pod, node).Run()) {
      best = std::move(found);
      most = score;
    }
  }
  return best;
}

BindingIndex BindPod(Ledger& ledger, const Pod& pod, const PodPlacement& placement) {
  return ledger.BindHeld(pod.beside, placement.node, placement.held);
}

}  // namespace sluice::scheduler
