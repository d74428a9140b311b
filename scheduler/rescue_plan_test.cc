// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue_plan.h"

#include <gtest/gtest.h>
#include <set>

#include "scheduler/drawn_for_tests.h"

namespace sluice::scheduler {
namespace {

Movable May(const char* claim, ClaimRequest request) {
  return {.claim = ClaimId(claim), .user = {}, .request = std::move(request)};
}

TEST(RescuePlan, MovesTheSmallerShareSoThatACardBecomesWhole) {
  const Snapshot fleet{{Card("a", GiB(24), {GiB(6)}), Card("b", GiB(24), {GiB(8)})}};
  const std::vector<Movable> both = {May("a-0", Ask(GiB(6))), May("b-0", Ask(GiB(8)))};
  const auto plan = PlanRescue(fleet, AskWhole(), both, 1);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->moves.size(), 1U);
  EXPECT_EQ(plan->moves[0].claim, ClaimId("a-0"));
  EXPECT_EQ(plan->moves[0].from.front().gpu, GpuId("a"));
  EXPECT_EQ(plan->moves[0].to.front().gpu, GpuId("b"));
  EXPECT_EQ(plan->placement.front().gpu, GpuId("a"));
  EXPECT_EQ(plan->placement.front().memory, GiB(24));
}

TEST(RescuePlan, MovesNobodyWhoHasNotDeclaredItOrHoldsOtherThanAsked) {
  const Snapshot fleet{{Card("a", GiB(24), {GiB(6)}), Card("b", GiB(24), {GiB(8)})}};
  EXPECT_FALSE(PlanRescue(fleet, AskWhole(), {}, 2));
  const std::vector<Movable> other = {May("nobody", Ask(GiB(6)))};
  EXPECT_FALSE(PlanRescue(fleet, AskWhole(), other, 2));
  const std::vector<Movable> two_asked = {May("a-0", Ask(GiB(6), 2))};
  EXPECT_FALSE(PlanRescue(fleet, AskWhole(), two_asked, 2));
}

// What it plans can be done, and only those who declared it are moved.
TEST(RescuePlanProperty, CanBeDone) {
  int plans = 0;
  ForEverySeed(2'000, [&](Dice& dice) {
    const Snapshot before = SomeFleet(dice);
    const ClaimRequest request = SomeRequest(dice);
    if (Fits(before, request)) return;
    std::vector<Movable> movable;
    std::map<ClaimId, ClaimRequest> asked;
    for (const Gpu& gpu : before.gpus) {
      for (const Share& share : gpu.shares) {
        if (dice.OneIn(3)) continue;
        ClaimRequest held = Ask(share.memory);
        held.guarantee = share.guarantee;
        asked[share.claim] = held;
        movable.push_back({.claim = share.claim, .user = {}, .request = held});
      }
    }
    const auto plan = PlanRescue(before, request, movable, 1 + dice.Roll(2));
    if (!plan) return;
    ++plans;
    Snapshot after = before;
    for (const Relocation& move : plan->moves) {
      ASSERT_TRUE(asked.contains(move.claim));
      for (Gpu& gpu : after.gpus) {
        std::erase_if(gpu.shares, [&](const Share& share) { return share.claim == move.claim; });
      }
    }
    ExpectSound(after, request, {plan->placement});
    Apply(after, ClaimId("new"), {plan->placement});
    for (const Relocation& move : plan->moves) {
      ExpectSound(after, asked[move.claim], {move.to});
      Apply(after, move.claim, {move.to});
    }
  });
  EXPECT_TRUE(plans > 50 || std::getenv("SLUICE_SEED") != nullptr) << plans;
}

}  // namespace
}  // namespace sluice::scheduler
