// SPDX-License-Identifier: Apache-2.0
#include "sim/coarse.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace sluice::sim {
namespace {

using scheduler::Demand;
using scheduler::DemandIndex;
using scheduler::Ledger;
using scheduler::Mix;

constexpr int kFirstPercent = 5;
constexpr int kLastPercent = 1'280;

// What is counted as one, by what it has in common.
using Groups = std::map<Demand, std::vector<std::pair<DemandIndex, int64_t>>>;

// How many steps of so many percent lead from one to the value.
int64_t StepsTo(int64_t value, int percent) {
  int64_t steps = 0;
  for (int64_t at = 1; at < value; at += std::max<int64_t>(at / 100 * percent, 1)) ++steps;
  return steps;
}

// In steps of `percent` of CPU and main memory and of `card_percent` of a card's memory; 0:
// exactly.
Groups InSteps(const Ledger& ledger, const Mix& mix, int percent, int card_percent) {
  Groups groups;
  for (const auto& [index, count] : mix.counts) {
    Demand kind = ledger.demand(index);
    kind.cpu_millis = StepsTo(kind.cpu_millis, percent);
    kind.main_memory = Bytes(StepsTo(kind.main_memory.value() >> 20, percent));
    if (card_percent > 0) kind.memory = Bytes(StepsTo(kind.memory.value(), card_percent));
    groups[kind].emplace_back(index, count);
  }
  return groups;
}

int64_t CountOf(const std::vector<std::pair<DemandIndex, int64_t>>& group) {
  int64_t count = 0;
  for (const auto& [index, times] : group) count += times;
  return count;
}

}  // namespace

Mix Coarse(const Ledger& ledger, const Mix& mix) {
  if (mix.counts.size() <= kKindsMax) return mix;
  const auto size = [&](const std::pair<DemandIndex, int64_t>& one) {
    const Demand& demand = ledger.demand(one.first);
    return std::tuple(demand.cpu_millis, demand.main_memory, demand.memory);
  };
  Mix coarse;
  for (int percent = kFirstPercent; percent <= kLastPercent; percent *= 2) {
    // What a card is shared by decides what fits beside it, so that is kept more exact.
    const Groups groups = InSteps(ledger, mix, percent, std::max(percent / 4, 1));
    if (groups.size() > kKindsMax && percent * 2 <= kLastPercent) continue;
    for (const auto& [kind, group] : groups) {
      coarse.counts.emplace_back(std::ranges::max_element(group, {}, size)->first, CountOf(group));
    }
    break;
  }
  if (coarse.counts.size() > kKindsMax) {
    std::ranges::stable_sort(
        coarse.counts, std::greater(), &std::pair<DemandIndex, int64_t>::second);
    coarse.counts.resize(kKindsMax);
  }
  return coarse;
}

Mix Relaxed(Ledger& ledger, const Mix& mix) {
  if (mix.counts.size() <= kKindsMax) return mix;
  Groups groups;
  for (int percent = kFirstPercent; percent <= kLastPercent; percent *= 2) {
    groups = InSteps(ledger, mix, percent, 0);
    if (groups.size() <= kKindsMax) break;
  }
  Mix relaxed;
  for (const auto& [kind, group] : groups) {
    Demand least = ledger.demand(group.front().first);
    for (const auto& [index, count] : group) {
      least.cpu_millis = std::min(least.cpu_millis, ledger.demand(index).cpu_millis);
      least.main_memory = std::min(least.main_memory, ledger.demand(index).main_memory);
    }
    relaxed.counts.emplace_back(ledger.Intern(least), CountOf(group));
  }
  return relaxed;
}

}  // namespace sluice::sim
