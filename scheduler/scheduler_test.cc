// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <gtest/gtest.h>
#include <limits>

#include "scheduler/fleet_for_tests.h"

namespace sluice::scheduler {
namespace {

TEST(Decide, TakesTheCardWithTheLeastRoomThatSuffices) {
  EXPECT_EQ(
      SayDecision({Card("a", 24_GiB), Card("b", 24_GiB, {14_GiB}), Card("c", 24_GiB, {18_GiB})},
                  Ask(8_GiB)),
      "b");
}

TEST(Decide, FillsACardToTheLastByte) {
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {8_GiB, 8_GiB})}, Ask(8_GiB)), "a");
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {8_GiB, 8_GiB, Bytes(1)})}, Ask(8_GiB)).substr(0, 5),
            "wait:");
}

TEST(Decide, BreaksTiesByFewerSharesThenById) {
  EXPECT_EQ(
      SayDecision({Card("a", 24_GiB, {4_GiB, 4_GiB}), Card("b", 24_GiB, {8_GiB})}, Ask(4_GiB)),
      "b");
  EXPECT_EQ(SayDecision({Card("b", 24_GiB), Card("a", 24_GiB)}, Ask(4_GiB)), "a");
}

TEST(Decide, GivesWholeCardsOfOneNumaNodeTogether) {
  const auto at = [](int numa, Gpu gpu) {
    gpu.numa_node = numa;
    return gpu;
  };
  const std::vector<Gpu> four = {at(0, Card("a", 24_GiB)),
                                 at(1, Card("b", 24_GiB)),
                                 at(0, Card("c", 24_GiB)),
                                 at(1, Card("d", 24_GiB))};
  EXPECT_EQ(SayDecision(four, AskWhole(2)), "a c");
  std::vector<Gpu> one_busy = four;
  one_busy[2] = at(0, Card("c", 24_GiB, {1_GiB}));
  EXPECT_EQ(SayDecision(one_busy, AskWhole(2)), "b d");
  EXPECT_EQ(SayDecision(one_busy, AskWhole(3)), "a b d");
}

TEST(Decide, AllocatesWhatWasAsked) {
  ClaimRequest request = Ask(8_GiB);
  request.guarantee = ComputeMillis(250);
  request.cap = ComputeMillis(500);
  const Decision decision = Decide({{Card("a", 24_GiB)}}, request);
  const Allocation expected{GpuId("a"), 8_GiB, ComputeMillis(250), ComputeMillis(500)};
  EXPECT_EQ(std::get<Placed>(decision).allocations, std::vector{expected});
}

TEST(Decide, GivesComputeLikeMemoryWhereNoneIsNamed) {
  ClaimRequest request = Ask(8_GiB);
  request.guarantee_by_memory = true;
  const auto guarantee = [&](Gpu card) {
    return std::get<Placed>(Decide({{std::move(card)}}, request)).allocations[0].guarantee;
  };
  EXPECT_EQ(guarantee(Card("a", 24_GiB)), ComputeMillis(333));
  EXPECT_EQ(guarantee(Card("a", 8_GiB)), ComputeMillis(1000));
  // Others have named more than their part: what is left, rather than not at all.
  Gpu full = Card("a", 24_GiB, {8_GiB});
  full.shares[0].guarantee = ComputeMillis(900);
  EXPECT_EQ(guarantee(full), ComputeMillis(100));
  request.cap = ComputeMillis(200);
  EXPECT_EQ(guarantee(Card("a", 24_GiB)), ComputeMillis(200));
}

// A card with 24 GiB free and one with 12.
Snapshot OneFullOneHalf(const PlacementRules& rules) {
  return {.gpus = {Card("a", 24_GiB), Card("b", 24_GiB, {12_GiB})}, .rules = rules};
}

TEST(DecideByPolicy, KeepsWhatIsAskedForHereWholeWithFgd) {
  PlacementRules rules{.policy = PlacementPolicy::kFgd, .expected = {{Ask(12_GiB), 9}}};
  // 4 GiB of the half card would leave 8, which nobody asks for.
  EXPECT_EQ(Say(Decide(OneFullOneHalf(rules), Ask(4_GiB))), "a");
  rules.expected = {{Ask(4_GiB), 9}, {Ask(24_GiB), 1}};
  EXPECT_EQ(Say(Decide(OneFullOneHalf(rules), Ask(4_GiB))), "b");
}

TEST(DecideByPolicy, ChoosesTheTightestCardWithoutAnythingExpected) {
  for (const PlacementPolicy policy : {PlacementPolicy::kFgd, PlacementPolicy::kSluice}) {
    EXPECT_EQ(Say(Decide(OneFullOneHalf({.policy = policy}), Ask(4_GiB))), "b");
  }
}

TEST(DecideByPolicy, GoesToItsBerthWithSluice) {
  const PlacementRules rules{.policy = PlacementPolicy::kSluice,
                             .expected = {{Ask(4_GiB), 9}, {Ask(12_GiB), 1}},
                             .berths = {{GpuId("a"), Ask(4_GiB)}, {GpuId("gone"), Ask(4_GiB)}}};
  EXPECT_EQ(Say(Decide(OneFullOneHalf(rules), Ask(4_GiB))), "a");
}

TEST(DecideByPolicy, AddsGuaranteesUpToThePoolsFactor) {
  Gpu card = Card("a", 24_GiB, {8_GiB});
  card.shares[0].guarantee = ComputeMillis(800);
  ClaimRequest request = Ask(8_GiB);
  request.guarantee = ComputeMillis(600);
  EXPECT_EQ(SayDecision({card}, request).substr(0, 5), "wait:");
  card.compute = ComputeMillis(1500);
  EXPECT_EQ(SayDecision({card}, request), "a");
  // What is not named stays a part of the card as it is.
  request.guarantee_by_memory = true;
  request.memory = 12_GiB;
  const Decision decision = Decide({{card}}, request);
  EXPECT_EQ(std::get<Placed>(decision).allocations[0].guarantee, ComputeMillis(500));
}

TEST(ToLedger, HoldsWhatTheCardsHold) {
  const Snapshot fleet{{Card("b", 24_GiB, {8_GiB, 4_GiB}), Card("a", 16_GiB)}};
  const Ledger held = ToLedger(fleet, true);
  EXPECT_EQ(held.card_id(0), GpuId("a"));
  EXPECT_EQ(held.card(1).memory_free, (12_GiB).value());
  EXPECT_EQ(held.card(1).holders, 2);
  EXPECT_EQ(ToLedger(fleet, false).card(1).memory_free, (24_GiB).value());
}

TEST(Resize, TakesWhatTheOthersLeave) {
  Gpu card = Card("a", 24_GiB, {8_GiB, 4_GiB});
  card.shares[0].guarantee = ComputeMillis(400);
  card.shares[1].guarantee = ComputeMillis(300);
  const ClaimId mine = card.shares[1].claim;
  ClaimRequest wish = Ask(16_GiB);
  wish.guarantee = ComputeMillis(600);
  const Allocation all{GpuId("a"), 16_GiB, ComputeMillis(600), ComputeMillis(0)};
  EXPECT_EQ(std::get<Allocation>(Resize(card, mine, wish)), all);
  card.mode = GpuMode::kCordoned;
  EXPECT_EQ(std::get<Allocation>(Resize(card, mine, wish)), all);
  wish.guarantee = ComputeMillis(601);
  EXPECT_EQ(std::get<WaitFor>(Resize(card, mine, wish)).reason,
            "the card has 60% of its compute for this share");
  const auto refused = std::get<WaitFor>(Resize(card, mine, Ask(16_GiB + Bytes(1))));
  EXPECT_EQ(refused.reason, "the card has 16 GiB for this share");
  EXPECT_EQ(refused.largest_free, 16_GiB);
}

TEST(Decide, PutsSeveralCardsOnOneMachine) {
  const std::vector<Gpu> fleet = {On("n1", Card("a", 24_GiB, {16_GiB})),
                                  On("n2", Card("b", 24_GiB, {12_GiB})),
                                  On("n2", Card("c", 24_GiB)),
                                  On("n2", Card("d", 24_GiB, {8_GiB}))};
  EXPECT_EQ(SayDecision(fleet, Ask(8_GiB, 2)), "b d");
  EXPECT_EQ(SayDecision(fleet, Ask(8_GiB, 3)), "b d c");
}

TEST(Decide, GivesAWholeCardOnlyWhenItIsUnused) {
  const std::vector<Gpu> fleet = {Card("a", 24_GiB, {1_GiB}), Card("b", 80_GiB)};
  const Decision decision = Decide({fleet}, AskWhole());
  const Allocation expected{GpuId("b"), 80_GiB, ComputeMillis(1000), ComputeMillis(0), true};
  EXPECT_EQ(std::get<Placed>(decision).allocations, std::vector{expected});
}

TEST(Decide, HeedsModelVendorAndNamedCards) {
  const std::vector<Gpu> fleet = {Card("a", 24_GiB), OfModel("NVIDIA L4", Card("b", 24_GiB))};
  ClaimRequest request = Ask(8_GiB);
  request.gpu_model = "NVIDIA L4";
  EXPECT_EQ(SayDecision(fleet, request), "b");
  request = Ask(8_GiB);
  request.only = {GpuId("b")};
  EXPECT_EQ(SayDecision(fleet, request), "b");
  request = Ask(8_GiB);
  request.vendor = "nvidia";
  EXPECT_EQ(SayDecision(fleet, request), "a");
}

TEST(Decide, PassesOverCardsOutOfService) {
  EXPECT_EQ(SayDecision({In(GpuHealth::kStale, Card("a", 24_GiB)),
                         In(GpuMode::kCordoned, Card("b", 24_GiB)),
                         Card("c", 24_GiB)},
                        Ask(8_GiB)),
            "c");
}

TEST(Decide, FitsGuaranteesIntoTheCardsCompute) {
  Gpu busy = Card("a", 24_GiB, {8_GiB});
  busy.shares[0].guarantee = ComputeMillis(800);
  ClaimRequest request = Ask(8_GiB);
  request.guarantee = ComputeMillis(200);
  EXPECT_EQ(SayDecision({busy}, request), "a");
  request.guarantee = ComputeMillis(305);
  EXPECT_EQ(SayDecision({busy}, request),
            "wait: needs 8 GiB and 30.5% of the compute on one card; "
            "most compute free where the memory is: 20%");
}

TEST(WaitReason, NamesNeedAndLargestFree) {
  const Decision decision =
      Decide({{Card("a", 24_GiB, {21_GiB}), Card("b", 24_GiB, {23_GiB})}}, Ask(8_GiB));
  EXPECT_EQ(Say(decision), "wait: needs 8 GiB on one card; largest free: 3 GiB");
  EXPECT_EQ(std::get<WaitFor>(decision).largest_free, 3_GiB);
}

TEST(WaitReason, SaysThatCardsAreFull) {
  EXPECT_EQ(SayDecision({Card("a", 8_GiB, {8_GiB})}, Ask(1_GiB)),
            "wait: needs 1 GiB on one card; it is full");
  EXPECT_EQ(SayDecision({Card("a", 8_GiB, {8_GiB}), Card("b", 8_GiB, {8_GiB})}, Ask(1_GiB)),
            "wait: needs 1 GiB on one card; each is full");
}

TEST(WaitReason, NeverShowsTwoAmountsAsEqual) {
  const Bytes almost = 8_GiB - MiB(1);
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {24_GiB - (8_GiB - MiB(2))})}, Ask(almost)),
            "wait: needs 8191 MiB on one card; largest free: 8190 MiB");
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {16_GiB + Bytes(2)})}, Ask(8_GiB - Bytes(1))),
            "wait: needs 8589934591 B on one card; largest free: 8589934590 B");
}

TEST(WaitReason, CountsCardsOutOfService) {
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {20_GiB}),
                         In(GpuHealth::kStale, Card("b", 24_GiB)),
                         In(GpuMode::kCordoned, Card("c", 24_GiB))},
                        Ask(8_GiB)),
            "wait: needs 8 GiB on one card; largest free: 4 GiB; out of service: "
            "1 cordoned, 1 stale");
  EXPECT_EQ(SayDecision({In(GpuMode::kFailed, Card("a", 24_GiB))}, Ask(8_GiB)),
            "wait: needs 8 GiB on one card; none is in service now: 1 failed");
}

TEST(WaitReason, CoversSeveralCardsOfOneMachine) {
  const std::vector<Gpu> fleet = {On("n1", Card("a", 24_GiB)),
                                  On("n2", Card("b", 24_GiB, {21_GiB})),
                                  On("n2", Card("c", 24_GiB))};
  EXPECT_EQ(SayDecision(fleet, Ask(8_GiB, 2)),
            "wait: needs 8 GiB on each of 2 cards of one machine; free on as many at once: 3 GiB");
  EXPECT_EQ(SayDecision(fleet, AskWhole(2)),
            "wait: needs 2 whole cards of one machine; unused on one machine: 1");
}

TEST(WaitReason, CoversAWholeCard) {
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {1_GiB})}, AskWhole()),
            "wait: needs one whole card; it is in use");
  ClaimRequest large = AskWhole();
  large.memory = 40_GiB;
  EXPECT_EQ(SayDecision({Card("a", 24_GiB), Card("b", 80_GiB, {1_GiB})}, large),
            "wait: needs one whole card with 40 GiB or more; it is in use");
}

TEST(WaitReason, NamesTheModelAskedFor) {
  ClaimRequest request = Ask(8_GiB);
  request.gpu_model = "NVIDIA A10";
  EXPECT_EQ(
      SayDecision({Card("a", 24_GiB, {20_GiB}), OfModel("NVIDIA L4", Card("b", 24_GiB))}, request),
      "wait: needs 8 GiB on one NVIDIA A10 card; largest free: 4 GiB");
  request = Ask(8_GiB);
  request.only = {GpuId("a")};
  EXPECT_EQ(SayDecision({Card("a", 24_GiB, {20_GiB}), Card("b", 24_GiB)}, request),
            "wait: needs 8 GiB on the named card; largest free: 4 GiB");
}

TEST(NeverReason, NamesTheLargestThatCould) {
  const Decision decision = Decide({{Card("a", 24_GiB), Card("b", 16_GiB)}}, Ask(32_GiB));
  EXPECT_EQ(Say(decision), "never: needs 32 GiB on one card; the largest has 24 GiB");
  EXPECT_EQ(std::get<Never>(decision).largest_possible, 24_GiB);
}

TEST(NeverReason, CoversSeveralCardsOfOneMachine) {
  const std::vector<Gpu> fleet = {
      On("n1", Card("a", 80_GiB)), On("n2", Card("b", 24_GiB)), On("n2", Card("c", 16_GiB))};
  const Decision decision = Decide({fleet}, Ask(20_GiB, 2));
  EXPECT_EQ(Say(decision),
            "never: needs 20 GiB on each of 2 cards of one machine; as many have at most 16 GiB");
  EXPECT_EQ(std::get<Never>(decision).largest_possible, 16_GiB);
  EXPECT_EQ(SayDecision(fleet, Ask(1_GiB, 3)),
            "never: needs 3 cards of one machine; most on one machine: 2");
}

TEST(NeverReason, NamesWhatIsHereInstead) {
  EXPECT_EQ(SayDecision({}, Ask(1_GiB)), "never: there is no GPU here");
  ClaimRequest request = Ask(1_GiB);
  request.gpu_model = "NVIDIA H100";
  const std::vector<Gpu> fleet = {Card("a", 24_GiB), OfModel("NVIDIA L4", Card("b", 24_GiB))};
  EXPECT_EQ(SayDecision(fleet, request),
            "never: there is no NVIDIA H100 here, only: NVIDIA A10, NVIDIA L4");
  request = Ask(1_GiB);
  request.vendor = "amd";
  EXPECT_EQ(SayDecision(fleet, request), "never: there is no card of amd here, only of: nvidia");
  request = Ask(1_GiB);
  request.only = {GpuId("z")};
  EXPECT_EQ(SayDecision(fleet, request),
            "never: no named card is here and of the kind that was asked for");
}

TEST(NeverReason, CoversNonsense) {
  const std::vector<Gpu> fleet = {Card("a", 24_GiB)};
  EXPECT_EQ(SayDecision(fleet, Ask(1_GiB, 0)), "never: asks for no card; ask for at least one");
  EXPECT_EQ(SayDecision(fleet, Ask(1_GiB, std::numeric_limits<int>::max())),
            "never: needs 2147483647 cards of one machine; most on one machine: 1");
  EXPECT_EQ(SayDecision(fleet, Ask(Bytes(0))), "never: asks for no memory; ask for some");
  EXPECT_EQ(SayDecision(fleet, Ask(Bytes(-1))), "never: asks for no memory; ask for some");
  EXPECT_EQ(SayDecision(fleet, Ask(Bytes(std::numeric_limits<int64_t>::max()))).substr(0, 6),
            "never:");
  ClaimRequest request = Ask(1_GiB);
  request.guarantee = ComputeMillis(1200);
  EXPECT_EQ(SayDecision(fleet, request), "never: needs 120% of a card's compute; a card has 100%");
}

TEST(Decide, RefusesNothingBecauseACardIsOutOfService) {
  for (const GpuMode mode : {GpuMode::kFailed, GpuMode::kMoving, GpuMode::kPassthrough}) {
    EXPECT_EQ(
        SayDecision({In(mode, Card("a", 24_GiB)), Card("b", 8_GiB)}, Ask(20_GiB)).substr(0, 5),
        "wait:");
  }
}

TEST(Decide, BearsACardThatCameBackSmallerThanItsShares) {
  EXPECT_EQ(SayDecision({Card("a", 8_GiB, {8_GiB, 6_GiB})}, Ask(1_GiB)),
            "wait: needs 1 GiB on one card; it is full");
}

}  // namespace
}  // namespace sluice::scheduler
