// SPDX-License-Identifier: Apache-2.0
#include "scheduler/consolidate.h"

#include <gtest/gtest.h>

#include "scheduler/drawn_for_tests.h"

namespace sluice::scheduler {
namespace {

// Everybody who holds something, each a person of its own.
std::vector<Movable> All(const Snapshot& fleet) {
  std::vector<Movable> all;
  for (const Gpu& gpu : fleet.gpus) {
    for (const Share& share : gpu.shares) {
      const ClaimRequest request = share.whole ? AskWhole() : Ask(share.memory);
      all.push_back({share.claim, UserId("of-" + share.claim.text()), request});
    }
  }
  return all;
}

// After `moves`, it leads to where they began.
std::vector<Relocation> WayBack(std::span<const Relocation> moves) {
  std::vector<Relocation> back;
  for (const Relocation& move : moves) back.push_back({move.claim, move.to, move.from});
  std::ranges::reverse(back);
  return back;
}

// "a-0: a > b; …; frees a".
std::string Say(const Consolidation& plan) {
  std::string said;
  for (const Relocation& move : plan.moves) {
    said += move.claim.text() + ":";
    for (const Allocation& part : move.from) said += " " + part.gpu.text();
    said += " >";
    for (const Allocation& part : move.to) said += " " + part.gpu.text();
    said += "; ";
  }
  said += "frees";
  for (const GpuId& card : plan.freed) said += " " + card.text();
  return said;
}

std::string Plan(const Snapshot& fleet, int people_max) {
  return Say(PlanConsolidation(fleet, All(fleet), {.people_max = people_max}));
}

TEST(Consolidate, MovesTheLeastOntoTheTightestCard) {
  const Snapshot fleet{{Card("a", 24_GiB, {4_GiB}),
                        Card("b", 24_GiB, {12_GiB}),
                        Card("c", 24_GiB, {18_GiB}),
                        Card("d", 24_GiB)}};
  EXPECT_EQ(Plan(fleet, 0), "frees");
  EXPECT_EQ(Plan(fleet, 1), "a-0: a > c; frees a");
}

TEST(Consolidate, MakesMoreCardsWholeWhenMoreMayBeDisturbed) {
  const Snapshot fleet{{Card("a", 24_GiB, {4_GiB}),
                        Card("b", 24_GiB, {6_GiB, 4_GiB}),
                        Card("c", 24_GiB, {6_GiB}),
                        Card("d", 24_GiB, {4_GiB})}};
  EXPECT_EQ(Plan(fleet, 1), "a-0: a > b; frees a");
  EXPECT_EQ(Plan(fleet, 2), "a-0: a > b; d-0: d > b; frees a d");
  EXPECT_EQ(Plan(fleet, 3), "a-0: a > b; d-0: d > b; c-0: c > b; frees a d c");
}

TEST(Consolidate, CountsAPersonOnce) {
  const Snapshot fleet{
      {Card("a", 24_GiB, {4_GiB, 4_GiB}), Card("b", 24_GiB, {6_GiB}), Card("c", 24_GiB, {16_GiB})}};
  std::vector<Movable> all = All(fleet);
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 1})), "b-0: b > c; frees b");
  for (Movable& one : all) one.user = UserId("the-same");
  const Consolidation plan = PlanConsolidation(fleet, all, {.people_max = 1});
  EXPECT_EQ(plan.people, 1);
  EXPECT_EQ(plan.freed, (std::vector{GpuId("b")})) << "nobody fits beside two on c";
}

TEST(Consolidate, LeavesACardWithSomebodyWhoMayNotBeMoved) {
  const Snapshot fleet{{Card("a", 24_GiB, {2_GiB, 2_GiB}), Card("b", 24_GiB, {12_GiB})}};
  std::vector<Movable> all = All(fleet);
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})), "b-0: b > a; frees b");
  all.erase(all.begin() + 2);
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})),
            "a-0: a > b; a-1: a > b; frees a");
  all.erase(all.begin());
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})), "frees");
}

TEST(Consolidate, StaysInThePoolOnTheModelAndInService) {
  Snapshot fleet{{Card("a", 24_GiB, {4_GiB}), OfModel("L4", Card("b", 24_GiB, {12_GiB}))}};
  std::vector<Movable> all = All(fleet);
  all[0].request.gpu_model = "NVIDIA A10";
  all[1].request.gpu_model = "L4";
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})), "frees");
  all[0].request.gpu_model = "";
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})), "a-0: a > b; frees a");
  fleet.gpus[1].health = GpuHealth::kStale;
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})), "frees");
  fleet.gpus[1].health = GpuHealth::kHealthy;
  fleet.gpus[1].pool = PoolId("other");
  EXPECT_EQ(Say(PlanConsolidation(fleet, all, {.people_max = 9})), "frees");
}

TEST(Consolidate, MovesAClaimOfSeveralCardsAsOne) {
  Snapshot fleet{{On("n1", Card("a", 24_GiB)),
                  On("n1", Card("b", 24_GiB)),
                  On("n2", Card("c", 24_GiB, {16_GiB})),
                  On("n2", Card("d", 24_GiB, {16_GiB})),
                  On("n1", Card("e", 24_GiB, {12_GiB}))}};
  for (const size_t card : {0U, 1U}) {
    fleet.gpus[card].shares.push_back(
        {ClaimId("two"), 4_GiB, ComputeMillis(100), ComputeMillis(0)});
  }
  const std::vector<Movable> movable = {{ClaimId("two"), UserId("u"), Ask(4_GiB, 2)}};
  EXPECT_EQ(Say(PlanConsolidation(fleet, movable, {.people_max = 1})), "two: a b > c d; frees a b");
  fleet.gpus[0].shares.back().memory = 5_GiB;  // Unlike the other part.
  EXPECT_EQ(Say(PlanConsolidation(fleet, movable, {.people_max = 1})), "frees");
}

TEST(StillPossible, LeavesOutWhatHasChanged) {
  Snapshot fleet{{Card("a", 24_GiB, {4_GiB}), Card("b", 24_GiB, {4_GiB, 12_GiB})}};
  const Consolidation plan = PlanConsolidation(fleet, All(fleet), {.people_max = 1});
  ASSERT_EQ(Say(plan), "a-0: a > b; frees a");
  EXPECT_EQ(StillPossible(fleet, plan.moves), plan.moves);
  EXPECT_TRUE(StillPossible(fleet, WayBack(plan.moves)).empty()) << "it is not there yet";
  fleet.gpus[1].shares.push_back({ClaimId("new"), 5_GiB, ComputeMillis(0), ComputeMillis(0)});
  EXPECT_TRUE(StillPossible(fleet, plan.moves).empty());
  fleet.gpus[1].shares.pop_back();
  fleet.gpus[0].shares[0].memory = 3_GiB;
  EXPECT_TRUE(StillPossible(fleet, plan.moves).empty());
}

// The rows, with each card's shares in one order.
std::vector<std::vector<Share>> SharesOf(const Snapshot& fleet) {
  std::vector<std::vector<Share>> all;
  for (const Gpu& gpu : fleet.gpus) {
    all.push_back(gpu.shares);
    std::ranges::sort(all.back(), {}, &Share::claim);
  }
  return all;
}

// One step as control does it: the claim's shares leave, then they are put elsewhere.
void Step(Snapshot& fleet, const Relocation& move) {
  for (const Allocation& part : move.from) {
    Gpu& gpu = *std::ranges::find(fleet.gpus, part.gpu, &Gpu::id);
    ASSERT_EQ(std::erase(gpu.shares, ToShare(move.claim, part)), 1U);
  }
  for (const Allocation& part : move.to) {
    Gpu& gpu = *std::ranges::find(fleet.gpus, part.gpu, &Gpu::id);
    ASSERT_TRUE(OpenToShares(gpu));
    gpu.shares.push_back(ToShare(move.claim, part));
    ASSERT_LE(MemoryHeld(gpu), gpu.memory) << gpu.id.text();
    int64_t guaranteed = 0;
    for (const Share& share : gpu.shares) guaranteed += share.guarantee.value();
    ASSERT_TRUE(part.guarantee == ComputeMillis(0) || guaranteed <= gpu.compute.value());
  }
}

int WholeCards(const Snapshot& fleet) {
  return static_cast<int>(
      std::ranges::count_if(fleet.gpus, [](const Gpu& gpu) { return gpu.shares.empty(); }));
}

TEST(ConsolidateProperty, CanBeDoneStepByStepAndUndone) {
  int freed = 0;
  ForEverySeed(3'000, [&](Dice& dice) {
    const Snapshot before = SomeFleet(dice);
    std::vector<Movable> movable;
    for (Movable& one : All(before)) {
      if (dice.OneIn(5)) continue;
      if (dice.OneIn(3)) one.user = UserId("u" + std::to_string(dice.Roll(3)));
      movable.push_back(one);
    }
    const int people_max = dice.Roll(5);
    const Consolidation plan = PlanConsolidation(before, movable, {.people_max = people_max});
    std::set<UserId> users;
    std::set<ClaimId> claims;
    Snapshot after = before;
    for (const Relocation& move : plan.moves) {
      ASSERT_TRUE(claims.insert(move.claim).second) << "moved twice";
      const auto one = std::ranges::find(movable, move.claim, &Movable::claim);
      ASSERT_NE(one, movable.end());
      users.insert(one->user);
      Step(after, move);
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(plan.people, static_cast<int>(users.size()));
    EXPECT_LE(plan.people, people_max);
    EXPECT_EQ(WholeCards(after), WholeCards(before) + static_cast<int>(plan.freed.size()));
    EXPECT_EQ(plan.moves.empty(), plan.freed.empty());
    freed += static_cast<int>(plan.freed.size());

    const std::vector<Relocation> back = WayBack(plan.moves);
    const int ceiling = before.rules.bounds.ceiling;
    // Nobody is brought back above the ceiling.
    if (ceiling > 0 && std::ranges::count_if(before.gpus, CarriesShares) > ceiling) {
      for (const Relocation& move : StillPossible(after, back)) {
        const auto carrying = std::ranges::count_if(after.gpus, CarriesShares);
        Step(after, move);
        EXPECT_LE(std::ranges::count_if(after.gpus, CarriesShares),
                  std::max<int64_t>(ceiling, carrying));
      }
      return;
    }
    EXPECT_EQ(StillPossible(after, back), back);
    for (const Relocation& move : back) {
      Step(after, move);
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(SharesOf(after), SharesOf(before));
  });
  EXPECT_TRUE(freed > 100 || std::getenv("SLUICE_SEED") != nullptr) << freed;
}

}  // namespace
}  // namespace sluice::scheduler
