// SPDX-License-Identifier: Apache-2.0
// How cards are chosen by a pool's policy, why something waits, and what a change would do.
#include "control/internal/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;
using testing::House;
using enum DesktopState;

void SetPool(House& house, const std::function<void(Pool&)>& change) {
  auto row = store::Read<Pool>(*house.real_store, "shared");
  Pool pool = row ? row->value : Pool();
  pool.id = PoolId("shared");
  change(pool);
  ASSERT_TRUE(
      house.real_store->Commit(std::vector{store::Put(pool, row ? row->version : uint64_t{0})}));
}

void SetPolicy(House& house, PlacementPolicy policy) {
  SetPool(house, [policy](Pool& pool) { pool.placement = policy; });
}

// One card with 24 GiB that is held but for 6.
struct NearlyFull {
  NearlyFull() {
    house.node.AddCard("GPU-1", 24_GiB);
    SetPool(house, [](Pool&) {});
    house.Run();
    holds = house.AddDesktop("holds", 18_GiB);
    house.Run();
    EXPECT_EQ(house.StateOf(holds), kReady);
    house.clock.Advance(Duration(1'000));
    waits = house.AddDesktop("waits", 12_GiB);
    house.Run();
    EXPECT_EQ(house.StateOf(waits), kQueued);
  }
  Explained Why(const DesktopId& id) {
    const Desktop desktop = house.Get(id);
    return *house.control().Explain({.request = desktop.request, .claim = desktop.claim});
  }
  // As the portal does it: the claim and its desktop in one commit.
  void Ask(const DesktopId& id, const ClaimRequest& wish) {
    auto desktop = store::Read<Desktop>(*house.real_store, id.text());
    auto claim = store::Read<Claim>(*house.real_store, desktop->value.claim.text());
    desktop->value.request = wish;
    const Claim asked = AskInstead(claim->value, wish, house.clock.Now());
    ASSERT_TRUE(house.real_store->Commit(std::vector{store::Put(desktop->value, desktop->version),
                                                     store::Put(asked, claim->version)}));
  }
  House house;
  DesktopId holds;
  DesktopId waits;
};

TEST(Explain, NamesTheCardsAndWhatWouldStartNow) {
  NearlyFull one;
  const Explained why = one.Why(one.waits);
  EXPECT_EQ(why.answer, Explained::Answer::kWaits);
  EXPECT_EQ(why.reason, "needs 12 GiB on one card; largest free: 6 GiB");
  EXPECT_EQ(why.summary, "1 card: 1 too little memory (largest free 6 GiB)");
  ASSERT_EQ(why.cards.size(), 1u);
  EXPECT_EQ(why.cards[0].words, "too little memory (6 GiB free)");
  ASSERT_EQ(why.alternatives.size(), 1u);
  EXPECT_EQ(why.alternatives[0].request.memory, 6_GiB);
  EXPECT_TRUE(why.alternatives[0].keeps_place);
  EXPECT_EQ(one.house.control().PlaceInQueue(one.house.Get(one.waits).claim)->summary, why.summary);
}

TEST(Explain, ProposesWhatStartsWhenItIsTaken) {
  NearlyFull one;
  one.Ask(one.waits, one.Why(one.waits).alternatives[0].request);
  one.house.Run();
  EXPECT_EQ(one.house.StateOf(one.waits), kReady);
  EXPECT_EQ(one.house.GetClaim(one.house.Get(one.waits).claim)->allocations[0].memory, 6_GiB);
  EXPECT_EQ(one.house.Broken(), "");
}

TEST(Explain, ProposesAnotherModel) {
  NearlyFull one;
  one.house.node.AddCard("GPU-2", 24_GiB, "Other GPU");
  one.house.Change(one.holds, [](Desktop&) {});
  ClaimRequest request;
  request.memory = 12_GiB;
  request.gpu_model = "Test GPU";
  one.Ask(one.waits, request);
  one.house.Run();
  ASSERT_EQ(one.house.StateOf(one.waits), kQueued);
  const Explained why = one.Why(one.waits);
  EXPECT_EQ(why.summary, "2 cards: 1 too little memory (largest free 6 GiB), 1 another model");
  ASSERT_EQ(why.alternatives.size(), 2u);
  EXPECT_EQ(why.alternatives[1].words, "on Other GPU");
  EXPECT_EQ(why.alternatives[1].request.gpu_model, "Other GPU");
  EXPECT_EQ(why.alternatives[1].request.memory, 12_GiB);
  EXPECT_FALSE(why.alternatives[1].keeps_place);
}

TEST(Explain, ProposesNothingThatTheFirstInTheQueueIsKeptFrom) {
  NearlyFull one;
  one.house.clock.Advance(Duration(1'000));
  const DesktopId second = one.house.AddDesktop("second", 8_GiB);
  one.house.Run();
  ASSERT_EQ(one.house.StateOf(second), kQueued);
  // The card is kept for the first, whose end nobody knows.
  EXPECT_TRUE(one.Why(second).alternatives.empty());
  EXPECT_EQ(one.Why(one.waits).alternatives.size(), 1u);
}

TEST(Explain, SaysThatATeamIsTheReasonAndWhatItLeaves) {
  NearlyFull one;
  const TeamId team("tem_1");
  ASSERT_TRUE(one.house.real_store->Commit(
      std::vector{store::Put(Team{.id = team, .name = "small", .memory_max = 4_GiB}, 0)}));
  one.house.Wish(one.waits, DesiredState::kStopped);
  one.house.Run();
  ClaimRequest request;
  request.memory = 5_GiB;
  const Explained why = *one.house.control().Explain({.request = request, .team = team});
  EXPECT_EQ(why.answer, Explained::Answer::kNever);
  ASSERT_EQ(why.alternatives.size(), 1u);
  EXPECT_EQ(why.alternatives[0].request.memory, 4_GiB);
}

TEST(AskInstead, KeepsThePlaceOfWhoAsksNoMore) {
  Claim claim;
  claim.request = {.memory = 8_GiB, .guarantee = ComputeMillis(300), .gpu_model = "A"};
  claim.request.priority = 4;
  claim.queued_since = TimePoint(Duration(7));
  const TimePoint now(Duration(99));
  const auto since = [&](const std::function<void(ClaimRequest&)>& change) {
    ClaimRequest wish = claim.request;
    wish.priority = 0;
    change(wish);
    const Claim asked = AskInstead(claim, wish, now);
    EXPECT_EQ(asked.request.priority, 4);
    return asked.queued_since;
  };
  EXPECT_EQ(since([](ClaimRequest&) {}), claim.queued_since);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.memory = 6_GiB; }), claim.queued_since);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.guarantee = ComputeMillis(0); }),
            claim.queued_since);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.gpu_model = ""; }), claim.queued_since);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.memory = 9_GiB; }), now);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.gpu_model = "B"; }), now);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.guarantee_by_memory = true; }), now);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.whole = true; }), now);
  EXPECT_EQ(since([](ClaimRequest& wish) { wish.count = 2; }), now);
}

// So many claims of one size have run.
void AddPast(House& house, int count, Bytes memory) {
  for (int i = 0; i < count; ++i) {
    PastClaim past;
    past.id = ClaimId(NewIdText("clm", house.clock.Now(), house.random));
    past.request.memory = memory;
    past.allocations = {{GpuId("GPU-1"), memory, ComputeMillis(0), ComputeMillis(0)}};
    past.queued_since = past.held_since = house.clock.Now();
    past.ended_at = house.clock.Now() + Duration(1'000);
    ASSERT_TRUE(house.real_store->Commit(std::vector{store::Put(past, 0)}));
  }
}

std::string PlanRow(House& house) {
  const auto row =
      house.real_store->Get(store::Kind::kSetting, PlacementSettingId(PoolId("shared")));
  return row ? row->body : "";
}

TEST(Policy, FallsBackWhereTooLittleHasRunAndSaysSo) {
  House house;
  house.node.AddCard("GPU-1", 24_GiB);
  SetPolicy(house, PlacementPolicy::kFgd);
  house.Run();
  AddPast(house, 12, 4_GiB);
  house.Run();
  const PlacementState state = house.control().Placement();
  EXPECT_EQ(state.in_force, PlacementPolicy::kTightestCard);
  EXPECT_THAT(state.note, HasSubstr("fgd goes by what has been asked for here: 12 of the 50"));
}

TEST(Policy, GoesByWhatWasAskedForOnceEnoughHasRun) {
  House house;
  house.node.AddCard("GPU-1", 24_GiB);
  house.node.AddCard("GPU-2", 24_GiB);
  SetPolicy(house, PlacementPolicy::kFgd);
  AddPast(house, 60, 12_GiB);
  house.Run();
  EXPECT_EQ(house.control().Placement().in_force, PlacementPolicy::kFgd);
  EXPECT_EQ(house.control().Placement().note, "Goes by the last 60 claims, of 1 kind.");
  const DesktopId half = house.AddDesktop("half", 12_GiB);
  house.Run();
  const DesktopId small = house.AddDesktop("small", 4_GiB);
  house.Run();
  const auto card_of = [&](const DesktopId& id) {
    return house.GetClaim(house.Get(id).claim)->allocations[0].gpu;
  };
  // The tightest card would be the one of the first, and would lose its room for another 12 GiB.
  EXPECT_NE(card_of(small), card_of(half));
}

TEST(Policy, IsNotWorkedOutAnewAfterARestart) {
  House house;
  house.node.AddCard("GPU-1", 24_GiB);
  SetPolicy(house, PlacementPolicy::kSluice);
  AddPast(house, 60, 5_GiB);
  AddPast(house, 30, 7_GiB);
  house.Run();
  const std::string row = PlanRow(house);
  ASSERT_TRUE(DecodePlacementPlan(row).has_value()) << row;
  AddPast(house, 20, 9_GiB);
  house.RestartControl();
  house.Run();
  EXPECT_EQ(PlanRow(house), row);
  // But it is when the cards change, and with time.
  house.node.AddCard("GPU-2", 24_GiB);
  house.Run();
  EXPECT_NE(PlanRow(house), row);
  const std::string second = PlanRow(house);
  AddPast(house, 20, 9_GiB);
  house.clock.Advance(Duration(7 * 3'600'000));
  house.Run();
  EXPECT_NE(PlanRow(house), second);
}

TEST(Policy, KeepsItsPlanAsWritten) {
  PlacementPlan plan{.wished = PlacementPolicy::kSluice,
                     .rules = {.policy = PlacementPolicy::kFgd,
                               .expected = {{{.count = 2,
                                              .memory = 3_GiB,
                                              .guarantee = ComputeMillis(4),
                                              .cap = ComputeMillis(5),
                                              .guarantee_by_memory = true,
                                              .whole = true,
                                              .vendor = "v",
                                              .gpu_model = "m"},
                                             6}},
                               .berths = {{GpuId("g"), {.memory = 7_GiB}}}},
                     .note = "why",
                     .seen = 8,
                     .cards = "cards",
                     .made_at = TimePoint(Duration(9))};
  EXPECT_EQ(DecodePlacementPlan(Encode(plan)), plan);
  for (const char* broken : {"", "[]", "{}", R"({"wished":"luck"})", "\xFF"}) {
    EXPECT_FALSE(DecodePlacementPlan(broken)) << broken;
  }
}

TEST(Overcommit, LetsGuaranteesAddUpToThePoolsFactor) {
  House house;
  house.node.AddCard("GPU-1", 24_GiB);
  SetPool(house, [](Pool&) {});
  house.Run();
  const auto add = [&](const std::string& name) {
    const DesktopId id = house.AddDesktop(name, 4_GiB);
    house.Change(id, [](Desktop& desktop) { desktop.request.guarantee = ComputeMillis(700); });
    house.Run();
    return id;
  };
  const DesktopId first = add("first");
  const DesktopId second = add("second");
  EXPECT_EQ(house.StateOf(first), kReady);
  EXPECT_EQ(house.StateOf(second), kQueued);
  SetPool(house, [](Pool& pool) { pool.compute_overcommit_percent = 140; });
  house.Run();
  EXPECT_EQ(house.StateOf(second), kReady);
  ClaimRequest more = house.Get(second).request;
  more.guarantee = ComputeMillis(701);
  EXPECT_FALSE(house.control().Resize(house.Get(second).claim, more));
  EXPECT_EQ(house.GetGpu("GPU-1").compute, ComputeMillis(1000));
}

TEST(PoolTrial, NamesWhomAChangeTouchesAndChangesNothing) {
  NearlyFull one;
  ClaimRequest wish;
  wish.memory = 4_GiB;
  wish.guarantee = ComputeMillis(800);
  one.Ask(one.waits, wish);
  one.house.Run();
  ASSERT_EQ(one.house.StateOf(one.waits), kReady);
  one.house.clock.Advance(Duration(1));
  const DesktopId third = one.house.AddDesktop("third", 1_GiB);
  one.house.Change(third, [](Desktop& desktop) { desktop.request.guarantee = ComputeMillis(300); });
  one.house.Run();
  ASSERT_EQ(one.house.StateOf(third), kQueued);
  Pool pool = store::Read<Pool>(*one.house.real_store, "shared")->value;
  const uint64_t version = one.house.real_store->Version();
  pool.compute_overcommit_percent = 110;
  pool.share_memory_min = 5_GiB;
  const PoolTrial trial = *one.house.control().TryPool(pool);
  std::map<DesktopId, std::vector<PoolEffect::Kind>> kinds;
  for (const PoolEffect& effect : trial.effects) kinds[effect.desktop].push_back(effect.kind);
  using enum PoolEffect::Kind;
  EXPECT_EQ(kinds[third], (std::vector{kStarts, kBelowSmallest}));
  EXPECT_EQ(kinds[one.waits], std::vector{kBelowSmallest});
  EXPECT_EQ(kinds.count(one.holds), 0u);
  EXPECT_EQ(one.house.real_store->Version(), version);
}

TEST(PoolTrial, SaysWhatIsGuaranteedTwice) {
  NearlyFull one;
  SetPool(one.house, [](Pool& pool) { pool.compute_overcommit_percent = 150; });
  one.house.Wish(one.waits, DesiredState::kStopped);
  one.house.Run();
  for (const char* name : {"a", "b"}) {
    const DesktopId id = one.house.AddDesktop(name, 1_GiB);
    one.house.Change(id, [](Desktop& desktop) { desktop.request.guarantee = ComputeMillis(700); });
    one.house.Run();
    ASSERT_EQ(one.house.StateOf(id), kReady);
  }
  Pool pool = store::Read<Pool>(*one.house.real_store, "shared")->value;
  pool.compute_overcommit_percent = 100;
  const PoolTrial trial = *one.house.control().TryPool(pool);
  ASSERT_EQ(trial.effects.size(), 2u);
  EXPECT_EQ(trial.effects[0].kind, PoolEffect::Kind::kOverGuaranteed);
  EXPECT_THAT(trial.effects[0].detail, HasSubstr("140% of Test GPU"));
}

TEST(PoolTrial, ComparesPoliciesOnWhatIsHeldNow) {
  House house;
  house.node.AddCard("GPU-1", 24_GiB);
  house.node.AddCard("GPU-2", 24_GiB);
  SetPool(house, [](Pool&) {});
  AddPast(house, 60, 12_GiB);
  house.Run();
  house.AddDesktop("half", 12_GiB);
  house.Run();
  house.clock.Advance(Duration(1));
  const DesktopId small = house.AddDesktop("small", 4_GiB);
  house.Run();
  Pool pool = store::Read<Pool>(*house.real_store, "shared")->value;
  pool.placement = PlacementPolicy::kFgd;
  const PoolTrial trial = *house.control().TryPool(pool);
  ASSERT_EQ(trial.effects.size(), 1u);
  EXPECT_EQ(trial.effects[0].kind, PoolEffect::Kind::kElsewhere);
  EXPECT_EQ(trial.effects[0].desktop, small);
  EXPECT_EQ(trial.placement.in_force, PlacementPolicy::kFgd);
  EXPECT_EQ(trial.largest_free_before, 24_GiB);
  EXPECT_EQ(trial.largest_free_after, 20_GiB);
}

}  // namespace
}  // namespace sluice::control
