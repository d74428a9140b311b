// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "scheduler/ledger.h"
#include "targets/internal/knapsack.h"
#include "targets/targets.h"

namespace sluice::targets {

// Cards of one node type that have the same room left.
struct CardGroup {
  Extent room;
  bool unheld = false;  // Nobody is on them: whole cards and several cards may be had.
  int cards = 0;
};

// What the nodes of one type have left, and who could use it.
struct Supply {
  scheduler::TypeIndex type = 0;
  scheduler::KindIndex kind = 0;
  std::vector<scheduler::NodeIndex> nodes;
  double cores_free = 0;  // Negative: not limited.
  double memory_gib_free = 0;
  std::vector<CardGroup> groups;  // Unheld ones first.
  std::vector<Extent> sizes;      // What shares take here, each once.
  // By position in the list of expected demands: whether an empty node takes it, and for shares
  // the position in `sizes`, else -1.
  std::vector<bool> takes;
  std::vector<int> size_of;
};

// One per node type that has nodes in service and cards of at most one kind.
std::vector<Supply> SuppliesOf(const scheduler::Ledger& ledger,
                               const std::vector<Expected>& expected);

// Cards' worth of a demand, in thousandths, on the smallest cards that admit it: the same wherever
// it is placed. 0 for one without cards.
int64_t WorthMillis(const scheduler::Ledger& ledger, scheduler::DemandIndex demand);

// Part of one card, no other kind of request.
inline bool IsShare(const scheduler::Demand& demand) {
  return demand.count == 1 && !demand.whole;
}

// The program's answer, in fractions of claims and cards.
struct Filling {
  size_t supply = 0;
  size_t group = 0;
  Pattern pattern;  // By position in the supply's `sizes`.
  double cards = 0;
};
struct Fractions {
  std::vector<std::vector<double>> claims;  // [expected][supply].
  std::vector<Filling> fillings;
  double bound_millis = 0;
};

Result<Fractions> Solve(const scheduler::Ledger& ledger,
                        const std::vector<Expected>& expected,
                        const std::vector<Supply>& supplies,
                        const ProgramOptions& options);

// Whole claims on nodes, as near to the fractions as they go.
Program LayOut(const scheduler::Ledger& ledger,
               const std::vector<Expected>& expected,
               const std::vector<Supply>& supplies,
               const Fractions& fractions);

}  // namespace sluice::targets
