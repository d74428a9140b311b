// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rules.h"

#include <algorithm>
#include <limits>
#include <map>
#include <span>
#include <tuple>

namespace sluice::scheduler {
namespace {

constexpr int kSameNuma = 20;
constexpr int kOtherNuma = 10;

std::vector<CardIndex> Fitting(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
  const NodeState& state = ledger.node(node);
  std::vector<CardIndex> cards;
  for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
    if (ledger.CardFits(demand, card)) cards.push_back(card);
  }
  return cards;
}

int64_t SetsOf(size_t cards, size_t count) {
  int64_t sets = 1;
  for (size_t i = 1; i <= count && sets <= kSetsMax; ++i) {
    sets = sets * static_cast<int64_t>(cards - count + i) / static_cast<int64_t>(i);
  }
  return sets;
}

// Finds the best set of `count` of the cards.
class SetSearch {
 public:
  SetSearch(const Ledger& ledger, NodeIndex node, const std::vector<CardIndex>& cards)
      : ledger_(ledger), first_(ledger.node(node).first_card), cards_(cards) {
    const NodeType& type = ledger.type(ledger.node(node).type);
    for (const CardIndex a : cards) {
      for (const CardIndex b : cards) {
        close_.push_back(a == b ? 0 : Closeness(type, a - first_, b - first_));
      }
    }
  }

  struct Found {
    int64_t inside = -1;  // Closeness among the set.
    int64_t across = 0;   // To the other cards.
    int64_t free = 0;     // Memory.
    std::vector<CardIndex> cards;

    bool BetterThan(const Found& other) const {
      return std::tie(other.inside, across, free, cards) <
             std::tie(inside, other.across, other.free, other.cards);
    }
  };

  Found Best(size_t count) {
    best_ = {};
    if (SetsOf(cards_.size(), count) <= kSetsMax) {
      std::vector<size_t> set;
      TryAll(0, count, set);
    } else {
      for (size_t first = 0; first < cards_.size(); ++first) Consider(Grown(first, count));
    }
    return best_;
  }

 private:
  int Close(size_t a, size_t b) const { return close_[a * cards_.size() + b]; }

  void TryAll(size_t from, size_t count, std::vector<size_t>& set) {
    if (set.size() == count) return Consider(set);
    for (size_t i = from; i + (count - set.size()) <= cards_.size(); ++i) {
      set.push_back(i);
      TryAll(i + 1, count, set);
      set.pop_back();
    }
  }

  // From one card on, each time the one that is closest to those there are.
  std::vector<size_t> Grown(size_t first, size_t count) const {
    std::vector<size_t> set = {first};
    while (set.size() < count) {
      size_t next = cards_.size();
      int64_t most = -1;
      for (size_t i = 0; i < cards_.size(); ++i) {
        if (std::ranges::find(set, i) != set.end()) continue;
        int64_t sum = 0;
        for (const size_t other : set) sum += Close(i, other);
        if (sum > most) std::tie(most, next) = std::tuple(sum, i);
      }
      set.push_back(next);
    }
    std::ranges::sort(set);
    return set;
  }

  void Consider(const std::vector<size_t>& set) {
    Found found{.inside = 0};
    for (const size_t i : set) {
      found.cards.push_back(cards_[i]);
      found.free += ledger_.card(cards_[i]).memory_free;
      for (size_t j = 0; j < cards_.size(); ++j) {
        const bool in_set = std::ranges::find(set, j) != set.end();
        (in_set ? found.inside : found.across) += Close(i, j);
      }
    }
    if (found.BetterThan(best_)) best_ = std::move(found);
  }

  const Ledger& ledger_;
  const CardIndex first_;
  const std::vector<CardIndex>& cards_;
  std::vector<int> close_;  // By two positions in cards_.
  Found best_;
};

void ChooseClosest(const Ledger& ledger, DemandIndex demand, Placement& placement) {
  const auto count = static_cast<size_t>(ledger.demand(demand).count);
  const std::vector<CardIndex> fitting = Fitting(ledger, demand, placement.node);
  // With one_numa each NUMA node for itself.
  std::map<int, std::vector<CardIndex>> groups;
  for (const CardIndex card : fitting) {
    groups[ledger.demand(demand).one_numa ? ledger.numa(card) : 0].push_back(card);
  }
  SetSearch::Found best;
  for (const auto& [numa, cards] : groups) {
    if (cards.size() < count) continue;
    SetSearch::Found found = SetSearch(ledger, placement.node, cards).Best(count);
    if (found.BetterThan(best)) best = std::move(found);
  }
  placement.cards = std::move(best.cards);
}

void ChooseInOrder(const Ledger& ledger, DemandIndex demand, Placement& placement) {
  const bool spread = ledger.demand(demand).card_rule == CardRule::kSpread;
  const auto count = static_cast<size_t>(ledger.demand(demand).count);
  std::vector<CardIndex> cards = Fitting(ledger, demand, placement.node);
  std::ranges::sort(cards, {}, [&](CardIndex index) {
    const CardState& card = ledger.card(index);
    return spread ? std::tuple(-card.memory_free, card.holders, index)
                  : std::tuple(card.memory_free, card.compute_free, index);
  });
  if (!ledger.demand(demand).one_numa) {
    cards.resize(count);
    placement.cards = std::move(cards);
    return;
  }
  // The first NUMA node, in that order, of which there are enough.
  std::map<int, std::vector<CardIndex>> groups;
  for (const CardIndex card : cards) {
    std::vector<CardIndex>& group = groups[ledger.numa(card)];
    group.push_back(card);
    if (group.size() < count) continue;
    placement.cards = std::move(group);
    return;
  }
}

}  // namespace

int Closeness(const NodeType& type, size_t a, size_t b) {
  const size_t cards = type.kinds.size();
  const int linked = type.closeness.empty() ? 0 : type.closeness[a * cards + b];
  if (linked > 0 || type.numa[a] < 0 || type.numa[b] < 0) return linked;
  return type.numa[a] == type.numa[b] ? kSameNuma : kOtherNuma;
}

Score ScoreByRule(const Ledger& ledger, DemandIndex index, NodeIndex node) {
  const Demand& demand = ledger.demand(index);
  const NodeState& state = ledger.node(node);
  const NodeType& type = ledger.type(state.type);
  int64_t used = 0;
  int64_t all = 0;
  if (demand.count == 0) {
    all = type.cpu_millis;
    used = type.cpu_millis - state.cpu_free + demand.cpu_millis;
  }
  for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
    if (demand.count == 0) break;
    const CardState& now = ledger.card(card);
    const int64_t compute = ledger.kind(now.kind).compute.value();
    all += 1000 + compute;
    used += 1000 - now.memory_millis + compute - std::max(now.compute_free, 0);
  }
  if (demand.count > 0) {
    const Need& need = ledger.NeedOf(index, ledger.card(state.first_card).kind);
    used += int64_t{demand.count} * (need.memory_millis + need.compute);
  }
  const auto score = static_cast<Score>(1e8 * static_cast<double>(used) /
                                        static_cast<double>(std::max<int64_t>(all, 1)));
  return demand.node_rule == NodeRule::kSpread ? -score : score;
}

void ChooseByRule(const Ledger& ledger, DemandIndex demand, Placement& placement) {
  const CardRule rule = ledger.demand(demand).card_rule;
  if (rule == CardRule::kBinpack || rule == CardRule::kSpread) {
    ChooseInOrder(ledger, demand, placement);
  } else {
    ChooseClosest(ledger, demand, placement);
  }
}

}  // namespace sluice::scheduler
