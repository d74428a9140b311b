// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.h"

#include <gtest/gtest.h>
#include <limits>

#include "scheduler/fleet_for_tests.h"

namespace sluice::scheduler {
namespace {

TimePoint At(int64_t ms) {
  return TimePoint(Duration(ms));
}

Waiting Wait(const std::string& id, ClaimRequest request, int64_t since_ms = 0) {
  return {.id = ClaimId(id), .request = std::move(request), .queued_since = At(since_ms)};
}

Waiting Of(const std::string& team, Waiting waiting) {
  waiting.team = TeamId(team);
  return waiting;
}

Waiting For(int64_t run_for_ms, Waiting waiting) {
  waiting.run_for = Duration(run_for_ms);
  return waiting;
}

Holder Ends(const std::string& claim, int64_t ms) {
  return {.claim = ClaimId(claim), .ends_at = At(ms)};
}

Holder Held(const std::string& claim, const std::string& team) {
  return {.claim = ClaimId(claim), .team = TeamId(team)};
}

Team ATeam(const std::string& id, Bytes guaranteed, Bytes most = Bytes(0)) {
  return {.id = TeamId(id), .name = id, .memory_guaranteed = guaranteed, .memory_max = most};
}

// A queue and what surrounds it.
struct Scene {
  std::vector<Gpu> gpus;
  std::vector<Waiting> waiting;
  std::vector<Holder> holders;
  std::vector<Team> teams;
  int64_t now_ms = 0;
  Duration aging{0};
};

std::vector<QueueAnswer> Answers(const Scene& scene) {
  const Snapshot snapshot{scene.gpus};
  return WalkQueue({.snapshot = snapshot,
                    .waiting = scene.waiting,
                    .holders = scene.holders,
                    .teams = scene.teams,
                    .now = At(scene.now_ms),
                    .rules = {.aging = scene.aging}});
}

Waiting Urgent(int priority, Waiting waiting) {
  waiting.request.priority = priority;
  return waiting;
}

// On a fleet where everything waits.
std::vector<std::string> Order(Scene scene) {
  scene.gpus = {Card("a", 24_GiB, {24_GiB})};
  std::vector<std::string> ids;
  for (const QueueAnswer& answer : Answers(scene)) ids.push_back(answer.id.text());
  return ids;
}

std::vector<std::string> Order(std::vector<Waiting> waiting) {
  return Order(Scene{.waiting = std::move(waiting)});
}

// "id@position: decision", in the order of the answers.
std::vector<std::string> Walk(const Scene& scene) {
  std::vector<std::string> said;
  for (const QueueAnswer& answer : Answers(scene)) {
    said.push_back(answer.id.text() + "@" + std::to_string(answer.position) + ": " +
                   Say(answer.decision));
  }
  return said;
}

std::vector<std::string> Walk(std::vector<Gpu> gpus, std::vector<Waiting> waiting) {
  return Walk(Scene{.gpus = std::move(gpus), .waiting = std::move(waiting)});
}

using Said = std::vector<std::string>;

TEST(QueueOrder, IsPriorityThenTimeThenId) {
  EXPECT_EQ(Order({Wait("d", Ask(1_GiB), 2),
                   Wait("c", Ask(1_GiB), 1),
                   Wait("b", Ask(1_GiB), 1),
                   Urgent(5, Wait("e", Ask(1_GiB), 9))}),
            (Said{"e", "b", "c", "d"}));
}

TEST(QueueOrder, HoldsForTheLowestAndHighestPriority) {
  EXPECT_EQ(Order({Urgent(std::numeric_limits<int>::min(), Wait("low", Ask(1_GiB))),
                   Urgent(std::numeric_limits<int>::max(), Wait("high", Ask(1_GiB))),
                   Wait("plain", Ask(1_GiB))}),
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

TEST(QueueOrder, RaisesByTheTimeWaited) {
  Scene scene{.waiting = {Urgent(2, Wait("new", Ask(1_GiB), 95)), Wait("old", Ask(1_GiB), 0)},
              .now_ms = 100};
  EXPECT_EQ(Order(scene), (Said{"new", "old"}));
  scene.aging = Duration(40);
  EXPECT_EQ(Order(scene), (Said{"old", "new"}));
}

TEST(QueueOrder, ServesWhatIsGuaranteedBeforeWhoBorrows) {
  const Scene scene{.waiting = {Of("b", Urgent(9, Wait("borrows", Ask(4_GiB), 0))),
                                Wait("nobody's", Ask(1_GiB), 1),
                                Of("a", Wait("first", Ask(4_GiB), 2)),
                                Of("a", Wait("second", Ask(4_GiB), 3)),
                                Of("a", Wait("third", Ask(4_GiB), 4))},
                    .teams = {ATeam("a", 8_GiB), ATeam("b", 2_GiB)}};
  EXPECT_EQ(Order(scene), (Said{"first", "second", "borrows", "nobody's", "third"}));
}

TEST(QueueOrder, CountsWhatATeamHolds) {
  const Scene scene{.waiting = {Of("a", Wait("more", Ask(4_GiB), 0)), Wait("other", Ask(4_GiB), 0)},
                    .holders = {Held("a-0", "a")},
                    .teams = {ATeam("a", 24_GiB)}};
  EXPECT_EQ(Order(scene), (Said{"more", "other"}));  // By id: the team's guarantee is used up.
}

TEST(Quota, LetsNobodyPastTheLimitAndHoldsUpNobodyElse) {
  const Scene scene{.gpus = {Card("a", 24_GiB, {8_GiB})},
                    .waiting = {Of("t", Wait("1", Ask(6_GiB))), Wait("2", Ask(14_GiB))},
                    .holders = {Held("a-0", "t")},
                    .teams = {ATeam("t", 0_GiB, 12_GiB)}};
  EXPECT_EQ(
      Walk(scene),
      (Said{"1@1: wait: team t holds 8 GiB of its 12 GiB; 6 GiB more would pass that", "2@0: a"}));
  EXPECT_TRUE(Answers(scene)[0].over_quota);
}

TEST(Quota, CountsWhatTheWalkPlaces) {
  const Scene scene{.gpus = {Card("a", 24_GiB)},
                    .waiting = {Of("t", Wait("1", Ask(8_GiB))), Of("t", Wait("2", Ask(8_GiB)))},
                    .teams = {ATeam("t", 24_GiB, 12_GiB)}};
  EXPECT_EQ(
      Walk(scene),
      (Said{"1@0: a", "2@1: wait: team t holds 8 GiB of its 12 GiB; 8 GiB more would pass that"}));
}

TEST(Quota, RefusesWhatTheTeamMayNeverHold) {
  const Scene scene{.gpus = {Card("a", 24_GiB)},
                    .waiting = {Of("t", Wait("1", AskWhole()))},
                    .teams = {ATeam("t", 24_GiB, 12_GiB)}};
  EXPECT_EQ(Walk(scene), (Said{"1@0: never: asks for 24 GiB; team t may hold 12 GiB in all"}));
}

TEST(Backfill, LetsThroughWhoEndsBeforeThePromise) {
  const Scene scene{.gpus = {Card("a", 24_GiB, {14_GiB})},
                    .waiting = {Wait("head", Ask(20_GiB)),
                                For(1'000, Wait("long", Ask(8_GiB))),
                                For(500, Wait("short", Ask(8_GiB)))},
                    .holders = {Ends("a-0", 900)},
                    .now_ms = 100};
  const auto answers = Answers(scene);
  EXPECT_EQ(answers[0].promised, At(900));
  EXPECT_EQ(Say(answers[1].decision),
            "wait: needs 8 GiB on one card; 10 GiB are free, but kept for the first in the queue");
  EXPECT_EQ(Say(answers[2].decision), "a");
}

TEST(Backfill, LetsThroughWhoLeavesEnough) {
  const Scene scene{.gpus = {Card("a", 24_GiB, {14_GiB})},
                    .waiting = {Wait("head", Ask(20_GiB)),
                                Wait("small", Ask(3_GiB)),
                                Wait("too much beside it", Ask(2_GiB))},
                    .holders = {Ends("a-0", 900)}};
  EXPECT_EQ(Say(Answers(scene)[1].decision), "a");
  EXPECT_TRUE(std::holds_alternative<WaitFor>(Answers(scene)[2].decision));
}

TEST(Backfill, SendsOthersElsewhereRatherThanAway) {
  // Best fit would take "a", which the head is promised at 900; "b" never suits the head.
  const Scene scene{.gpus = {Card("a", 24_GiB, {14_GiB}), Card("b", 16_GiB)},
                    .waiting = {Wait("head", Ask(20_GiB)), Wait("other", Ask(10_GiB))},
                    .holders = {Ends("a-0", 900)}};
  EXPECT_EQ(Say(Answers(scene)[1].decision), "b");
}

TEST(NextLikely, IsWhenEnoughHoldersHaveEnded) {
  const Snapshot snapshot{{Card("a", 24_GiB, {8_GiB, 8_GiB, 6_GiB})}};
  const std::vector<Holder> endings = {Ends("a-0", 300), Ends("a-1", 100), Ends("a-2", 200)};
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), endings), At(100));
  EXPECT_EQ(NextLikely(snapshot, Ask(12_GiB), endings), At(200));
  EXPECT_EQ(NextLikely(snapshot, Ask(24_GiB), endings), At(300));
}

TEST(NextLikely, IsUnknownWhileAHolderHasNoEnd) {
  const Snapshot snapshot{{Card("a", 24_GiB, {20_GiB})}};
  const std::vector<Holder> endings = {Ends("a-0", 0)};
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), endings), std::nullopt);
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), {}), std::nullopt);
}

TEST(NextLikely, IsSilentWhenItFitsNowOrNever) {
  const Snapshot snapshot{{Card("a", 24_GiB, {8_GiB})}};
  const std::vector<Holder> endings = {Ends("a-0", 100)};
  EXPECT_EQ(NextLikely(snapshot, Ask(8_GiB), endings), std::nullopt);
  EXPECT_EQ(NextLikely(snapshot, Ask(32_GiB), endings), std::nullopt);
}

TEST(NextLikely, TakesHoldersThatEndTogetherTogether) {
  const Snapshot snapshot{{Card("a", 24_GiB, {12_GiB, 12_GiB})}};
  const std::vector<Holder> endings = {Ends("a-0", 100), Ends("a-1", 100)};
  EXPECT_EQ(NextLikely(snapshot, Ask(20_GiB), endings), At(100));
}

TEST(NextLikely, CountsWholeCardsOnlyWhenAllSharesHaveEnded) {
  const Snapshot snapshot{{Card("a", 24_GiB, {2_GiB, 2_GiB})}};
  const std::vector<Holder> endings = {Ends("a-0", 100), Ends("a-1", 200)};
  EXPECT_EQ(NextLikely(snapshot, AskWhole(), endings), At(200));
}

TEST(NextLikely, BearsACardThatCameBackSmallerThanItsShares) {
  const Snapshot snapshot{{Card("a", 8_GiB, {8_GiB, 6_GiB})}};
  const std::vector<Holder> endings = {Ends("a-0", 100), Ends("a-1", 200)};
  EXPECT_EQ(NextLikely(snapshot, Ask(4_GiB), endings), At(200));
}

}  // namespace
}  // namespace sluice::scheduler
