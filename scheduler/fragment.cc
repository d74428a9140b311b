// SPDX-License-Identifier: Apache-2.0
#include "scheduler/fragment.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace sluice::scheduler {
namespace {

// More than any card has left.
constexpr int32_t kNever = 1001;

bool ForOneCard(const Demand& demand) {
  return demand.count == 1;
}

int32_t MemoryAsked(const Need& need) {
  return need.admitted ? need.memory_millis : kNever;
}

// How many of the ascending `limits` are met by each of 0 … `last`.
std::vector<uint16_t> Ranks(const std::vector<int32_t>& limits, int32_t last) {
  std::vector<uint16_t> ranks;
  for (int32_t left = 0; left <= last; ++left) {
    const auto met = std::ranges::upper_bound(limits, left) - limits.begin();
    ranks.push_back(static_cast<uint16_t>(met));
  }
  return ranks;
}

template <typename T>
void SortOnce(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

// In all that decides what fits on them, but their names.
bool AreAlike(const Ledger& ledger, CardIndex a, CardIndex b) {
  const CardState& x = ledger.card(a);
  const CardState& y = ledger.card(b);
  return x.memory_free == y.memory_free && x.compute_free == y.compute_free && x.kind == y.kind &&
         x.open == y.open && (x.slots_free > 0) == (y.slots_free > 0) &&
         (x.holders == 0) == (y.holders == 0) && x.taken == y.taken;
}

// Each value becomes the sum of itself and of those before it that lie whole steps back, within its
// row of `length`.
void SumUp(std::vector<int64_t>& values, size_t step, size_t length) {
  for (size_t at = step; at < values.size(); ++at) {
    if (at % length >= step) values[at] += values[at - step];
  }
}

size_t RankOf(const std::vector<int64_t>& limits, int64_t value) {
  return static_cast<size_t>(std::ranges::upper_bound(limits, value) - limits.begin());
}

}  // namespace

Fragments::Fragments(const Ledger& ledger, const Mix& mix) {
  for (const auto& [demand, count] : mix.counts) demands_ += count;
  for (TypeIndex type = 0; type < ledger.types(); ++type) {
    types_.push_back(MakeType(ledger, mix, ledger.type(type)));
  }
  uint32_t levels = 0;
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    NodeCache cache;
    first_alike_.push_back(ledger.node(node).first_card);
    cache.first_level = levels;
    levels += static_cast<uint32_t>(types_[ledger.node(node).type].levels.size());
    nodes_.push_back(cache);
  }
  alike_.resize(ledger.cards());
  enough_.resize(levels);
}

Fragments::TypeTable Fragments::MakeType(const Ledger& ledger,
                                         const Mix& mix,
                                         const NodeType& type) {
  TypeTable table;
  std::vector<KindIndex> slots = type.kinds;
  SortOnce(slots);
  for (const KindIndex kind : type.kinds) {
    const auto slot = std::ranges::lower_bound(slots, kind) - slots.begin();
    table.slot_of.push_back(static_cast<uint16_t>(slot));
  }
  for (const auto& [demand, count] : mix.counts) {
    if (ledger.demand(demand).count > 0) table.cpu.push_back(ledger.demand(demand).cpu_millis);
  }
  SortOnce(table.cpu);
  for (const KindIndex kind : slots) table.kinds.push_back(MakeKind(ledger, mix, kind, table.cpu));
  table.levels = MakeLevels(ledger, mix, slots, table);
  return table;
}

Fragments::KindTable Fragments::MakeKind(const Ledger& ledger,
                                         const Mix& mix,
                                         KindIndex kind,
                                         const std::vector<int64_t>& cpu) {
  std::vector<int32_t> memory;
  std::vector<int32_t> compute;
  const auto for_each = [&](auto&& use) {
    for (const auto& [index, count] : mix.counts) {
      const Demand& demand = ledger.demand(index);
      const Need& need = ledger.NeedOf(index, kind);
      if (ForOneCard(demand) && need.admitted) use(demand, need, count);
    }
  };
  for_each([&](const Demand&, const Need& need, int64_t) {
    memory.push_back(need.memory_millis);
    compute.push_back(need.compute);
  });
  SortOnce(memory);
  SortOnce(compute);
  KindTable table;
  const auto capacity = static_cast<int32_t>(ledger.kind(kind).compute.value());
  table.memory_rank = Ranks(memory, 1000);
  table.compute_rank = Ranks(compute, capacity);
  table.memory_ranks = memory.size() + 1;
  table.compute_ranks = compute.size() + 1;
  table.weights.assign((cpu.size() + 1) * table.compute_ranks * table.memory_ranks, 0);
  for_each([&](const Demand& demand, const Need& need, int64_t count) {
    const size_t k = table.compute_rank[static_cast<size_t>(need.compute)];
    const size_t m = table.memory_rank[static_cast<size_t>(need.memory_millis)];
    const size_t row = RankOf(cpu, demand.cpu_millis) * table.compute_ranks + k;
    table.weights[row * table.memory_ranks + m] += count;
  });
  // Who finds what it asks for finds it where there is more, too.
  const size_t plane = table.compute_ranks * table.memory_ranks;
  SumUp(table.weights, 1, table.memory_ranks);
  SumUp(table.weights, table.memory_ranks, plane);
  SumUp(table.weights, plane, table.weights.size());
  return table;
}

std::vector<Fragments::Level> Fragments::MakeLevels(const Ledger& ledger,
                                                    const Mix& mix,
                                                    const std::vector<KindIndex>& slots,
                                                    const TypeTable& table) {
  std::map<std::pair<std::vector<int32_t>, std::vector<int32_t>>, Level> levels;
  const size_t cards = table.slot_of.size();
  for (const auto& [index, count] : mix.counts) {
    const Demand& demand = ledger.demand(index);
    if (demand.count < 2 || static_cast<size_t>(demand.count) > cards) continue;
    std::vector<int32_t> memory;
    std::vector<int32_t> compute;
    for (const KindIndex kind : slots) {
      memory.push_back(MemoryAsked(ledger.NeedOf(index, kind)));
      compute.push_back(ledger.NeedOf(index, kind).compute);
    }
    Level& level = levels[{memory, compute}];
    if (level.weights.empty()) {
      level = {memory, compute, cards + 1, {}};
      level.weights.assign((table.cpu.size() + 1) * level.counts, 0);
    }
    level.weights[RankOf(table.cpu, demand.cpu_millis) * level.counts +
                  static_cast<size_t>(demand.count)] += count;
  }
  std::vector<Level> list;
  for (auto& [key, level] : levels) {
    SumUp(level.weights, 1, level.counts);
    SumUp(level.weights, level.counts, level.weights.size());
    list.push_back(std::move(level));
  }
  return list;
}

bool Fragments::Has(const Level& level, size_t slot, Left left) {
  return left.memory_millis >= level.memory_millis[slot] && left.compute >= level.compute[slot];
}

size_t Fragments::CellOf(const KindTable& kind, Left left) {
  return kind.compute_rank[static_cast<size_t>(left.compute)] * kind.memory_ranks +
         kind.memory_rank[static_cast<size_t>(left.memory_millis)];
}

const Fragments::NodeCache& Fragments::Look(const Ledger& ledger, NodeIndex node) {
  NodeCache& cache = nodes_[node];
  if (cache.version != ledger.node(node).version) Group(ledger, node, cache);
  return cache;
}

void Fragments::Group(const Ledger& ledger, NodeIndex node, NodeCache& cache) {
  const NodeState& state = ledger.node(node);
  const TypeTable& table = types_[state.type];
  cache.version = state.version;
  cache.memory_millis = 0;
  cache.alike = 0;
  Enough* enough = enough_.data() + cache.first_level;
  std::fill_n(enough, table.levels.size(), Enough{});
  for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
    const CardState& as = ledger.card(card);
    const size_t slot = table.slot_of[card - state.first_card];
    const Left left = LeftOf(as);
    cache.memory_millis += left.memory_millis;
    for (size_t i = 0; i < table.levels.size(); ++i) {
      if (!Has(table.levels[i], slot, left)) continue;
      ++enough[i].cards;
      enough[i].memory_millis += left.memory_millis;
    }
    Alike* known = alike_.data() + first_alike_[node];
    Alike* const end = known + cache.alike;
    while (known != end && !AreAlike(ledger, known->first, card)) ++known;
    if (known == end) {
      *known = {as,
                static_cast<uint32_t>(CellOf(table.kinds[slot], left)),
                card,
                static_cast<uint8_t>(slot),
                0};
      ++cache.alike;
    }
    ++known->cards;
  }
  cache.cpu_rank = RankOf(table.cpu, state.cpu_free);
  cache.usable = Usable(table, node, cache.cpu_rank);
}

// The part of the node's free memory that is of use, summed over the mix, with so much CPU.
int64_t Fragments::Usable(const TypeTable& table, NodeIndex node, size_t cpu_rank) const {
  const NodeCache& cache = nodes_[node];
  int64_t usable = 0;
  const Alike* alike = alike_.data() + first_alike_[node];
  for (uint32_t i = 0; i < cache.alike; ++i) {
    const KindTable& kind = table.kinds[alike[i].slot];
    const size_t row = cpu_rank * kind.compute_ranks * kind.memory_ranks;
    usable += kind.weights[row + alike[i].cell] * alike[i].cards * alike[i].state.memory_millis;
  }
  for (size_t i = 0; i < table.levels.size(); ++i) {
    const Enough& enough = enough_[cache.first_level + i];
    const Level& level = table.levels[i];
    usable += level.weights[cpu_rank * level.counts + static_cast<size_t>(enough.cards)] *
              enough.memory_millis;
  }
  return usable;
}

int64_t Fragments::Now(const Ledger& ledger, NodeIndex node) {
  const NodeCache& cache = Look(ledger, node);
  return cache.memory_millis * demands_ - cache.usable;
}

Fragments::Left Fragments::LeftOf(const CardState& card) {
  return {card.memory_millis, std::max(card.compute_free, 0)};
}

Fragments::Left Fragments::AfterOne(const Need& need, const CardState& card) {
  return {std::max(card.memory_millis - need.memory_millis, 0),
          std::max(card.compute_free - ComputeTaken(need, card), 0)};
}

// Whether one of the cards that are like `cards.first` fits.
bool Fragments::AnyFits(const Ledger& ledger, DemandIndex demand, NodeIndex node, CardIndex like) {
  const NodeState& state = ledger.node(node);
  for (CardIndex card = like; card < state.first_card + state.cards; ++card) {
    if (AreAlike(ledger, like, card) && ledger.CardFits(demand, card)) return true;
  }
  return false;
}

int64_t Fragments::LessAtBest(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
  const NodeCache& cache = Look(ledger, node);
  const NodeState& state = ledger.node(node);
  const TypeTable& table = types_[state.type];
  const size_t cpu_rank = RankOf(table.cpu, state.cpu_free - ledger.demand(demand).cpu_millis);
  const bool names = ledger.NamesCards(demand);
  int64_t best = kNone;
  const Alike* alike = alike_.data() + first_alike_[node];
  for (uint32_t a = 0; a < cache.alike; ++a) {
    const Alike& cards = alike[a];
    const Need& need = ledger.NeedOf(demand, cards.state.kind);
    // Of cards that are alike otherwise, only some may be named.
    if (names ? !AnyFits(ledger, demand, node, cards.first) : !NeedFits(need, cards.state)) {
      continue;
    }
    const KindTable& kind = table.kinds[cards.slot];
    const int64_t* row = &kind.weights[cpu_rank * kind.compute_ranks * kind.memory_ranks];
    const Left left = LeftOf(cards.state);
    const Left after = AfterOne(need, cards.state);
    int64_t less = (left.memory_millis - after.memory_millis) * demands_ +
                   after.memory_millis * row[CellOf(kind, after)] -
                   left.memory_millis * row[cards.cell];
    for (size_t i = 0; i < table.levels.size(); ++i) {
      const Level& level = table.levels[i];
      if (!Has(level, cards.slot, left)) continue;
      const Enough& enough = enough_[cache.first_level + i];
      const int64_t* counts =
          &level.weights[cpu_rank * level.counts + static_cast<size_t>(enough.cards)];
      const bool still = Has(level, cards.slot, after);
      const int32_t memory =
          enough.memory_millis - left.memory_millis + (still ? after.memory_millis : 0);
      less += (still ? counts[0] : counts[-1]) * memory - counts[0] * enough.memory_millis;
    }
    best = std::max(best, less);
  }
  if (best == kNone || cpu_rank == cache.cpu_rank) return best;
  return best + Usable(table, node, cpu_rank) - cache.usable;
}

int64_t Fragments::Less(const Ledger& ledger, DemandIndex demand, const Placement& placement) {
  const NodeCache& cache = Look(ledger, placement.node);
  const NodeState& state = ledger.node(placement.node);
  const TypeTable& table = types_[state.type];
  const size_t cpu_rank = RankOf(table.cpu, state.cpu_free - ledger.demand(demand).cpu_millis);
  if (placement.cards.empty()) return Usable(table, placement.node, cpu_rank) - cache.usable;
  left_.clear();
  for (const CardState& card : ledger.CardsOf(placement.node)) {
    left_.push_back(LeftOf(card));
  }
  for (const CardIndex card : placement.cards) {
    const CardState& as = ledger.card(card);
    left_[card - state.first_card] = AfterOne(ledger.NeedOf(demand, as.kind), as);
  }
  int64_t all = 0;
  int64_t usable = 0;
  for (size_t i = 0; i < left_.size(); ++i) {
    const KindTable& kind = table.kinds[table.slot_of[i]];
    const size_t row = cpu_rank * kind.compute_ranks * kind.memory_ranks;
    all += left_[i].memory_millis;
    usable += left_[i].memory_millis * kind.weights[row + CellOf(kind, left_[i])];
  }
  for (const Level& level : table.levels) {
    size_t enough = 0;
    int64_t there = 0;
    for (size_t i = 0; i < left_.size(); ++i) {
      if (!Has(level, table.slot_of[i], left_[i])) continue;
      ++enough;
      there += left_[i].memory_millis;
    }
    usable += there * level.weights[cpu_rank * level.counts + enough];
  }
  return (cache.memory_millis - all) * demands_ - cache.usable + usable;
}

}  // namespace sluice::scheduler
