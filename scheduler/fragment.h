// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/ledger.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {

// How much of the fleet's free card memory is of no use to the expected mix. A card's free memory
// is a fragment for a demand that cannot run on the node (too little CPU, too few cards with enough
// left, wrong model, no card asked for at all), or when that one card has too little memory or
// compute left for it. The fragment of a node is the sum over the mix, each demand as often as it
// comes: an integer, so that equal is equal. One thread at a time.
class Fragments {
 public:
  // Keeps nothing of `ledger` but its types and kinds.
  Fragments(const Ledger& ledger, const Mix& mix);

  size_t types() const { return types_.size(); }
  // One card's worth, in the unit of Now and After.
  double OneCard() const { return 1000.0 * static_cast<double>(demands_); }
  // How many demands the mix has, counted as often as they come.
  int64_t demands() const { return demands_; }

  // Of the node as it stands.
  int64_t Now(const Ledger& ledger, NodeIndex node);
  // Of the node if the demand were placed so. Requires: it fits there.
  int64_t After(const Ledger& ledger, DemandIndex demand, const Placement& placement);

 private:
  // How many of the mix's demands for one card find CPU, memory and compute, by rank of each.
  struct KindTable {
    std::vector<uint8_t> memory_rank;   // By thousandths left, 0 to 1000.
    std::vector<uint8_t> compute_rank;  // By millis left.
    size_t memory_ranks = 1;
    size_t compute_ranks = 1;
    std::vector<int64_t> weights;  // [cpu rank][compute rank][memory rank].
  };
  // Demands for several cards that ask the same of each.
  struct Level {
    std::vector<int32_t> memory_millis;  // By slot.
    std::vector<int32_t> compute;        // By slot.
    size_t counts = 0;
    std::vector<int64_t> weights;  // [cpu rank][cards that have enough].
  };
  struct TypeTable {
    std::vector<int64_t> cpu;      // What the mix's demands ask, ascending: rank = how many fit.
    std::vector<uint8_t> slot_of;  // By the card's position: which of `kinds`.
    std::vector<KindTable> kinds;
    std::vector<Level> levels;
  };
  struct CardLeft {
    int32_t memory_millis = 0;
    int32_t compute = 0;
  };

  static TypeTable MakeType(const Ledger& ledger, const Mix& mix, const NodeType& type);
  static KindTable MakeKind(const Ledger& ledger,
                            const Mix& mix,
                            KindIndex kind,
                            const std::vector<int64_t>& cpu);
  static std::vector<Level> MakeLevels(const Ledger& ledger,
                                       const Mix& mix,
                                       const std::vector<KindIndex>& slots,
                                       const TypeTable& table);
  void Look(const Ledger& ledger, NodeIndex node);
  int64_t Of(const TypeTable& table, size_t cpu_rank) const;

  int64_t demands_ = 0;
  std::vector<TypeTable> types_;
  std::vector<CardLeft> left_;  // The node looked at.
};

}  // namespace sluice::scheduler
