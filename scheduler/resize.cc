// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/internal/fleet.h"
#include "scheduler/internal/words.h"
#include "scheduler/scheduler.h"

namespace sluice::scheduler {
std::variant<Allocation, WaitFor> Resize(const Gpu& gpu,
                                         const ClaimId& claim,
                                         const ClaimRequest& wish) {
  Gpu others = gpu;
  std::erase_if(others.shares, [&](const Share& share) { return share.claim == claim; });
  // Who is on the card stays there, whatever it is closed for.
  others.mode = GpuMode::kShared;
  others.health = GpuHealth::kHealthy;
  const std::vector<internal::Card> cards = internal::ToCards({&others, 1});
  const Bytes room = internal::MemoryFree(cards.front());
  if (wish.memory <= Bytes(0) || wish.memory > room) {
    return WaitFor{"the card has " + ToText(room) + " for this share", room};
  }
  Allocation allocation = internal::AllocationOn(wish, cards.front());
  const ComputeMillis left = internal::ComputeFree(cards.front());
  if (allocation.guarantee > left) {
    return WaitFor{"the card has " + internal::Percent(left) + " of its compute for this share",
                   room};
  }
  return allocation;
}

}  // namespace sluice::scheduler
