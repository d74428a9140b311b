// SPDX-License-Identifier: Apache-2.0
#include "model/gpu.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Gpu CardWithShares() {
  Gpu gpu;
  gpu.memory = 24_GiB;
  gpu.shares = {{ClaimId("clm_1"), 8_GiB, {}, {}}, {ClaimId("clm_2"), 6_GiB, {}, {}}};
  return gpu;
}

TEST(GpuMode, ReadsBackEveryName) {
  using enum GpuMode;
  for (const GpuMode mode :
       {kShared, kWhole, kPassthrough, kPartitioned, kMoving, kCordoned, kFailed}) {
    EXPECT_EQ(ParseGpuMode(ToString(mode)), mode);
  }
  EXPECT_EQ(ParseGpuMode("unknown"), std::nullopt);
}

TEST(GpuHealth, ReadsBackEveryName) {
  using enum GpuHealth;
  for (const GpuHealth health : {kHealthy, kUnhealthy, kStale}) {
    EXPECT_EQ(ParseGpuHealth(ToString(health)), health);
  }
  EXPECT_EQ(ParseGpuHealth("HEALTHY"), std::nullopt);
}

TEST(MemoryFree, IsTotalMinusShares) {
  const Gpu gpu = CardWithShares();
  EXPECT_EQ(MemoryHeld(gpu), 14_GiB);
  EXPECT_EQ(MemoryFree(gpu), 10_GiB);
}

TEST(MemoryFree, IsZeroUnlessSharedAndHealthy) {
  Gpu gpu = CardWithShares();
  gpu.health = GpuHealth::kStale;
  EXPECT_EQ(MemoryFree(gpu), Bytes(0));
  gpu.health = GpuHealth::kHealthy;
  gpu.mode = GpuMode::kCordoned;
  EXPECT_FALSE(OpenToShares(gpu));
  EXPECT_EQ(MemoryFree(gpu), Bytes(0));
}

TEST(MemoryFree, IsNeverNegative) {
  Gpu gpu = CardWithShares();
  gpu.memory = 8_GiB;  // A card that came back smaller than its shares.
  EXPECT_EQ(MemoryFree(gpu), Bytes(0));
}

}  // namespace
}  // namespace sluice
