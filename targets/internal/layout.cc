// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <optional>

#include "targets/internal/supply.h"

namespace sluice::targets {
namespace {

using scheduler::Berth;
using scheduler::CardIndex;
using scheduler::CardState;
using scheduler::Demand;
using scheduler::DemandIndex;
using scheduler::Ledger;
using scheduler::NodeIndex;
using scheduler::NodeState;
using scheduler::Placement;

// What goes onto one card together, or one claim for whole cards.
struct Item {
  std::vector<DemandIndex> claims;
  size_t group = 0;
  int cards = 1;
  int64_t cpu_millis = 0;
  int64_t memory = 0;       // Main memory, bytes.
  int32_t card_millis = 0;  // Of the card, for shares.
  int32_t card_compute = 0;
};

class Layout {
 public:
  Layout(const Ledger& ledger,
         const std::vector<Expected>& expected,
         const std::vector<Supply>& supplies,
         const Fractions& fractions)
      : expected_(expected), supplies_(supplies), fractions_(fractions), scratch_(ledger) {
    program_.targets.by_node.resize(ledger.nodes());
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      unheld_.push_back(static_cast<int>(std::ranges::count_if(
          ledger.CardsOf(node), [](const CardState& card) { return Unheld(card); })));
    }
  }

  Program Run() {
    const std::vector<std::vector<int>> claims = WholeClaims();
    for (size_t s = 0; s < supplies_.size(); ++s) LayOutSupply(s, claims);
    PlaceLeftOver();
    program_.bound_millis = static_cast<int64_t>(fractions_.bound_millis);
    return std::move(program_);
  }

 private:
  static bool Unheld(const CardState& card) { return card.open && card.holders == 0; }

  // [expected][supply], rounded so that each demand keeps its sum.
  std::vector<std::vector<int>> WholeClaims() const {
    std::vector<std::vector<int>> whole;
    for (const std::vector<double>& fractions : fractions_.claims) {
      std::vector<int>& counts = whole.emplace_back();
      std::vector<std::pair<double, size_t>> cut;
      double sum = 0;
      int given = 0;
      for (size_t s = 0; s < fractions.size(); ++s) {
        counts.push_back(static_cast<int>(std::floor(fractions[s] + 1e-9)));
        cut.emplace_back(counts.back() - fractions[s], s);
        sum += fractions[s];
        given += counts.back();
      }
      std::ranges::sort(cut);
      const int wanted = static_cast<int>(std::floor(sum + 0.5));
      for (size_t i = 0; given < wanted && i < cut.size(); ++i, ++given) ++counts[cut[i].second];
    }
    return whole;
  }

  void LayOutSupply(size_t s, const std::vector<std::vector<int>>& claims) {
    const Supply& supply = supplies_[s];
    std::vector<Item> items;
    std::vector<DemandIndex> without_cards;
    // Per size the demands, least CPU first.
    std::vector<std::deque<DemandIndex>> shares(supply.sizes.size());
    for (size_t i = 0; i < expected_.size(); ++i) {
      const DemandIndex index = expected_[i].demand;
      const Demand& demand = scratch_.demand(index);
      for (int n = 0; n < claims[i][s]; ++n) {
        if (demand.count == 0) {
          without_cards.push_back(index);
        } else if (supply.size_of[i] >= 0) {
          shares[static_cast<size_t>(supply.size_of[i])].push_back(index);
        } else {
          items.push_back(
              {{index}, 0, demand.count, demand.cpu_millis, demand.main_memory.value(), 1000, 0});
        }
      }
    }
    for (auto& same : shares) {
      std::ranges::stable_sort(
          same, {}, [&](DemandIndex d) { return scratch_.demand(d).cpu_millis; });
    }
    FillCards(s, shares, items);
    FillFullest(s, shares, items);
    const auto weight = [&](const Item& item) {
      const Parts parts = PartsOf(supply, item.cpu_millis, item.memory);
      return std::max(parts.cpu, parts.memory);
    };
    std::ranges::stable_sort(items, [&](const Item& a, const Item& b) {
      return std::tuple(a.cards, weight(a), a.card_millis) >
             std::tuple(b.cards, weight(b), b.card_millis);
    });
    for (const Item& item : items) PlaceItem(supply, item);
    std::ranges::stable_sort(without_cards, std::greater(), [&](DemandIndex d) {
      return scratch_.demand(d).cpu_millis;
    });
    for (const DemandIndex demand : without_cards) PlaceWithoutCards(supply, demand);
  }

  void Take(const Supply& supply, DemandIndex index, Item& item) const {
    const Demand& demand = scratch_.demand(index);
    const scheduler::Need& need = scratch_.NeedOf(index, supply.kind);
    item.claims.push_back(index);
    item.cpu_millis += demand.cpu_millis;
    item.memory += demand.main_memory.value();
    item.card_millis += need.memory_millis;
    item.card_compute += need.compute;
  }

  // Cards as the program fills them. Much and little CPU go together.
  void FillCards(size_t s,
                 std::vector<std::deque<DemandIndex>>& shares,
                 std::vector<Item>& items) const {
    std::vector<const Filling*> fillings;
    for (const Filling& filling : fractions_.fillings) {
      if (filling.supply == s) fillings.push_back(&filling);
    }
    std::ranges::stable_sort(fillings, std::greater(), [](const Filling* f) { return f->cards; });
    for (const Filling* filling : fillings) {
      for (int n = static_cast<int>(std::floor(filling->cards + 0.5)); n > 0; --n) {
        bool there = true;
        for (size_t size = 0; size < shares.size(); ++size) {
          there = there && static_cast<int>(shares[size].size()) >= filling->pattern[size];
        }
        if (!there) break;
        Item item{.claims = {}, .group = filling->group};
        bool most_cpu = true;
        for (size_t size = shares.size(); size-- > 0;) {
          for (int k = 0; k < filling->pattern[size]; ++k, most_cpu = !most_cpu) {
            auto& same = shares[size];
            Take(supplies_[s], most_cpu ? same.back() : same.front(), item);
            most_cpu ? same.pop_back() : same.pop_front();
          }
        }
        items.push_back(std::move(item));
      }
    }
  }

  // What rounding left over, largest first, onto the fullest card that takes it.
  void FillFullest(size_t s,
                   std::vector<std::deque<DemandIndex>>& shares,
                   std::vector<Item>& items) const {
    const Supply& supply = supplies_[s];
    std::vector<size_t> order(shares.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, [&](size_t a, size_t b) { return supply.sizes[b] < supply.sizes[a]; });
    for (const size_t size : order) {
      for (; !shares[size].empty(); shares[size].pop_back()) {
        const Extent extent = supply.sizes[size];
        Item* fullest = nullptr;
        for (Item& item : items) {
          const Extent room = supply.groups[item.group].room;
          const bool fits = item.cards == 1 && IsShare(scratch_.demand(item.claims.front())) &&
                            item.card_millis + extent.memory <= room.memory &&
                            item.card_compute + extent.compute <= room.compute;
          if (fits && (fullest == nullptr || item.card_millis > fullest->card_millis)) {
            fullest = &item;
          }
        }
        if (fullest == nullptr) fullest = &items.emplace_back();
        Take(supply, shares[size].back(), *fullest);
      }
    }
  }

  // CPU and main memory as parts of what such a node has in all.
  struct Parts {
    double cpu = 0;
    double memory = 0;
  };
  Parts PartsOf(const Supply& supply, int64_t cpu_millis, int64_t memory) const {
    const scheduler::NodeType& type = scratch_.type(supply.type);
    const auto part = [](int64_t of, int64_t all) {
      return static_cast<double>(of) / static_cast<double>(std::max<int64_t>(all, 1));
    };
    return {part(cpu_millis, type.cpu_millis), part(memory, type.memory.value())};
  }
  // The scarcer of the two.
  double FreePart(const Supply& supply, NodeIndex node) const {
    const NodeState& state = scratch_.node(node);
    const Parts free = PartsOf(supply, state.cpu_free, state.memory_free);
    return std::min(free.cpu, free.memory);
  }

  bool HasRoom(NodeIndex node, int64_t cpu_millis, int64_t memory) const {
    const NodeState& state = scratch_.node(node);
    return state.open && state.cpu_free >= cpu_millis && state.memory_free >= memory &&
           state.slots_free > 0;
  }

  // The card of the node that has exactly that room.
  std::optional<CardIndex> CardOf(NodeIndex node, const CardGroup& group) const {
    const NodeState& state = scratch_.node(node);
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      const CardState& now = scratch_.card(card);
      if (now.open && (now.holders == 0) == group.unheld &&
          Extent{now.memory_millis, std::max(now.compute_free, 0)} == group.room) {
        return card;
      }
    }
    return std::nullopt;
  }

  // One card: where most CPU and main memory is left per free card, so that no node runs out of
  // them before its cards. Several: where fewest cards are left.
  void PlaceItem(const Supply& supply, const Item& item) {
    std::optional<NodeIndex> best;
    double most = -std::numeric_limits<double>::infinity();
    const bool unheld = supply.groups.empty() || supply.groups[item.group].unheld;
    for (const NodeIndex node : supply.nodes) {
      if (!HasRoom(node, item.cpu_millis, item.memory)) continue;
      if (unheld ? unheld_[node] < item.cards : !CardOf(node, supply.groups[item.group])) continue;
      const double value =
          item.cards > 1 ? -unheld_[node] : FreePart(supply, node) / std::max(unheld_[node], 1);
      if (value > most) {
        most = value;
        best = node;
      }
    }
    if (!best) {
      left_over_.insert(left_over_.end(), item.claims.begin(), item.claims.end());
      return;
    }
    std::optional<CardIndex> card;
    if (item.cards == 1 && !supply.groups.empty()) card = CardOf(*best, supply.groups[item.group]);
    for (const DemandIndex demand : item.claims) {
      if (!Keep(demand, *best, card)) left_over_.push_back(demand);
    }
  }

  // Fullest first, but nodes whose cards still wait for claims last, and of those the one
  // that has most.
  void PlaceWithoutCards(const Supply& supply, DemandIndex index) {
    const Demand& demand = scratch_.demand(index);
    std::optional<NodeIndex> best;
    double least = std::numeric_limits<double>::infinity();
    for (const NodeIndex node : supply.nodes) {
      if (!HasRoom(node, demand.cpu_millis, demand.main_memory.value())) continue;
      const double free = FreePart(supply, node);
      const double value = unheld_[node] > 0 ? 2 - free / unheld_[node] : free;
      if (value < least) {
        least = value;
        best = node;
      }
    }
    if (!best || !Keep(index, *best, std::nullopt)) left_over_.push_back(index);
  }

  // Where whole claims did not go as the fractions said: anywhere, largest first, tightest.
  void PlaceLeftOver() {
    std::ranges::stable_sort(
        left_over_, std::greater(), [&](DemandIndex d) { return WorthMillis(scratch_, d); });
    for (const DemandIndex index : left_over_) {
      const bool share = IsShare(scratch_.demand(index));
      std::optional<NodeIndex> best;
      std::optional<CardIndex> best_card;
      int64_t least = std::numeric_limits<int64_t>::max();
      for (NodeIndex node = 0; node < scratch_.nodes(); ++node) {
        if (!scratch_.Fits(index, node)) continue;
        const NodeState& state = scratch_.node(node);
        if (!share && state.cpu_free < least) {
          least = state.cpu_free;
          best = node;
        }
        for (CardIndex card = state.first_card; share && card < state.first_card + state.cards;
             ++card) {
          if (!scratch_.CardFits(index, card) || scratch_.card(card).memory_free >= least) continue;
          least = scratch_.card(card).memory_free;
          best = node;
          best_card = card;
        }
      }
      if (best) Keep(index, *best, best_card);
    }
  }

  bool Keep(DemandIndex index, NodeIndex node, std::optional<CardIndex> card) {
    if (!scratch_.Fits(index, node)) return false;
    const Demand& demand = scratch_.demand(index);
    Placement placement{.node = node, .cards = {}};
    if (card && scratch_.CardFits(index, *card)) {
      placement.cards.push_back(*card);
    } else {
      ChooseTightestCards(scratch_, index, placement);
    }
    for (const CardIndex taken : placement.cards) unheld_[node] -= Unheld(scratch_.card(taken));
    scratch_.Bind(index, placement);
    const bool one = demand.count == 1;
    program_.targets.by_node[node].push_back({index, one ? placement.cards[0] : Berth::kAnyCard});
    program_.placed_millis += WorthMillis(scratch_, index);
    return true;
  }

  const std::vector<Expected>& expected_;
  const std::vector<Supply>& supplies_;
  const Fractions& fractions_;
  Ledger scratch_;           // With every berth held.
  std::vector<int> unheld_;  // By node: cards that nobody is on.
  std::vector<DemandIndex> left_over_;
  Program program_;
};

}  // namespace

Program LayOut(const Ledger& ledger,
               const std::vector<Expected>& expected,
               const std::vector<Supply>& supplies,
               const Fractions& fractions) {
  return Layout(ledger, expected, supplies, fractions).Run();
}

}  // namespace sluice::targets
