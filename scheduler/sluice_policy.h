// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "scheduler/policy.h"
#include "scheduler/targets.h"

namespace sluice::scheduler {

// What the policy may do, each to be switched off on its own. With all of them off it is FGD.
struct SluiceLevers {
  bool own_berth = true;   // A claim takes a berth that is kept for its demand.
  bool free_room = true;   // Without one it goes first where it takes no berth's room.
  bool like_berth = true;  // Then to a berth for as many cards whose room suffices, the most alike.
  // Nothing takes a berth's room by force: a claim that would have to waits, though it fits. Off by
  // default: it chooses among claims, so its figures are not comparable with those of policies
  // that take what comes.
  bool hold_back = false;
};

// Fills the berths of `targets`; a claim that finds none goes where it does least harm: into room
// that no berth needs, chosen by FGD as if the berths were held; into the most alike berth of
// another demand; and last, as plain FGD would, wherever it fits. Without `hold_back` no claim is
// refused to keep a berth, so whatever the targets are, a claim waits only if it fits nowhere.
//
// Berths whose room has been taken are dropped. A berth whose claim ends is open again. Ties: the
// node that was added first; in a node the berth that comes first; FGD's cards as in MakeFgd.
// The demands of mix and targets must be interned in the ledger that the policy will serve.
std::unique_ptr<Policy> MakeSluice(Mix mix, Targets targets, SluiceLevers levers = {});

}  // namespace sluice::scheduler
