// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "scheduler/ledger.h"

namespace sluice::scheduler {

// A ledger's claims by node, and a copy of the ledger to try things on, both brought up node by
// node. One thread at a time; the ledger must outlive it.
class Mirror {
 public:
  // `movable` is asked for each claim of a node that has changed.
  Mirror(const Ledger& ledger, std::function<bool(BindingIndex)> movable)
      : ledger_(ledger), movable_now_(std::move(movable)) {}

  // Brings the claims up to the ledger. Requires, of all below: done since the last change.
  void Follow();
  // Live, ascending.
  std::span<const BindingIndex> ClaimsOf(NodeIndex node) const { return claims_[node]; }
  bool movable(BindingIndex binding) const { return movable_[binding]; }

  // The copy; whoever changes it puts it back. Its numbers of bindings are its own.
  Ledger& Scratch();
  BindingIndex InScratch(BindingIndex binding) const { return in_scratch_[binding]; }

 private:
  void CopyNode(NodeIndex node);

  const Ledger& ledger_;
  std::function<bool(BindingIndex)> movable_now_;
  uint64_t seen_ = 0;  // Position in the ledger's log: changes from here on are unseen.
  std::vector<std::vector<BindingIndex>> claims_;  // By node.
  std::vector<bool> movable_;                      // By binding.
  std::vector<bool> changed_;                      // By node; for Follow.
  std::optional<Ledger> scratch_;
  uint64_t copied_ = 0;                                // As `seen_`, of the copy.
  std::vector<BindingIndex> in_scratch_;               // By the ledger's binding.
  std::vector<std::vector<BindingIndex>> on_scratch_;  // By node: the copy's bindings.
};

}  // namespace sluice::scheduler
