// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/ledger.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {

// Scores of a fixed number of places with the first of the highest at hand: sixteen to a block, and
// blocks of maxima above. Setting a score costs one block per level, and mostly one level.
// Immutable but for Set.
class ScoreTree {
 public:
  explicit ScoreTree(size_t places);
  void Set(size_t place, Score score);
  // Many at once: places are set without their blocks, then all blocks are put right.
  void SetAlone(size_t place, Score score) { levels_[0][place] = score; }
  void RaiseAll();
  Score best() const { return levels_.back().front(); }
  // The first place that has the best score.
  size_t BestPlace() const;

 private:
  // levels_[0] are the scores, filled up to whole blocks with kNoFit; each next one the blocks'
  // maxima; the last has one entry.
  std::vector<std::vector<Score>> levels_;
};

// Decides for a ledger by a policy. Keeps per demand the score of each node, and asks the policy
// only for nodes that have changed since that demand was last decided for. Gives the same answers
// as ScanAll. One thread at a time; ledger and policy must outlive it.
class Placer {
 public:
  Placer(const Ledger& ledger, Policy& policy) : ledger_(ledger), policy_(policy) {}

  // Where the demand would go now, or false if it fits nowhere. `placement` is overwritten.
  bool Choose(DemandIndex demand, Placement& placement);

  // The best nodes, one per type that has a fitting one, as of the last Choose for this demand.
  const std::vector<TypeBest>& bests() const { return bests_; }

 private:
  struct Index {
    uint64_t seen = 0;             // Position in the ledger's log: changes from here on are unseen.
    size_t nodes = 0;              // Known when it was built.
    std::vector<int32_t> tree_of;  // By type: position in `trees`, or -1: it never fits there.
    std::vector<TypeIndex> types;  // Of `trees`.
    std::vector<ScoreTree> trees;
  };

  void PlaceNodes();
  void Build(DemandIndex demand, Index& index);
  void Refresh(DemandIndex demand, Index& index);
  Score ScoreOf(DemandIndex demand, NodeIndex node);

  const Ledger& ledger_;
  Policy& policy_;
  std::vector<Index> indexes_;                    // By demand.
  std::vector<uint32_t> place_of_;                // By node: its place among those of its type.
  std::vector<std::vector<NodeIndex>> nodes_of_;  // By type, ascending.
  std::vector<TypeBest> bests_;
};

// The same decision without any memory: every node is looked at. For tests, and for policies whose
// scores do not keep.
bool ScanAll(const Ledger& ledger, Policy& policy, DemandIndex demand, Placement& placement);

}  // namespace sluice::scheduler
