// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/mirror.h"

namespace sluice::scheduler {

void Mirror::Follow() {
  const bool all = claims_.size() != ledger_.nodes() || seen_ < ledger_.kept_from();
  if (!all && seen_ == ledger_.now()) return;
  claims_.resize(ledger_.nodes());
  changed_.assign(ledger_.nodes(), all);
  if (!all) {
    for (const NodeIndex node : ledger_.ChangesSince(seen_)) changed_[node] = true;
  }
  for (NodeIndex node = 0; node < ledger_.nodes(); ++node) {
    if (changed_[node]) claims_[node].clear();
  }
  movable_.resize(ledger_.bindings());
  for (BindingIndex i = 0; i < ledger_.bindings(); ++i) {
    const Binding& binding = ledger_.binding(i);
    if (!binding.live || !changed_[binding.node]) continue;
    claims_[binding.node].push_back(i);
    movable_[i] = movable_now_(i);
  }
  seen_ = ledger_.now();
}

Ledger& Mirror::Scratch() {
  if (!scratch_ || scratch_->nodes() != ledger_.nodes() || copied_ < ledger_.kept_from()) {
    scratch_ = ledger_;
    on_scratch_ = claims_;
    in_scratch_.clear();
    for (BindingIndex i = 0; i < ledger_.bindings(); ++i) in_scratch_.push_back(i);
  } else {
    for (size_t i = scratch_->demands(); i < ledger_.demands(); ++i) {
      scratch_->Intern(ledger_.demand(static_cast<DemandIndex>(i)));
    }
    uint64_t at = copied_;
    for (const NodeIndex node : ledger_.ChangesSince(copied_)) {
      // Only a node's last change counts.
      if (ledger_.node(node).changed_at == at++) CopyNode(node);
    }
  }
  copied_ = ledger_.now();
  return *scratch_;
}

void Mirror::CopyNode(NodeIndex node) {
  for (const BindingIndex binding : on_scratch_[node]) scratch_->Release(binding);
  on_scratch_[node].clear();
  in_scratch_.resize(ledger_.bindings());
  for (const BindingIndex i : claims_[node]) {
    const Binding& binding = ledger_.binding(i);
    in_scratch_[i] = scratch_->BindHeld(binding.demand, node, binding.held);
    on_scratch_[node].push_back(in_scratch_[i]);
  }
  const NodeState& state = ledger_.node(node);
  scratch_->SetNodeOpen(node, state.open);
  for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
    scratch_->SetService(card, ledger_.service(card));
  }
}

}  // namespace sluice::scheduler
