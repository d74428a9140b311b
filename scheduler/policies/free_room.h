// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "scheduler/ledger.h"

// What the policies of the study look at in a node and a demand: CPU, and the cards' memory summed
// up in thousandths of a card, each as a part of the largest node that is reckoned with.
namespace sluice::scheduler {

inline constexpr double kLargestCpuMillis = 128'000;
inline constexpr int64_t kLargestCardMillis = 8'000;

inline int64_t CardMillisFree(const Ledger& ledger, NodeIndex node) {
  int64_t sum = 0;
  for (const CardState& card : ledger.CardsOf(node)) sum += card.memory_millis;
  return sum;
}

inline int64_t CardMillisAsked(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
  const NodeType& type = ledger.type(ledger.node(node).type);
  const int count = ledger.demand(demand).count;
  if (count == 0 || type.kinds.empty()) return 0;
  return int64_t{count} * ledger.NeedOf(demand, type.kinds.front()).memory_millis;
}

// Not above the largest, so that a node without a known limit does not drown everything else.
inline double CpuFree(const Ledger& ledger, NodeIndex node) {
  return std::min(static_cast<double>(ledger.node(node).cpu_free), kLargestCpuMillis);
}

}  // namespace sluice::scheduler
