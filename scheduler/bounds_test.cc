// SPDX-License-Identifier: Apache-2.0
// A pool's floor and ceiling: what they leave of its cards, and what is said of it.
#include <algorithm>
#include <gtest/gtest.h>

#include "scheduler/drawn_for_tests.h"
#include "scheduler/explain.h"
#include "scheduler/fleet_for_tests.h"
#include "scheduler/preempt.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"

namespace sluice::scheduler {
namespace {

using namespace literals;
using namespace std::chrono_literals;

Gpu HeldWhole(const std::string& id, Bytes memory) {
  Gpu gpu = Card(id, memory);
  gpu.shares.push_back(ToShare(ClaimId(id + "-w"), {gpu.id, memory, gpu.compute, {}, true}));
  return gpu;
}

Snapshot Within(const CardBounds& bounds, std::vector<Gpu> gpus) {
  Snapshot snapshot{std::move(gpus)};
  snapshot.rules.bounds = bounds;
  return snapshot;
}

std::string Words(const Snapshot& snapshot, const ClaimRequest& request) {
  return ToWords(Explain(snapshot, request), ToDemand(request));
}

std::vector<std::string> Instead(const Snapshot& snapshot, const ClaimRequest& request) {
  std::vector<std::string> words;
  for (const Alternative& other : Explain(snapshot, request).alternatives) {
    words.push_back(other.words);
  }
  return words;
}

TEST(Floor, KeepsWholeClaimsFromTheLastCards) {
  const Snapshot four =
      Within({.floor = 3},
             {Card("a", 24_GiB, {8_GiB}), Card("b", 24_GiB), Card("c", 24_GiB), Card("d", 24_GiB)});
  EXPECT_EQ(Say(Decide(four, AskWhole())), "b");
  Snapshot then = four;
  Apply(then, ClaimId("first"), std::get<Placed>(Decide(four, AskWhole())));
  EXPECT_EQ(Say(Decide(then, AskWhole())),
            "wait: needs one whole card; 2 cards are unused, but kept for shares (floor 3)");
  EXPECT_EQ(Words(then, AskWhole()), "4 cards: 2 kept for shares (floor 3), 2 in use");
  EXPECT_EQ(Say(Decide(then, Ask(20_GiB))), "c") << "a floor is nothing to shares";
}

TEST(Floor, CountsOnlyCardsInService) {
  const Snapshot three =
      Within({.floor = 2},
             {Card("a", 24_GiB), Card("b", 24_GiB), In(GpuHealth::kStale, Card("c", 24_GiB))});
  EXPECT_EQ(Say(Decide(three, AskWhole())),
            "wait: needs one whole card; 2 cards are unused, but kept for shares (floor 2); out of "
            "service: 1 stale");
}

TEST(Floor, LeavesFewerCardsThanAsked) {
  const Snapshot four = Within(
      {.floor = 2}, {Card("a", 24_GiB), Card("b", 24_GiB), Card("c", 24_GiB), Card("d", 24_GiB)});
  EXPECT_EQ(Say(Decide(four, AskWhole(2))), "a b");
  EXPECT_EQ(Say(Decide(four, AskWhole(3))),
            "never: needs 3 whole cards of one machine; at most 2 of 4 may be given out whole "
            "(floor 2)");
  EXPECT_EQ(Instead(four, AskWhole(3)), std::vector<std::string>{"2 cards"});
  EXPECT_EQ(Words(four, AskWhole(3)),
            "4 cards: 2 too few of one machine (most together 2), 2 kept for shares (floor 2)");
}

TEST(Floor, AsLargeAsThePoolGivesNoWholeCardEver) {
  const Snapshot two = Within({.floor = 2}, {Card("a", 24_GiB), Card("b", 24_GiB)});
  EXPECT_EQ(Say(Decide(two, AskWhole())),
            "never: needs one whole card; none of 2 may be given out whole (floor 2)");
}

TEST(Ceiling, KeepsIdleCardsFromShares) {
  const Snapshot three =
      Within({.ceiling = 1}, {Card("a", 24_GiB, {16_GiB}), Card("b", 24_GiB), Card("c", 48_GiB)});
  EXPECT_EQ(Say(Decide(three, Ask(8_GiB))), "a");
  const Decision more = Decide(three, Ask(12_GiB));
  EXPECT_EQ(Say(more),
            "wait: needs 12 GiB on one card; largest free: 8 GiB; 2 cards are kept whole (ceiling "
            "1)");
  EXPECT_EQ(std::get<WaitFor>(more).largest_free, 8_GiB);
  EXPECT_EQ(Words(three, Ask(12_GiB)),
            "3 cards: 2 kept whole (ceiling 1), 1 too little memory (largest free 8 GiB)");
  EXPECT_EQ(Instead(three, Ask(12_GiB)), std::vector<std::string>{"8 GiB"});
  EXPECT_EQ(Say(Decide(three, AskWhole())), "b") << "a ceiling is nothing to whole cards";
}

TEST(Ceiling, SaysFirstWhatElseIsInTheWay) {
  const Snapshot three = Within(
      {.ceiling = 1},
      {Card("a", 24_GiB, {24_GiB}), Card("b", 8_GiB), OfModel("NVIDIA L4", Card("c", 24_GiB))});
  ClaimRequest request = Ask(12_GiB);
  request.gpu_model = "NVIDIA A10";
  EXPECT_EQ(Words(three, request),
            "3 cards: 1 too little memory (largest free 0 B), 1 too small (largest has 8 GiB), 1 "
            "another model");
}

TEST(Ceiling, BoundsWhatOneClaimOpens) {
  const std::vector<Gpu> gpus{
      Card("a", 24_GiB, {8_GiB}), Card("b", 24_GiB), Card("c", 24_GiB), Card("d", 24_GiB)};
  EXPECT_EQ(Say(Decide(Within({.ceiling = 2}, gpus), Ask(4_GiB, 2))), "a b");
  EXPECT_EQ(Say(Decide(Within({.ceiling = 3}, gpus), Ask(4_GiB, 3))), "a b c");
  EXPECT_EQ(Say(Decide(Within({.ceiling = 2}, gpus), Ask(20_GiB, 2))),
            "wait: needs 20 GiB on each of 2 cards of one machine; free on as many at once: 16 "
            "GiB; 2 cards are kept whole (ceiling 2)");
  EXPECT_EQ(Say(Decide(Within({.ceiling = 2}, gpus), Ask(4_GiB, 3))),
            "never: needs 4 GiB on each of 3 cards of one machine; at most 2 of 4 may carry shares "
            "(ceiling 2)");
}

TEST(Ceiling, TellsAShareOfAllTheMemoryFromAWholeCard) {
  Snapshot two = Within({.ceiling = 1}, {Card("a", 24_GiB), Card("b", 24_GiB)});
  Apply(two, ClaimId("x"), std::get<Placed>(Decide(two, Ask(24_GiB))));
  EXPECT_EQ(Say(Decide(two, Ask(4_GiB))),
            "wait: needs 4 GiB on one card; it is full; 1 card is kept whole (ceiling 1)");
  Snapshot other = Within({.ceiling = 1}, {Card("a", 24_GiB), Card("b", 24_GiB)});
  Apply(other, ClaimId("x"), std::get<Placed>(Decide(other, AskWhole())));
  EXPECT_EQ(Say(Decide(other, Ask(4_GiB))), "b");
}

TEST(Ceiling, WhoIsAboveItStays) {
  const Snapshot three =
      Within({.ceiling = 1}, {Card("a", 24_GiB, {8_GiB}), Card("b", 24_GiB, {8_GiB})});
  EXPECT_EQ(Say(Decide(three, Ask(4_GiB))), "a") << "cards that carry shares take more of them";
}

TEST(Bounds, CountWhatSharesWouldFind) {
  const std::vector<Gpu> gpus{Card("a", 24_GiB, {16_GiB}), Card("b", 24_GiB), Card("c", 48_GiB)};
  const ShareRoom all = RoomForShares(Within({}, gpus), "", 8_GiB);
  EXPECT_EQ(all.largest, 48_GiB);
  EXPECT_EQ(all.count, 1 + 3 + 6);
  const ShareRoom one = RoomForShares(Within({.ceiling = 2}, gpus), "", 8_GiB);
  EXPECT_EQ(one.largest, 48_GiB);
  EXPECT_EQ(one.count, 1 + 6);
  const ShareRoom none = RoomForShares(Within({.ceiling = 1}, gpus), "", 8_GiB);
  EXPECT_EQ(none.largest, 8_GiB);
  EXPECT_EQ(none.count, 1);
}

TEST(Bounds, TellEachCardByItself) {
  const Snapshot two = Within({.ceiling = 1}, {Card("a", 24_GiB, {24_GiB}), Card("b", 24_GiB)});
  const std::vector<CardVerdict> verdicts = JudgeCards(two, Ask(4_GiB));
  ASSERT_EQ(verdicts.size(), 2u);
  EXPECT_EQ(verdicts[0].gpu, GpuId("a"));
  EXPECT_EQ(ToWords(verdicts[0].verdict), "too little memory (0 B free)");
  EXPECT_EQ(ToWords(verdicts[1].verdict), "kept whole (ceiling 1)");
}

TEST(Bounds, HoldForAllPartsOfAClaimTogether) {
  const Snapshot three =
      Within({.floor = 1, .ceiling = 1}, {Card("a", 24_GiB), Card("b", 24_GiB), Card("c", 24_GiB)});
  const std::vector<Waiting> shares{
      {.id = ClaimId("g"), .request = Ask(4_GiB), .more = {Ask(4_GiB)}}};
  const auto two_shares = WalkQueue({.snapshot = three, .waiting = shares});
  EXPECT_EQ(Say(two_shares[0].decision),
            "never: needs 2 shares on different cards; the pool's floor and ceiling never leave so "
            "many at once");
  std::vector<Waiting> mixed = shares;
  mixed[0].more = {AskWhole(2)};
  EXPECT_TRUE(
      std::holds_alternative<Placed>(WalkQueue({.snapshot = three, .waiting = mixed})[0].decision));
  mixed[0].more = {AskWhole(), AskWhole(), AskWhole()};
  const Snapshot four = Within({.floor = 2}, [&] {
    std::vector<Gpu> gpus = three.gpus;
    gpus.push_back(Card("d", 24_GiB));
    return gpus;
  }());
  EXPECT_TRUE(
      std::holds_alternative<Never>(WalkQueue({.snapshot = four, .waiting = mixed})[0].decision));
}

TimePoint At(int minutes) {
  return TimePoint(Duration(minutes * 60'000));
}

Waiting Asks(const std::string& id, const ClaimRequest& request, int minute) {
  return {.id = ClaimId(id), .request = request, .queued_since = At(minute)};
}

std::vector<std::string> WalkIn(const Snapshot& fleet,
                                const std::vector<Waiting>& waiting,
                                const std::vector<Holder>& holders = {}) {
  std::vector<std::string> said;
  for (const QueueAnswer& answer :
       WalkQueue({.snapshot = fleet, .waiting = waiting, .holders = holders, .now = At(10)})) {
    const bool waits = std::holds_alternative<WaitFor>(answer.decision);
    said.push_back(answer.id.text() + (waits ? " waits" : " on " + Say(answer.decision)));
    if (answer.promised)
      said.back() += " until " + std::to_string((*answer.promised - At(0)) / 1min);
  }
  return said;
}

// Two whole cards for the first, when the only holder of one ends; who comes later may not take of
// what the floor leaves meanwhile.
TEST(Bounds, KeepWhatTheFirstIsPromised) {
  const Snapshot four =
      Within({.floor = 2},
             {HeldWhole("a", 24_GiB), Card("b", 24_GiB), Card("c", 24_GiB), Card("d", 24_GiB)});
  Waiting brief = Asks("brief", AskWhole(), 3);
  brief.run_for = 30min;
  const std::vector<Waiting> waiting{Asks("first", AskWhole(2), 1),
                                     Asks("long", AskWhole(), 2),
                                     brief,
                                     Asks("share", Ask(4_GiB), 4)};
  const auto said = WalkIn(four, waiting, {{.claim = ClaimId("a-w"), .ends_at = At(60)}});
  ASSERT_EQ(said.size(), 4u);
  EXPECT_EQ(said[0], "first waits until 60");
  EXPECT_EQ(said[1], "long waits");
  EXPECT_EQ(said[2].substr(0, 8), "brief on");
  EXPECT_EQ(said[3].substr(0, 8), "share on");
}

// No end is known: what the first needs is kept for it, and counts as used.
TEST(Bounds, KeepWhatTheFirstWouldFitSoonest) {
  const Snapshot four =
      Within({.floor = 2},
             {HeldWhole("a", 24_GiB), Card("b", 24_GiB), Card("c", 24_GiB), Card("d", 24_GiB)});
  const std::vector<Waiting> waiting{
      Asks("first", AskWhole(2), 1), Asks("other", AskWhole(), 2), Asks("share", Ask(4_GiB), 3)};
  // b is kept beside a; c and d are the shares' own.
  EXPECT_EQ(WalkIn(four, waiting),
            (std::vector<std::string>{"first waits", "other waits", "share on c"}));
}

TEST(Bounds, LeaveAReservationNoMoreRoom) {
  const std::vector<Gpu> gpus{
      Card("a", 24_GiB), Card("b", 24_GiB), Card("c", 24_GiB), Card("d", 24_GiB)};
  const auto room = [&](const CardBounds& bounds, Bytes memory) {
    const Snapshot fleet = Within(bounds, gpus);
    Reservation reservation;
    reservation.id = ReservationId("r");
    reservation.team = TeamId("t");
    reservation.count = 4;
    reservation.memory = memory;
    reservation.starts_at = TimePoint(Duration(10));
    reservation.ends_at = TimePoint(Duration(20));
    return RoomFor({.snapshot = fleet}, reservation);
  };
  EXPECT_EQ(room({}, Bytes(0)), 4);
  EXPECT_EQ(room({.floor = 3}, Bytes(0)), 1);
  EXPECT_EQ(room({.floor = 3}, 8_GiB), 4);
  EXPECT_EQ(room({.ceiling = 2}, 8_GiB), 2);
  EXPECT_EQ(room({.ceiling = 2}, Bytes(0)), 4);
}

// Somebody is asked to give way only where the bounds give what comes free.
TEST(Bounds, DecideWhoGivesWay) {
  const auto plan = [](Gpu first, Gpu second) {
    const Snapshot fleet = Within({.floor = 1}, {std::move(first), std::move(second)});
    ClaimRequest whole = AskWhole();
    whole.priority = 5;
    const std::vector<Waiting> waiting{{.id = ClaimId("high"), .request = whole}};
    std::vector<Holder> holders;
    for (const Gpu& gpu : fleet.gpus) {
      for (const Share& share : gpu.shares) {
        holders.push_back({.claim = share.claim, .preempt = PreemptRule::kLowerPriority});
      }
    }
    const QueueInput input{.snapshot = fleet, .waiting = waiting, .holders = holders};
    return PlanPreemption(input, WalkQueue(input));
  };
  const auto one = plan(HeldWhole("a", 24_GiB), Card("b", 24_GiB));
  ASSERT_TRUE(one);
  EXPECT_EQ(one->victims, std::vector{ClaimId("a-w")});
  const auto two = plan(HeldWhole("a", 24_GiB), Card("b", 24_GiB, {8_GiB}));
  ASSERT_TRUE(two);
  EXPECT_EQ(two->victims, std::vector{ClaimId("a-w")}) << "b is the shares' own";
}

bool IsIdleInService(const Gpu& gpu) {
  return gpu.shares.empty() && OpenToShares(gpu);
}

// Each time a card is said to be kept, it is idle, nothing else of it stands in the way, and the
// bounds leave fewer cards than are asked for.
TEST(BoundsProperty, ExplainNeverLies) {
  ForEverySeed(2'000, [](Dice& dice) {
    const Snapshot snapshot = SomeFleet(dice);
    const ClaimRequest request = SomeRequest(dice);
    const Explanation explanation = Explain(snapshot, request);
    EXPECT_EQ(explanation.fits, Fits(snapshot, request));
    const int left = IdleLeft(snapshot, request);
    std::map<NodeId, int> idle;
    std::map<NodeId, int> kept;
    for (const CardVerdict& one : JudgeCards(snapshot, request)) {
      const Gpu& gpu = CardOf(snapshot, one.gpu);
      const bool fits_but_for_bounds = OneFits(gpu, request) && gpu.shares.empty();
      idle[gpu.node] += fits_but_for_bounds ? 1 : 0;
      if (one.verdict.check != Check::kBounds) continue;
      EXPECT_TRUE(fits_but_for_bounds && IsIdleInService(gpu)) << gpu.id.text();
      EXPECT_LT(left, request.count);
      const CardBounds& bounds = snapshot.rules.bounds;
      EXPECT_EQ(one.verdict.free, request.whole ? bounds.floor : bounds.ceiling);
      ++kept[gpu.node];
    }
    for (const auto& [node, count] : idle) {
      EXPECT_EQ(kept[node], left < request.count ? std::max(count - left, 0) : 0) << node.text();
    }
    for (const Alternative& other : explanation.alternatives) {
      ClaimRequest instead = request;
      instead.count = other.demand.count;
      instead.memory = other.demand.memory;
      instead.guarantee = other.demand.guarantee;
      instead.gpu_model = other.demand.models.empty() ? "" : other.demand.models.front();
      EXPECT_TRUE(Fits(snapshot, instead)) << other.words;
    }
  });
}

// Whatever comes and goes: no placement opens a card for shares above the ceiling, and no whole
// card is taken of those that the floor leaves.
TEST(BoundsProperty, HoldInEveryHistory) {
  ForEverySeed(500, [](Dice& dice) {
    Snapshot fleet = SomeFleet(dice);
    const CardBounds bounds = fleet.rules.bounds;
    std::vector<Waiting> waiting;
    TimePoint now{};
    for (int step = 0; step < 30; ++step) {
      now += Duration(60'000);
      Waiting one{
          .id = ClaimId("c" + std::to_string(step)),
          .request = SomeRequest(dice),
          .queued_since = now,
      };
      if (dice.OneIn(5)) one.more = {SomeRequest(dice)};
      waiting.push_back(one);
      for (Gpu& gpu : fleet.gpus) {
        if (!gpu.shares.empty() && dice.OneIn(6)) gpu.shares.pop_back();
      }
      std::vector<Holder> holders;
      for (const Gpu& gpu : fleet.gpus) {
        for (const Share& share : gpu.shares) {
          const bool known = std::ranges::count(holders, share.claim, &Holder::claim) > 0;
          if (known || dice.OneIn(2)) continue;
          holders.push_back(
              {.claim = share.claim, .ends_at = now + Duration(60'000 * dice.Roll(30))});
        }
      }
      const auto count = [&](bool whole) {
        return std::ranges::count_if(fleet.gpus, [&](const Gpu& gpu) {
          return whole ? OpenToShares(gpu) && !IsHeldWhole(gpu) : CarriesShares(gpu);
        });
      };
      const auto left = count(true);
      const auto carrying = count(false);
      for (const QueueAnswer& answer : WalkQueue({.snapshot = fleet,
                                       .waiting = waiting,
                                       .holders = holders,
                                       .teams = {},
                                       .now = now,
                                       .reservations = {}})) {
        if (std::holds_alternative<WaitFor>(answer.decision)) continue;
        std::erase_if(waiting, [&](const Waiting& w) { return w.id == answer.id; });
        if (const auto* placed = std::get_if<Placed>(&answer.decision)) {
          Apply(fleet, answer.id, *placed);
        }
      }
      if (bounds.ceiling > 0) {
        EXPECT_LE(count(false), std::max<int64_t>(bounds.ceiling, carrying));
      }
      if (bounds.floor > 0) {
        EXPECT_GE(count(true), std::min<int64_t>(bounds.floor, left));
      }
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
