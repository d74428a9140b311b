// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>

#include "scheduler/fleet_for_tests.h"
#include "scheduler/ledger_for_tests.h"

// Rows of cards and requests drawn by a seed, and an oracle that counts afresh.
namespace sluice::scheduler {

inline Gpu SomeCard(Dice& dice, int number) {
  static constexpr int kSizesGib[] = {8, 16, 24, 24, 80};
  Gpu gpu = Card("g" + std::to_string(number), GiB(kSizesGib[dice.Roll(5)]));
  gpu.node = NodeId("n" + std::to_string(dice.Roll(3)));
  if (dice.OneIn(3)) gpu.model = "NVIDIA L4";
  if (dice.OneIn(8)) gpu.health = GpuHealth::kStale;
  if (dice.OneIn(10)) gpu.mode = GpuMode::kCordoned;
  if (dice.OneIn(8)) {
    gpu.shares.push_back(
        ToShare(ClaimId(gpu.id.text() + ".w"), {gpu.id, gpu.memory, gpu.compute, {}, true}));
    return gpu;
  }
  for (int i = dice.Roll(5); i > 0; --i) {
    const Bytes memory = MiB(256 * (1 + dice.Roll(40)));
    if (MemoryHeld(gpu) + memory > gpu.memory) break;
    const std::string claim = gpu.id.text() + "." + std::to_string(i);
    gpu.shares.push_back(
        {ClaimId(claim), memory, ComputeMillis(50 * dice.Roll(4)), ComputeMillis(0)});
  }
  return gpu;
}

// Often with a floor, a ceiling, or both.
inline CardBounds SomeBounds(Dice& dice, int cards) {
  CardBounds bounds;
  if (dice.OneIn(2)) bounds.ceiling = 1 + dice.Roll(cards + 1);
  if (dice.OneIn(2)) bounds.floor = dice.Roll((bounds.ceiling > 0 ? bounds.ceiling : cards) + 1);
  return bounds;
}

inline Snapshot SomeFleet(Dice& dice) {
  Snapshot snapshot;
  for (int i = dice.Roll(7); i > 0; --i) snapshot.gpus.push_back(SomeCard(dice, i));
  snapshot.rules.bounds = SomeBounds(dice, static_cast<int>(snapshot.gpus.size()));
  return snapshot;
}

inline ClaimRequest SomeRequest(Dice& dice) {
  ClaimRequest request = Ask(MiB(256 * (1 + dice.Roll(120))));
  if (dice.OneIn(4)) request.count = 1 + dice.Roll(3);
  if (dice.OneIn(4)) request.guarantee = ComputeMillis(100 * dice.Roll(10));
  if (dice.OneIn(6)) request.whole = true;
  if (dice.OneIn(5)) request.gpu_model = "NVIDIA L4";
  if (dice.OneIn(6)) request.only = {GpuId("g1"), GpuId("g2"), GpuId("g3")};
  request.priority = dice.Roll(3);
  return request;
}

inline Snapshot Emptied(Snapshot snapshot) {
  for (Gpu& gpu : snapshot.gpus) {
    gpu.shares.clear();
    gpu.mode = GpuMode::kShared;
    gpu.health = GpuHealth::kHealthy;
  }
  return snapshot;
}

// The oracle: one part of the request on one card, counted from the card's row.
inline bool OneFits(const Gpu& gpu, const ClaimRequest& request) {
  if (!OpenToShares(gpu)) return false;
  if (!request.gpu_model.empty() && gpu.model != request.gpu_model) return false;
  if (!request.only.empty() && std::ranges::count(request.only, gpu.id) == 0) return false;
  if (request.whole) return gpu.shares.empty() && gpu.memory >= request.memory;
  int64_t guaranteed = request.guarantee.value();
  for (const Share& share : gpu.shares) guaranteed += share.guarantee.value();
  return MemoryHeld(gpu) + request.memory <= gpu.memory && guaranteed <= 1000;
}

// The oracle: so many idle cards may be given to such a request, counted from the cards' rows.
inline int IdleLeft(const Snapshot& snapshot, const ClaimRequest& request) {
  int left = 0;
  int carrying = 0;
  for (const Gpu& gpu : snapshot.gpus) {
    if (OpenToShares(gpu) && !IsHeldWhole(gpu)) ++left;
    if (CarriesShares(gpu)) ++carrying;
  }
  const CardBounds& bounds = snapshot.rules.bounds;
  if (request.whole) return bounds.floor == 0 ? 1'000 : std::max(left - bounds.floor, 0);
  return bounds.ceiling == 0 ? 1'000 : std::max(bounds.ceiling - carrying, 0);
}

inline bool Fits(const Snapshot& snapshot, const ClaimRequest& request) {
  const int idle_left = IdleLeft(snapshot, request);
  std::map<NodeId, std::pair<int, int>> fitting;  // In use, and idle.
  for (const Gpu& gpu : snapshot.gpus) {
    if (!OneFits(gpu, request)) continue;
    auto& [used, idle] = fitting[gpu.node];
    ++(gpu.shares.empty() ? idle : used);
    if (used + std::min(idle, idle_left) >= request.count) return true;
  }
  return false;
}

inline const Gpu& CardOf(const Snapshot& snapshot, const GpuId& id) {
  return *std::ranges::find(snapshot.gpus, id, &Gpu::id);
}

// Writes a placement into the rows, as control does.
inline void Apply(Snapshot& snapshot, const ClaimId& claim, const Placed& placed) {
  for (const Allocation& allocation : placed.allocations) {
    std::ranges::find(snapshot.gpus, allocation.gpu, &Gpu::id)
        ->shares.push_back(ToShare(claim, allocation));
  }
}

inline void ExpectSound(const Snapshot& snapshot,
                        const ClaimRequest& request,
                        const Placed& placed) {
  ASSERT_EQ(placed.allocations.size(), static_cast<size_t>(request.count));
  std::set<GpuId> cards;
  std::set<NodeId> nodes;
  int opened = 0;
  for (const Allocation& allocation : placed.allocations) {
    const Gpu& gpu = CardOf(snapshot, allocation.gpu);
    EXPECT_TRUE(cards.insert(gpu.id).second) << "one card twice";
    nodes.insert(gpu.node);
    EXPECT_TRUE(OneFits(gpu, request)) << gpu.id.text();
    EXPECT_EQ(allocation.memory, request.whole ? gpu.memory : request.memory);
    EXPECT_EQ(allocation.whole, request.whole);
    opened += gpu.shares.empty() ? 1 : 0;
  }
  EXPECT_LE(opened, IdleLeft(snapshot, request)) << "past the floor or the ceiling";
  EXPECT_EQ(nodes.size(), 1u) << "cards of several machines";
}

}  // namespace sluice::scheduler
