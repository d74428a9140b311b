// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <limits>

#include "scheduler/fleet_for_tests.h"
#include "scheduler/scheduler.h"

namespace sluice::scheduler {
namespace {

TimePoint At(int64_t ms) {
  return TimePoint(Duration(ms));
}

Waiting Wait(const std::string& id, ClaimRequest request, int64_t since_ms = 0) {
  return {ClaimId(id), std::move(request), At(since_ms)};
}

Waiting Urgent(int priority, Waiting waiting) {
  waiting.request.priority = priority;
  return waiting;
}

std::vector<std::string> Order(std::vector<Waiting> waiting) {
  std::vector<std::string> ids;
  for (const ClaimId& id : QueueOrder(waiting)) ids.push_back(id.text());
  return ids;
}

// "id@position: decision", in the order of the answers.
std::vector<std::string> Walk(std::vector<Gpu> gpus, std::vector<Waiting> waiting) {
  std::vector<std::string> said;
  for (const QueueAnswer& answer : WalkQueue({std::move(gpus)}, waiting)) {
    said.push_back(answer.id.text() + "@" + std::to_string(answer.position) + ": " +
                   Say(answer.decision));
  }
  return said;
}

using Said = std::vector<std::string>;

TEST(QueueOrder, IsPriorityThenTimeThenId) {
  EXPECT_EQ(
      Order({Wait("d", {}, 2), Wait("c", {}, 1), Wait("b", {}, 1), Urgent(5, Wait("e", {}, 9))}),
      (Said{"e", "b", "c", "d"}));
}

TEST(QueueOrder, HoldsForTheLowestAndHighestPriority) {
  EXPECT_EQ(Order({Urgent(std::numeric_limits<int>::min(), Wait("low", {})),
                   Urgent(std::numeric_limits<int>::max(), Wait("high", {})),
                   Wait("plain", {})}),
            (Said{"high", "plain", "low"}));
}

TEST(WalkQueue, SubtractsWhatItPlaces) {
  EXPECT_EQ(Walk({Card("a", 24_GiB)},
                 {Wait("1", Ask(8_GiB)),
                  Wait("2", Ask(8_GiB)),
                  Wait("3", Ask(8_GiB)),
                  Wait("4", Ask(8_GiB))}),
            (Said{"1@0: a", "2@0: a", "3@0: a", "4@1: wait: needs 8 GiB on one card; it is full"}));
}

TEST(WalkQueue, SubtractsComputeAndWholeCardsToo) {
  ClaimRequest most = Ask(1_GiB);
  most.guarantee = ComputeMillis(700);
  EXPECT_EQ(Walk({Card("a", 24_GiB), Card("b", 24_GiB)},
                 {Wait("1", AskWhole()), Wait("2", most), Wait("3", most)}),
            (Said{"1@0: a",
                  "2@0: b",
                  "3@1: wait: needs 1 GiB and 70% of the compute on one card; most compute free "
                  "where the memory is: 30%"}));
}

TEST(WalkQueue, KeepsTheCardOfTheHeadFromLaterOnes) {
  EXPECT_EQ(Walk({Card("a", 24_GiB, {14_GiB})}, {Wait("1", Ask(20_GiB)), Wait("2", Ask(8_GiB))}),
            (Said{"1@1: wait: needs 20 GiB on one card; largest free: 10 GiB",
                  "2@2: wait: needs 8 GiB on one card; 10 GiB are free, but kept for the first in "
                  "the queue"}));
}

TEST(WalkQueue, PlacesLaterOnesOnOtherCards) {
  EXPECT_EQ(Walk({Card("a", 24_GiB, {14_GiB}), Card("b", 24_GiB, {16_GiB})},
                 {Wait("1", Ask(20_GiB)), Wait("2", Ask(8_GiB)), Wait("3", Ask(8_GiB))}),
            (Said{"1@1: wait: needs 20 GiB on one card; largest free: 10 GiB",
                  "2@0: b",
                  "3@2: wait: needs 8 GiB on one card; 10 GiB are free, but kept for the first in "
                  "the queue"}));
}

TEST(WalkQueue, KeepsNothingForASecondThatWaits) {
  EXPECT_EQ(Walk({Card("a", 24_GiB, {14_GiB}), Card("b", 24_GiB, {16_GiB})},
                 {Wait("1", Ask(20_GiB)), Wait("2", Ask(12_GiB)), Wait("3", Ask(4_GiB))}),
            (Said{"1@1: wait: needs 20 GiB on one card; largest free: 10 GiB",
                  "2@2: wait: needs 12 GiB on one card; largest free: 10 GiB",
                  "3@0: b"}));
}

TEST(WalkQueue, KeepsNoCardThatTheHeadDoesNotAdmit) {
  ClaimRequest picky = Ask(20_GiB);
  picky.gpu_model = "NVIDIA A10";
  EXPECT_EQ(Walk({Card("a", 24_GiB, {14_GiB}), OfModel("NVIDIA L4", Card("b", 24_GiB))},
                 {Wait("1", picky), Wait("2", Ask(8_GiB))})[1],
            "2@0: b");
}

TEST(WalkQueue, KeepsNothingForAHeadWhoseCardsAreOutOfService) {
  EXPECT_EQ(
      Walk({In(GpuHealth::kStale, Card("a", 80_GiB)), Card("b", 24_GiB)},
           {Wait("1", Ask(40_GiB)), Wait("2", Ask(8_GiB))}),
      (Said{"1@1: wait: needs 40 GiB on one card; none is in service now: 1 stale", "2@0: b"}));
}

TEST(WalkQueue, KeepsAllCardsOfAHeadThatNeedsSeveral) {
  EXPECT_EQ(
      Walk({Card("a", 24_GiB, {8_GiB}), Card("b", 24_GiB, {10_GiB}), Card("c", 24_GiB, {20_GiB})},
           {Wait("1", Ask(20_GiB, 2)), Wait("2", Ask(4_GiB)), Wait("3", Ask(4_GiB))}),
      (Said{"1@1: wait: needs 20 GiB on each of 2 cards of one machine; free on as many at "
            "once: 14 GiB",
            "2@0: c",
            "3@2: wait: needs 4 GiB on one card; 16 GiB are free, but kept for the first in "
            "the queue"}));
}

TEST(WalkQueue, RefusesTheImpossibleWithoutAPosition) {
  EXPECT_EQ(Walk({Card("a", 24_GiB, {20_GiB})}, {Wait("1", Ask(32_GiB)), Wait("2", Ask(8_GiB))}),
            (Said{"1@0: never: needs 32 GiB on one card; the largest has 24 GiB",
                  "2@1: wait: needs 8 GiB on one card; largest free: 4 GiB"}));
}

TEST(WalkQueue, JudgesTheImpossibleByTheWholeFleetAlsoBehindAHead) {
  EXPECT_EQ(Walk({Card("a", 24_GiB, {8_GiB})}, {Wait("1", Ask(24_GiB)), Wait("2", Ask(20_GiB))})[1],
            "2@2: wait: needs 20 GiB on one card; largest free: 16 GiB");
}

Ending Ends(const std::string& claim, int64_t ms) {
  return {ClaimId(claim), At(ms)};
}

TEST(NextLikely, IsWhenEnoughHoldersHaveEnded) {
  const Snapshot snapshot{{Card("a", 24_GiB, {8_GiB, 8_GiB, 6_GiB})}};
  const std::vector<Ending> endings = {Ends("a-0", 300), Ends("a-1", 100), Ends("a-2", 200)};
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), endings), At(100));
  EXPECT_EQ(NextLikely(snapshot, Ask(12_GiB), endings), At(200));
  EXPECT_EQ(NextLikely(snapshot, Ask(24_GiB), endings), At(300));
}

TEST(NextLikely, IsUnknownWhileAHolderHasNoEnd) {
  const Snapshot snapshot{{Card("a", 24_GiB, {20_GiB})}};
  const std::vector<Ending> endings = {Ends("a-0", 0)};
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), endings), std::nullopt);
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), {}), std::nullopt);
}

TEST(NextLikely, IsSilentWhenItFitsNowOrNever) {
  const Snapshot snapshot{{Card("a", 24_GiB, {8_GiB})}};
  const std::vector<Ending> endings = {Ends("a-0", 100)};
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), endings), std::nullopt);
  EXPECT_EQ(NextLikely(snapshot, Ask(32_GiB), endings), std::nullopt);
}

TEST(NextLikely, TakesHoldersThatEndTogetherTogether) {
  const Snapshot snapshot{{Card("a", 24_GiB, {12_GiB, 12_GiB})}};
  const std::vector<Ending> endings = {Ends("a-0", 100), Ends("a-1", 100)};
  EXPECT_EQ(NextLikely(snapshot, Ask(20_GiB), endings), At(100));
}

TEST(NextLikely, CountsWholeCardsOnlyWhenAllSharesHaveEnded) {
  const Snapshot snapshot{{Card("a", 24_GiB, {2_GiB, 2_GiB})}};
  const std::vector<Ending> endings = {Ends("a-0", 100), Ends("a-1", 200)};
  EXPECT_EQ(NextLikely(snapshot, AskWhole(), endings), At(200));
}

TEST(NextLikely, BearsACardThatCameBackSmallerThanItsShares) {
  const Snapshot snapshot{{Card("a", 8_GiB, {8_GiB, 6_GiB})}};
  const std::vector<Ending> endings = {Ends("a-0", 100), Ends("a-1", 200)};
  EXPECT_EQ(NextLikely(snapshot, Ask(4_GiB), endings), At(200));
}

}  // namespace
}  // namespace sluice::scheduler
