// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "scheduler/ledger.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {

// How much of the fleet's free card memory is of no use to the expected mix. A card's free memory
// is a fragment for a demand that cannot run on the node (too little CPU, too few cards with enough
// left, wrong model, no card asked for at all), or when that one card has too little memory or
// compute left for it. The fragment of a node is the sum over the mix, each demand as often as it
// comes, in thousandths of a card: an integer, so that equal is equal.
//
// Tables by rank of CPU, compute and memory left make it one look-up per card; what does not depend
// on a demand is kept per node until the node changes. One thread at a time, for one ledger.
class Fragments {
 public:
  Fragments(const Ledger& ledger, const Mix& mix);

  // Whether it was made for as many nodes and types as the ledger has now.
  bool Covers(const Ledger& ledger) const {
    return nodes_.size() == ledger.nodes() && types_.size() == ledger.types();
  }
  // One card's worth, in the unit of the functions below.
  double OneCard() const { return 1000.0 * static_cast<double>(demands_); }
  // How many demands the mix has, counted as often as they come.
  int64_t demands() const { return demands_; }

  // A hint that the node is going to be asked for.
  void Prefetch(NodeIndex node) const {
    if (node >= first_alike_.size()) return;
    __builtin_prefetch(&nodes_[node]);
    __builtin_prefetch(&alike_[first_alike_[node]]);
    __builtin_prefetch(&alike_[first_alike_[node]] + 1);
  }

  // Of the node as it stands.
  int64_t Now(const Ledger& ledger, NodeIndex node);
  // How much less it would be with the demand placed so. Requires: it fits there.
  int64_t Less(const Ledger& ledger, DemandIndex demand, const Placement& placement);
  // The most that Less can be, for a demand of one card; kNone if it fits no card of the node.
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::min();
  int64_t LessAtBest(const Ledger& ledger, DemandIndex demand, NodeIndex node);

 private:
  // How many of the mix's demands for one card find CPU, memory and compute, by rank of each.
  struct KindTable {
    std::vector<uint16_t> memory_rank;   // By thousandths left, 0 to 1000.
    std::vector<uint16_t> compute_rank;  // By millis left.
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
    std::vector<int64_t> cpu;       // What the mix's demands ask, ascending: rank = how many fit.
    std::vector<uint16_t> slot_of;  // By the card's position: which of `kinds`.
    std::vector<KindTable> kinds;
    std::vector<Level> levels;
  };
  struct Left {
    int32_t memory_millis = 0;
    int32_t compute = 0;
  };
  // Cards of one node that are alike in all that counts.
  struct Alike {
    CardState state;
    uint32_t cell = 0;    // Of memory and compute rank in the kind's table.
    CardIndex first = 0;  // The first of them.
    uint16_t slot = 0;
    uint16_t cards = 0;
  };
  // The cards of a node that have enough for a level.
  struct Enough {
    int32_t cards = 0;
    int32_t memory_millis = 0;  // Of all of them.
  };
  struct NodeCache {
    uint32_t version = std::numeric_limits<uint32_t>::max();
    int32_t memory_millis = 0;
    size_t cpu_rank = 0;
    int64_t usable = 0;
    uint32_t alike = 0;
    uint32_t first_level = 0;  // In enough_.
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
  static bool AnyFits(const Ledger& ledger, DemandIndex demand, NodeIndex node, CardIndex like);
  static bool Has(const Level& level, size_t slot, Left left);
  static size_t CellOf(const KindTable& kind, Left left);
  static Left LeftOf(const CardState& card);
  static Left AfterOne(const Need& need, const CardState& card);
  const NodeCache& Look(const Ledger& ledger, NodeIndex node);
  void Group(const Ledger& ledger, NodeIndex node, NodeCache& cache);
  int64_t Usable(const TypeTable& table, NodeIndex node, size_t cpu_rank) const;

  int64_t demands_ = 0;
  std::vector<TypeTable> types_;
  std::vector<NodeCache> nodes_;
  std::vector<CardIndex> first_alike_;  // By node, in alike_.
  std::vector<Alike> alike_;
  std::vector<Enough> enough_;
  std::vector<Left> left_;  // Kept for its memory.
};

}  // namespace sluice::scheduler
