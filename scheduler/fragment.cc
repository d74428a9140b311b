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
std::vector<uint8_t> Ranks(const std::vector<int32_t>& limits, int32_t last) {
  std::vector<uint8_t> ranks;
  for (int32_t left = 0; left <= last; ++left) {
    const auto met = std::ranges::upper_bound(limits, left) - limits.begin();
    ranks.push_back(static_cast<uint8_t>(std::min<int64_t>(met, 255)));
  }
  return ranks;
}

template <typename T>
void SortOnce(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
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
}

Fragments::TypeTable Fragments::MakeType(const Ledger& ledger,
                                         const Mix& mix,
                                         const NodeType& type) {
  TypeTable table;
  std::vector<KindIndex> slots = type.kinds;
  SortOnce(slots);
  for (const KindIndex kind : type.kinds) {
    const auto slot = std::ranges::lower_bound(slots, kind) - slots.begin();
    table.slot_of.push_back(static_cast<uint8_t>(slot));
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
    for (size_t c = RankOf(cpu, demand.cpu_millis); c <= cpu.size(); ++c) {
      for (size_t k = table.compute_rank[static_cast<size_t>(need.compute)];
           k < table.compute_ranks;
           ++k) {
        int64_t* row = &table.weights[(c * table.compute_ranks + k) * table.memory_ranks];
        for (size_t m = table.memory_rank[static_cast<size_t>(need.memory_millis)];
             m < table.memory_ranks;
             ++m) {
          row[m] += count;
        }
      }
    }
  });
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
    for (size_t c = RankOf(table.cpu, demand.cpu_millis); c <= table.cpu.size(); ++c) {
      for (auto n = static_cast<size_t>(demand.count); n < level.counts; ++n) {
        level.weights[c * level.counts + n] += count;
      }
    }
  }
  std::vector<Level> list;
  for (auto& [key, level] : levels) list.push_back(std::move(level));
  return list;
}

void Fragments::Look(const Ledger& ledger, NodeIndex node) {
  left_.clear();
  for (const CardState& card : ledger.CardsOf(node)) {
    left_.push_back({card.memory_millis, std::max(card.compute_free, 0)});
  }
}

int64_t Fragments::Now(const Ledger& ledger, NodeIndex node) {
  Look(ledger, node);
  const NodeState& state = ledger.node(node);
  const TypeTable& table = types_[state.type];
  return Of(table, RankOf(table.cpu, state.cpu_free));
}

int64_t Fragments::After(const Ledger& ledger, DemandIndex demand, const Placement& placement) {
  Look(ledger, placement.node);
  const NodeState& state = ledger.node(placement.node);
  const TypeTable& table = types_[state.type];
  for (const CardIndex card : placement.cards) {
    CardLeft& left = left_[card - state.first_card];
    const Need& need = ledger.NeedOf(demand, ledger.card(card).kind);
    left.memory_millis = std::max(left.memory_millis - need.memory_millis, 0);
    left.compute = std::max(left.compute - need.compute_wish, 0);
  }
  return Of(table, RankOf(table.cpu, state.cpu_free - ledger.demand(demand).cpu_millis));
}

int64_t Fragments::Of(const TypeTable& table, size_t cpu_rank) const {
  int64_t all = 0;
  int64_t usable = 0;
  for (size_t i = 0; i < left_.size(); ++i) {
    const CardLeft& left = left_[i];
    const KindTable& kind = table.kinds[table.slot_of[i]];
    const size_t rank =
        (cpu_rank * kind.compute_ranks + kind.compute_rank[static_cast<size_t>(left.compute)]) *
            kind.memory_ranks +
        kind.memory_rank[static_cast<size_t>(left.memory_millis)];
    all += left.memory_millis;
    usable += left.memory_millis * kind.weights[rank];
  }
  for (const Level& level : table.levels) {
    size_t enough = 0;
    int64_t there = 0;
    for (size_t i = 0; i < left_.size(); ++i) {
      const size_t slot = table.slot_of[i];
      if (left_[i].memory_millis < level.memory_millis[slot]) continue;
      if (left_[i].compute < level.compute[slot]) continue;
      ++enough;
      there += left_[i].memory_millis;
    }
    usable += there * level.weights[cpu_rank * level.counts + enough];
  }
  return all * demands_ - usable;
}

}  // namespace sluice::scheduler
