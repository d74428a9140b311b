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
  void SetAlone(size_t place, Score score) { scores_[place] = score; }
  void RaiseAll();
  Score best() const { return scores_.back(); }
  // The first place that has the best score.
  size_t BestPlace() const;
  // A hint that the place is going to be set.
  void Prefetch(size_t place) const { __builtin_prefetch(&scores_[place], 1); }

 private:
  // The scores, filled up to whole blocks with kNoFit; then the maxima of their blocks, level by
  // level, of which the last has one entry.
  std::vector<Score> scores_;
  std::vector<size_t> starts_;  // Of the levels.
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
  // The most that a node has of each, so that most of those on which a demand cannot go are passed
  // over without a look at their cards. -1 of CPU: it takes nothing at all.
  struct Gist {
    int64_t cpu = 0;
    int64_t memory = 0;
    int64_t card_memory = 0;   // On one card.
    int32_t card_compute = 0;  // On one card.
    int32_t idle_cards = 0;
  };
  // The nodes of one type, ascending, with what is asked for most often in arrays of their own.
  struct Row {
    std::vector<NodeIndex> nodes;
    std::vector<uint64_t> changed_at;
    std::vector<Gist> gists;
  };
  struct Tree {
    TypeIndex type = 0;
    Gist least;  // What a node must have.
    ScoreTree scores;
  };
  struct Index {
    uint64_t seen = 0;             // Position in the ledger's log: changes from here on are unseen.
    size_t nodes = 0;              // Known when it was built.
    std::vector<int32_t> tree_of;  // By type: position in `trees`, or -1: it never fits there.
    std::vector<Tree> trees;
  };
  struct Where {
    TypeIndex type = 0;
    uint32_t place = 0;  // In its row.
  };

  void Follow();
  void LookAt(NodeIndex node);
  void Build(DemandIndex demand, Index& index);
  void Refresh(DemandIndex demand, Index& index);
  void Prefetch(const Index& index, NodeIndex node) const;
  Gist LeastOf(DemandIndex demand, TypeIndex type) const;
  Score ScoreAt(DemandIndex demand, const Tree& tree, size_t place);

  const Ledger& ledger_;
  Policy& policy_;
  std::vector<Index> indexes_;  // By demand.
  std::vector<Where> where_;    // By node.
  std::vector<Row> rows_;       // By type.
  uint64_t followed_ = 0;       // Position in the ledger's log up to which `rows_` go.
  std::vector<TypeBest> bests_;
};

// The same decision without any memory: every node is looked at. For tests, and for policies whose
// scores do not keep.
bool ScanAll(const Ledger& ledger, Policy& policy, DemandIndex demand, Placement& placement);

}  // namespace sluice::scheduler
