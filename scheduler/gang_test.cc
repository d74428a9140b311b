// SPDX-License-Identifier: Apache-2.0
// Claims of several parts, and what is reserved, in the queue.
#include <gtest/gtest.h>

#include "scheduler/drawn_for_tests.h"
#include "scheduler/estimate.h"
#include "scheduler/queue.h"

namespace sluice::scheduler {
namespace {

TimePoint At(int64_t ms) {
  return TimePoint(Duration(ms));
}

// A queue and what surrounds it.
struct Scene {
  Snapshot fleet;
  std::vector<Waiting> waiting;
  std::vector<Holder> holders;
  std::vector<Team> teams;
  std::vector<Reservation> reservations;
  int64_t now_ms = 0;
  Duration aging{0};

  QueueInput Input() const {
    return {.snapshot = fleet,
            .waiting = waiting,
            .holders = holders,
            .teams = teams,
            .now = At(now_ms),
            .rules = {.aging = aging},
            .reservations = reservations};
  }
  // "id@position: decision", in the order of the answers.
  std::vector<std::string> Walk() const {
    std::vector<std::string> said;
    for (const QueueAnswer& answer : WalkQueue(Input())) {
      said.push_back(answer.id.text() + "@" + std::to_string(answer.position) + ": " +
                     Say(answer.decision));
    }
    return said;
  }
};

Waiting Parts(const std::string& id, std::vector<ClaimRequest> parts, int64_t since_ms = 0) {
  Waiting one{.id = ClaimId(id), .request = parts[0], .queued_since = At(since_ms)};
  one.more.assign(parts.begin() + 1, parts.end());
  return one;
}

Waiting Wants(const std::string& id, const std::string& team, Bytes memory, int64_t run_for_ms) {
  return {.id = ClaimId(id),
          .request = Ask(memory),
          .team = TeamId(team),
          .run_for = Duration(run_for_ms)};
}

using Said = std::vector<std::string>;

TEST(Gang, SitsOnDifferentCardsAlsoOfDifferentMachines) {
  const Scene scene{.fleet = {{On("n1", Card("a", 24_GiB)), On("n2", Card("b", 24_GiB))}},
                    .waiting = {Parts("1", {Ask(4_GiB), Ask(20_GiB)})}};
  EXPECT_EQ(scene.Walk(), (Said{"1@0: b a"}));
}

TEST(Gang, StartsWithAllItsPartsOrNot) {
  Scene scene{.fleet = {{Card("a", 24_GiB), Card("b", 24_GiB, {20_GiB})}},
              .waiting = {Parts("1", {Ask(8_GiB), Ask(8_GiB)})}};
  EXPECT_EQ(scene.Walk(),
            (Said{"1@1: wait: needs 2 shares on different cards at once; there is room for some "
                  "of them"}));
  scene.waiting[0].more[0].memory = 4_GiB;
  EXPECT_EQ(scene.Walk(), (Said{"1@0: a b"}));
  scene.waiting[0].more.push_back(Ask(1_GiB));
  EXPECT_EQ(scene.Walk(),
            (Said{"1@0: never: needs 3 shares on different cards; there are not so many cards for "
                  "them"}));
  scene.waiting[0].more[0].memory = 40_GiB;
  EXPECT_EQ(scene.Walk(),
            (Said{"1@0: never: needs 40 GiB on one card; the largest has 24 GiB (one of 3 that "
                  "start together)"}));
}

TEST(Gang, TriesAnEarlierPartElsewhere) {
  // The share that needs compute fits only where the larger one would go first.
  ClaimRequest computes = Ask(4_GiB);
  computes.guarantee = ComputeMillis(500);
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB}), Card("b", 24_GiB, {8_GiB})}},
              .waiting = {Parts("1", {Ask(10_GiB), computes})}};
  scene.fleet.gpus[1].shares[0].guarantee = ComputeMillis(900);
  EXPECT_EQ(scene.Walk(), (Said{"1@0: b a"}));
}

TEST(Gang, IsPromisedTheTimeAtWhichAllPartsFit) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {24_GiB}), Card("b", 24_GiB, {24_GiB})}},
              .waiting = {Parts("1", {AskWhole(), AskWhole()}), Parts("2", {Ask(24_GiB)}, 1)},
              .holders = {{.claim = ClaimId("a-0"), .ends_at = At(100)},
                          {.claim = ClaimId("b-0"), .ends_at = At(200)}}};
  EXPECT_EQ(WalkQueue(scene.Input())[0].promised, At(200));
  EXPECT_EQ(NextLikely(scene.Input(), scene.waiting[0]), At(200));
  // One card is free: who ends in time passes, who does not waits.
  scene.fleet.gpus[0].shares.clear();
  scene.waiting[1].run_for = Duration(200);
  EXPECT_EQ(scene.Walk()[1], "2@0: a");
  scene.waiting[1].run_for = Duration(201);
  EXPECT_EQ(scene.Walk()[1],
            "2@2: wait: needs 24 GiB on one card; 24 GiB are free, but kept for the first in the "
            "queue");
}

TEST(Gang, CountsWithAllItsPartsForItsTeam) {
  Scene scene{.fleet = {{Card("a", 24_GiB), Card("b", 24_GiB)}},
              .waiting = {Parts("1", {Ask(8_GiB), Ask(8_GiB)})},
              .teams = {{.id = TeamId("t"), .name = "t", .memory_max = 15_GiB}}};
  scene.waiting[0].team = TeamId("t");
  EXPECT_EQ(scene.Walk(), (Said{"1@0: never: asks for 16 GiB; team t may hold 15 GiB in all"}));
  scene.teams[0].memory_max = 16_GiB;
  EXPECT_EQ(scene.Walk(), (Said{"1@0: a b"}));
}

TEST(GangProperty, IsPlacedWholeOrNotAtAll) {
  int placed_gangs = 0;
  ForEverySeed(2'000, [&](Dice& dice) {
    Scene scene{.fleet = SomeFleet(dice)};
    for (int i = 1 + dice.Roll(4); i > 0; --i) {
      Waiting one{.id = ClaimId("c" + std::to_string(i)), .request = SomeRequest(dice)};
      for (int more = dice.Roll(3); more > 0; --more) one.more.push_back(SomeRequest(dice));
      scene.waiting.push_back(one);
    }
    Snapshot after = scene.fleet;
    for (const QueueAnswer& answer : WalkQueue(scene.Input())) {
      const auto* placed = std::get_if<Placed>(&answer.decision);
      if (placed == nullptr) continue;
      const Waiting& one = *std::ranges::find(scene.waiting, answer.id, &Waiting::id);
      std::vector<ClaimRequest> parts{one.request};
      parts.insert(parts.end(), one.more.begin(), one.more.end());
      placed_gangs += one.more.empty() ? 0 : 1;
      size_t at = 0;
      std::set<GpuId> cards;
      for (const ClaimRequest& part : parts) {
        const auto count = static_cast<size_t>(part.count);
        ASSERT_GE(placed->allocations.size(), at + count);
        const auto first = placed->allocations.begin() + static_cast<std::ptrdiff_t>(at);
        const Placed alone{{first, first + part.count}};
        ExpectSound(after, part, alone);
        for (const Allocation& allocation : alone.allocations) {
          EXPECT_TRUE(cards.insert(allocation.gpu).second) << "two parts on one card";
        }
        Apply(after, answer.id, alone);
        at += count;
      }
      EXPECT_EQ(at, placed->allocations.size());
    }
  });
  EXPECT_TRUE(placed_gangs > 100 || std::getenv("SLUICE_SEED") != nullptr) << placed_gangs;
}

Reservation Keep(const std::string& team, int count, Bytes memory, int64_t from, int64_t to) {
  return {.id = ReservationId("r-" + team),
          .name = "course",
          .team = TeamId(team),
          .count = count,
          .memory = memory,
          .starts_at = At(from),
          .ends_at = At(to)};
}

TEST(Reserved, LetsOnlyThosePassWhoEndBeforeOrLeaveEnough) {
  Scene scene{.fleet = {{Card("a", 24_GiB)}},
              .waiting = {Wants("1", "", 8_GiB, 0)},
              .reservations = {Keep("t", 1, 20_GiB, 100, 200)}};
  EXPECT_EQ(scene.Walk(),
            (Said{"1@1: wait: needs 8 GiB on one card; 24 GiB are free, but reserved for another "
                  "team"}));
  scene.waiting[0].run_for = Duration(100);
  EXPECT_EQ(scene.Walk(), (Said{"1@0: a"}));
  scene.waiting[0].run_for = Duration(101);
  EXPECT_EQ(scene.Walk()[0].substr(0, 9), "1@1: wait");
  scene.waiting[0].request.memory = 4_GiB;
  EXPECT_EQ(scene.Walk(), (Said{"1@0: a"}));
  scene.waiting[0].request.memory = 8_GiB;
  scene.now_ms = 200;
  EXPECT_EQ(scene.Walk(), (Said{"1@0: a"}));
}

TEST(Reserved, IsTakenByItsTeamPastTheFirstInTheQueue) {
  Scene scene{.fleet = {{Card("a", 24_GiB), Card("b", 24_GiB)}},
              .waiting = {Wants("first", "", 24_GiB, 0), Wants("theirs", "t", 24_GiB, 0)},
              .reservations = {Keep("t", 2, 0_GiB, 0, 200)}};
  scene.waiting[1].queued_since = At(1);
  EXPECT_EQ(scene.Walk()[1], "theirs@0: a");
  EXPECT_EQ(scene.Walk()[0].substr(0, 13), "first@1: wait");
  // What is reserved is all that it gets before the others.
  scene.reservations[0].count = 1;
  scene.waiting.push_back(Wants("more", "t", 24_GiB, 0));
  scene.waiting[2].queued_since = At(2);
  EXPECT_EQ(
      scene.Walk(),
      (Said{"first@0: a", "theirs@0: b", "more@1: wait: needs 24 GiB on one card; each is full"}));
}

TEST(Reserved, CountsWhatTheTeamHoldsAlready) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB}), Card("b", 24_GiB)}},
              .waiting = {Wants("1", "", 24_GiB, 0)},
              .holders = {{.claim = ClaimId("a-0"), .team = TeamId("t")}},
              .reservations = {Keep("t", 1, 12_GiB, 100, 200)}};
  EXPECT_EQ(scene.Walk(), (Said{"1@0: b"}));
  scene.reservations[0].count = 2;
  EXPECT_EQ(scene.Walk()[0].substr(0, 9), "1@1: wait");
  EXPECT_EQ(RoomFor(scene.Input(), scene.reservations[0]), 2);
  scene.reservations[0].count = 3;
  EXPECT_EQ(RoomFor(scene.Input(), scene.reservations[0]), 2);
}

TEST(Reserved, NarrowsWhatIsPromisedAndEstimated) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {24_GiB})}},
              .waiting = {Wants("1", "", 24_GiB, 0)},
              .holders = {{.claim = ClaimId("a-0"), .ends_at = At(50)}}};
  const auto estimate = [&] {
    RunHistory history;
    history.Close();
    return EstimateStarts(scene.Input(), history, {.samples = 4})[ClaimId("1")].likely;
  };
  EXPECT_EQ(WalkQueue(scene.Input())[0].promised, At(50));
  EXPECT_EQ(estimate(), At(50));
  scene.reservations = {Keep("t", 1, 0_GiB, 100, 200)};
  EXPECT_EQ(WalkQueue(scene.Input())[0].promised, std::nullopt);
  EXPECT_EQ(NextLikely(scene.Input(), scene.waiting[0]), std::nullopt);
  EXPECT_EQ(estimate(), At(200));
}

// Claims come and go in time; the reserved cards are there for the team when it begins, unless
// those who held them before it was made hold them still.
TEST(ReservedProperty, IsThereWhenItBegins) {
  int kept = 0;
  ForEverySeed(400, [&](Dice& dice) {
    Scene scene{.teams = {{.id = TeamId("t"), .name = "t"}, {.id = TeamId("o"), .name = "o"}}};
    for (int i = 1 + dice.Roll(4); i > 0; --i) {
      scene.fleet.gpus.push_back(Card("g" + std::to_string(i), 24_GiB));
    }
    const Bytes memory = dice.OneIn(3) ? 0_GiB : GiB(1 + dice.Roll(24));
    scene.reservations = {Keep("t", 1 + dice.Roll(3), memory, 15, 25)};
    const int room = RoomFor(scene.Input(), scene.reservations[0]);
    int came = 0;
    for (scene.now_ms = 1; scene.now_ms <= 25 && !testing::Test::HasFailure(); ++scene.now_ms) {
      const auto over = [&](const Holder& one) {
        return one.ends_at != TimePoint() && one.ends_at <= At(scene.now_ms);
      };
      for (const Holder& holder : scene.holders) {
        if (!over(holder)) continue;
        for (Gpu& gpu : scene.fleet.gpus) {
          std::erase_if(gpu.shares, [&](const Share& one) { return one.claim == holder.claim; });
        }
      }
      std::erase_if(scene.holders, over);
      if (!dice.OneIn(3)) {
        const int length = dice.OneIn(3) ? 0 : 1 + dice.Roll(20);
        scene.waiting.push_back(Wants("c" + std::to_string(++came),
                                      std::array{"", "t", "o"}[static_cast<size_t>(dice.Roll(3))],
                                      GiB(1 + dice.Roll(24)),
                                      length));
      }
      for (const QueueAnswer& answer : WalkQueue(scene.Input())) {
        const auto* placed = std::get_if<Placed>(&answer.decision);
        if (placed == nullptr) continue;
        const auto one = std::ranges::find(scene.waiting, answer.id, &Waiting::id);
        ExpectSound(scene.fleet, one->request, *placed);
        Apply(scene.fleet, answer.id, *placed);
        const bool ends = one->run_for > Duration(0);
        scene.holders.push_back({.claim = answer.id,
                                 .team = one->team,
                                 .ends_at = ends ? At(scene.now_ms) + one->run_for : At(0)});
        scene.waiting.erase(one);
      }
      if (scene.now_ms < 25) {
        EXPECT_EQ(RoomFor(scene.Input(), scene.reservations[0]), room) << scene.now_ms;
      }
    }
    kept += room;
  });
  EXPECT_TRUE(kept > 0 || std::getenv("SLUICE_SEED") != nullptr);
}

// With claims of a higher priority coming all the time, one of the lowest is served after those at
// the latest that came before it had aged as much.
TEST(AgeingProperty, BoundsHowLongTheLowestWaits) {
  ForEverySeed(200, [](Dice& dice) {
    const int64_t aging = 5 + dice.Roll(10);
    const int higher = 1 + dice.Roll(3);
    Scene scene{.fleet = {{Card("a", 24_GiB)}}, .aging = Duration(aging)};
    scene.waiting = {{.id = ClaimId("low"), .request = Ask(24_GiB), .queued_since = At(1)}};
    int64_t busy_until = 0;
    int64_t work_before = 0;
    std::map<ClaimId, int64_t> lengths{{ClaimId("low"), 1}};
    for (scene.now_ms = 1; scene.now_ms < 2'000; ++scene.now_ms) {
      Waiting high{.id = ClaimId("h" + std::to_string(scene.now_ms)),
                   .request = Ask(24_GiB),
                   .queued_since = At(scene.now_ms)};
      high.request.priority = higher;
      lengths[high.id] = 1 + dice.Roll(3);
      if (scene.now_ms <= 1 + higher * aging) work_before += lengths[high.id];
      scene.waiting.push_back(high);
      if (scene.now_ms < busy_until) continue;
      scene.fleet.gpus[0].shares.clear();
      for (const QueueAnswer& answer : WalkQueue(scene.Input())) {
        const auto* placed = std::get_if<Placed>(&answer.decision);
        if (placed == nullptr) continue;
        Apply(scene.fleet, answer.id, *placed);
        busy_until = scene.now_ms + lengths[answer.id];
        std::erase_if(scene.waiting, [&](const Waiting& one) { return one.id == answer.id; });
        if (answer.id == ClaimId("low")) {
          EXPECT_LE(scene.now_ms, 1 + work_before + 3);
          return;
        }
      }
    }
    ADD_FAILURE() << "it was never served";
  });
}

}  // namespace
}  // namespace sluice::scheduler
