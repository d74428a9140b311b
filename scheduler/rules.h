// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scheduler/ledger.h"
#include "scheduler/policy.h"

// What a demand itself says of how it is to be placed. It goes before any policy: the Placer and
// ScanAll look here first.
namespace sluice::scheduler {

// How close two cards of one machine are: the higher, the closer. On the scale that HAMi's nodes
// announce: 10 beside different processors, 20 beside the same, 30 to 60 over fewer and fewer
// bridges, 100 for each NVLink. What no link says follows from the NUMA nodes; 0 where those are
// unknown too. `a` and `b` are positions on the node.
int Closeness(const NodeType& type, size_t a, size_t b);

// Requires: it fits there; node_rule is not kPolicy. By how much of the cards (of the CPU, for a
// demand without cards) is in use with the demand placed.
Score ScoreByRule(const Ledger& ledger, DemandIndex demand, NodeIndex node);

// Whether cards are chosen by the demand's own rules.
inline bool ChoosesCards(const Demand& demand) {
  return demand.count > 0 && (demand.card_rule != CardRule::kPolicy || demand.one_numa);
}
// Appends the cards. Requires: it fits the node.
// kBinpack: the least memory free, then the least compute, then by number. kSpread: the most memory
// free, then the fewest holders. kClosest, and one_numa without another rule: the set that is
// closest among itself, then the one that is least close to the other cards that would do (so that
// pairs and fours stay together for whom they suit), then the tightest, then by number. Exact up to
// kSetsMax sets; beyond that grown card by card from each first card.
inline constexpr int64_t kSetsMax = 20'000;
void ChooseByRule(const Ledger& ledger, DemandIndex demand, Placement& placement);

}  // namespace sluice::scheduler
