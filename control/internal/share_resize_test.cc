// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using testing::Fault;
using ::testing::HasSubstr;
using testing::House;

class Resizing : public ::testing::Test {
 protected:
  Resizing() {
    house_.node.AddCard("GPU-1", 24_GiB);
    house_.Run();
    first_ = house_.AddDesktop("first", 8_GiB);
    house_.Run();
  }
  Result<void> Resize(Bytes memory, int64_t guarantee = 0) {
    ClaimRequest wish;
    wish.memory = memory;
    wish.guarantee = ComputeMillis(guarantee);
    return house_.control().Resize(house_.Get(first_).claim, wish);
  }
  Allocation Held() { return house_.GetClaim(house_.Get(first_).claim)->allocations.at(0); }
  Bytes Enforced() {
    return house_.node.regions.at(house_.Get(first_).claim).allocations.at(0).memory;
  }

  House house_;
  DesktopId first_;
};

TEST_F(Resizing, ChangesRowsAndRegionsTogether) {
  ASSERT_TRUE(Resize(16_GiB, 500));
  EXPECT_EQ(Held().memory, 16_GiB);
  EXPECT_EQ(Held().guarantee, ComputeMillis(500));
  EXPECT_EQ(Enforced(), 16_GiB);
  EXPECT_EQ(MemoryFree(house_.GetGpu("GPU-1")), 8_GiB);
  ASSERT_TRUE(Resize(4_GiB));
  EXPECT_EQ(Enforced(), 4_GiB);
  EXPECT_EQ(MemoryFree(house_.GetGpu("GPU-1")), 20_GiB);
  EXPECT_EQ(house_.Broken(), "");
}

TEST_F(Resizing, IsRefusedWhereTheOthersLeaveTooLittle) {
  house_.AddDesktop("second", 12_GiB);
  house_.Run();
  const auto refused = Resize(13_GiB);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("the card has 12 GiB for this share"));
  EXPECT_EQ(Held().memory, 8_GiB);
  EXPECT_EQ(Enforced(), 8_GiB);
}

TEST_F(Resizing, KeepsEverythingWhenProgramsUseMore) {
  house_.node.least_memory = 6_GiB;
  EXPECT_EQ(Resize(5_GiB).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(Held().memory, 8_GiB);
  EXPECT_EQ(Enforced(), 8_GiB);
  EXPECT_EQ(MemoryFree(house_.GetGpu("GPU-1")), 16_GiB);
}

TEST_F(Resizing, StartsWhoWaitedForWhatWasGivenBack) {
  const DesktopId second = house_.AddDesktop("second", 20_GiB);
  house_.Run();
  ASSERT_EQ(house_.StateOf(second), DesktopState::kQueued);
  ASSERT_TRUE(Resize(4_GiB));
  house_.Run();
  EXPECT_EQ(house_.StateOf(second), DesktopState::kReady);
  EXPECT_EQ(house_.Broken(), "");
}

TEST_F(Resizing, IsCarriedOnAfterAProcessThatDiedInTheMiddle) {
  ASSERT_TRUE(Resize(4_GiB, 100));
  // As if the agent had not been told.
  house_.node.regions.at(house_.Get(first_).claim).allocations.at(0).memory = 2_GiB;
  house_.node.regions.at(house_.Get(first_).claim).allocations.at(0).guarantee = ComputeMillis(900);
  house_.RestartControl();
  house_.Run();
  EXPECT_EQ(house_.node.regions.at(house_.Get(first_).claim).allocations.at(0), Held());
}

// Whatever is cut off, and wherever: the rows promise at least what the region grants.
TEST_F(Resizing, NeverGrantsMoreThanTheRowsSay) {
  for (const Bytes wanted : {2_GiB, 16_GiB}) {
    for (const Fault fault : {Fault::kBefore, Fault::kAfter}) {
      ASSERT_TRUE(Resize(8_GiB));
      int commits = 0;
      house_.store.fault = [&] { return ++commits == 1 ? fault : Fault::kNone; };
      (void)Resize(wanted);
      house_.store.fault = [] { return Fault::kNone; };
      EXPECT_LE(Enforced(), Held().memory);
      EXPECT_EQ(house_.Broken(), "");
    }
  }
}

}  // namespace
}  // namespace sluice::control
