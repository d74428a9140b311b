// SPDX-License-Identifier: Apache-2.0
#include "sim/timed.h"

#include <algorithm>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "sim/timed_report.h"
#include "sim/timed_trace.h"

namespace sluice::sim {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Field;

constexpr Duration kMinute{60'000};

Gpu Card(const std::string& node, int index, Bytes memory = GiB(24)) {
  return {.id = GpuId(fmt::format("{}/{}", node, index)),
          .node = NodeId(node),
          .index = index,
          .model = "T4",
          .memory = memory};
}

std::vector<Gpu> Cards(int nodes, int each) {
  std::vector<Gpu> cards;
  for (int node = 0; node < nodes; ++node) {
    for (int i = 0; i < each; ++i) cards.push_back(Card(fmt::format("n{}", node), i));
  }
  return cards;
}

TimedClaim Claim(int number, ClaimRequest request, int at_min, int runs_min) {
  return {.id = ClaimId(fmt::format("c{:04}", number)),
          .request = std::move(request),
          .team = {},
          .kind = "any",
          .size = "any",
          .arrives = TimePoint(kMinute * (1 + at_min)),
          .runs = kMinute * runs_min};
}

ClaimRequest Part(Bytes memory) {
  return {.memory = memory};
}
ClaimRequest Whole(int count) {
  return {.count = count, .memory = GiB(24), .whole = true};
}

std::vector<int64_t> WaitsMin(const std::vector<TimedClaim>& claims, const TimedResult& result) {
  std::vector<int64_t> waits;
  for (size_t i = 0; i < claims.size(); ++i) {
    const auto& started = result.outcomes[i].started;
    waits.push_back(started ? (*started - claims[i].arrives) / kMinute : -1);
  }
  return waits;
}

// Seeded claims of all shapes: more than the fleet can hold at once, some that it never can.
std::vector<TimedClaim> Drawn(uint64_t seed, int count) {
  SeededRandom random(seed);
  const auto roll = [&](int below) {
    return static_cast<int>(random.Next() % static_cast<uint64_t>(below));
  };
  std::vector<TimedClaim> claims;
  for (int i = 0; i < count; ++i) {
    ClaimRequest request = Part(MiB(512 * (1 + roll(48))));
    request.guarantee = ComputeMillis(roll(4) * 100);
    if (roll(6) == 0) request = Whole(1 << roll(4));
    if (roll(20) == 0) request.gpu_model = "none such";
    request.priority = roll(3);
    TimedClaim claim = Claim(i, request, roll(300), 1 + roll(90));
    claim.kind = roll(2) == 0 ? "short" : "long";
    if (roll(3) == 0) claim.run_for = claim.runs;
    claims.push_back(std::move(claim));
  }
  return claims;
}

void ExpectCardsAreNotOverfull(const TimedState& state) {
  for (const Gpu& gpu : state.fleet) {
    ComputeMillis compute;
    for (const Share& share : gpu.shares) compute += share.guarantee;
    ASSERT_LE(MemoryHeld(gpu), gpu.memory) << gpu.id.text();
    ASSERT_LE(compute, gpu.compute) << gpu.id.text();
  }
}

TEST(Timed, ServesStrictlyInOrderOrLetsPassWhoDoesNoHarm) {
  // Two cards: one held for an hour, then somebody wants both, then somebody one for a while.
  std::vector<TimedClaim> claims = {
      Claim(0, Whole(1), 0, 60), Claim(1, Whole(2), 1, 10), Claim(2, Whole(1), 2, 20)};
  for (TimedClaim& claim : claims) claim.run_for = claim.runs;
  const auto fleet = Cards(1, 2);
  const TimedResult fifo = ReplayTimed(fleet, {}, claims, {.discipline = Discipline::kFifo});
  EXPECT_THAT(WaitsMin(claims, fifo), ElementsAre(0, 59, 68));
  const TimedResult queue = ReplayTimed(fleet, {}, claims, {});
  EXPECT_THAT(WaitsMin(claims, queue), ElementsAre(0, 59, 0));
  EXPECT_EQ(queue.wait.waited, 1);
  EXPECT_EQ(queue.longest_queue, 1);
  EXPECT_EQ(fifo.longest_queue, 2);
}

TEST(Timed, CountsWhatIsHeldAndWhatIsLost) {
  // One of two cards is held for an hour, while for 30 minutes somebody waits for two (who fits in
  // total only when both are free) and for 10 of them somebody for one.
  const std::vector<TimedClaim> claims = {
      Claim(0, Whole(1), 0, 60), Claim(1, Whole(2), 30, 30), Claim(2, Whole(1), 50, 30)};
  const TimedResult result =
      ReplayTimed(Cards(1, 2), {}, claims, {.discipline = Discipline::kFifo});
  EXPECT_THAT(WaitsMin(claims, result), ElementsAre(0, 30, 40));
  EXPECT_DOUBLE_EQ(result.gpu_hours_held, 1 + 2 * 0.5 + 0.5);
  EXPECT_DOUBLE_EQ(result.gpu_hours_lost, 10.0 / 60);
  EXPECT_DOUBLE_EQ(result.hours, 2);
  // Until the last one came, at minute 50, one card of two was held.
  EXPECT_DOUBLE_EQ(result.utilisation_pct, 50);
  EXPECT_DOUBLE_EQ(result.offered_pct, 100 * (60 + 60 + 30) / 100.0);
  EXPECT_DOUBLE_EQ(result.wait.mean_s, 70 * 60 / 3.0);
  EXPECT_DOUBLE_EQ(result.wait.p50_s, 30 * 60);
  EXPECT_DOUBLE_EQ(result.wait.p95_s, 40 * 60);
}

TEST(Timed, StartsAllPartsOfAClaimTogether) {
  std::vector<TimedClaim> claims = {Claim(0, Whole(1), 0, 60), Claim(1, Part(GiB(8)), 10, 30)};
  claims[1].more = {Part(GiB(4))};
  for (const Discipline discipline : {Discipline::kFifo, Discipline::kQueue}) {
    const TimedResult result = ReplayTimed(Cards(1, 2), {}, claims, {.discipline = discipline});
    EXPECT_THAT(WaitsMin(claims, result), ElementsAre(0, 50));
    EXPECT_EQ(result.outcomes[1].allocations.size(), 2U);
  }
}

Reservation For(const std::string& team, Duration from, Duration to) {
  return {.id = ReservationId("rsv_" + team),
          .team = TeamId(team),
          .starts_at = TimePoint(kMinute + from),
          .ends_at = TimePoint(kMinute + to),
          .created_at = TimePoint(kMinute)};
}

TEST(Timed, KeepsWhatIsReservedUntilItIsOverOrTakenBack) {
  std::vector<TimedClaim> claims = {Claim(0, Whole(1), 10, 60), Claim(1, Whole(1), 35, 20)};
  claims[1].team = TeamId("t");
  std::vector<Reservation> reservations = {For("t", kMinute * 30, kMinute * 90)};
  TimedOptions options{.reservations = reservations};
  EXPECT_THAT(WaitsMin(claims, ReplayTimed(Cards(1, 1), {}, claims, options)), ElementsAre(80, 0));
  reservations[0].removed_at = TimePoint(kMinute * 21);
  EXPECT_THAT(WaitsMin(claims, ReplayTimed(Cards(1, 1), {}, claims, options)), ElementsAre(10, 45));
  reservations[0].created_at = TimePoint(kMinute * 12);  // Nobody knew of it in time.
  EXPECT_THAT(WaitsMin(claims, ReplayTimed(Cards(1, 1), {}, claims, options)), ElementsAre(0, 35));
}

TEST(Timed, LetsClaimsGiveWayWithNoticeAndGoOnLater) {
  std::vector<TimedClaim> claims = {Claim(0, Whole(1), 0, 60), Claim(1, Whole(1), 10, 30)};
  claims[0].may_yield = true;
  claims[1].request.priority = 5;
  std::vector<Pool> pools(1);
  pools[0].preempt = PreemptRule::kLowerPriority;
  pools[0].preempt_notice = kMinute * 5;
  const TimedOptions options{.pools = pools};
  const TimedResult result = ReplayTimed(Cards(1, 1), {}, claims, options);
  EXPECT_THAT(WaitsMin(claims, result), ElementsAre(0, 5));
  EXPECT_EQ(result.gave_way, 1);
  EXPECT_EQ(result.starts, 2);
  EXPECT_EQ(result.starts_again, 1);
  // It was stopped at minute 15, starts again at 45, and has 45 minutes left.
  EXPECT_EQ(result.wait.claims, 3);
  EXPECT_DOUBLE_EQ(result.wait.max_s, 30 * 60);
  EXPECT_DOUBLE_EQ(result.hours, 1.5);
  EXPECT_DOUBLE_EQ(result.gpu_hours_held, 1.5);
  claims[0].may_yield = false;  // A command.
  EXPECT_EQ(ReplayTimed(Cards(1, 1), {}, claims, options).gave_way, 0);
}

TEST(Timed, TakesANoticeBackThatNobodyNeeds) {
  std::vector<TimedClaim> claims = {
      Claim(0, Whole(1), 0, 60), Claim(1, Whole(1), 0, 12), Claim(2, Whole(1), 10, 30)};
  claims[0].may_yield = true;
  claims[2].request.priority = 5;
  std::vector<Pool> pools(1);
  pools[0].preempt = PreemptRule::kLowerPriority;
  const TimedResult result = ReplayTimed(Cards(1, 2), {}, claims, {.pools = pools});
  EXPECT_THAT(WaitsMin(claims, result), ElementsAre(0, 0, 2));
  EXPECT_EQ(result.gave_way, 0);
  EXPECT_DOUBLE_EQ(result.hours, 1);
}

TEST(Timed, LetsNobodyWaitWhereEverythingFits) {
  std::vector<TimedClaim> claims;
  for (int i = 0; i < 40; ++i) claims.push_back(Claim(i, Part(GiB(6)), i / 4, 30));
  for (const Discipline discipline : {Discipline::kFifo, Discipline::kQueue}) {
    const TimedResult result = ReplayTimed(Cards(5, 2), {}, claims, {.discipline = discipline});
    EXPECT_EQ(result.starts, 40);
    EXPECT_EQ(result.wait.waited, 0);
    EXPECT_EQ(result.wait.max_s, 0);
    EXPECT_EQ(result.gpu_hours_lost, 0);
    EXPECT_EQ(result.longest_queue, 0);
  }
}

TEST(Timed, SaysWhyAClaimNeverStarts) {
  const std::vector<TimedClaim> claims = {Claim(0, Part(GiB(32)), 0, 1), Claim(1, Whole(3), 0, 1)};
  for (const Discipline discipline : {Discipline::kFifo, Discipline::kQueue}) {
    const TimedResult result = ReplayTimed(Cards(1, 2), {}, claims, {.discipline = discipline});
    EXPECT_EQ(result.starts, 0);
    EXPECT_EQ(result.refused, 2);
    EXPECT_EQ(result.outcomes[0].refused, "needs 32 GiB on one card; the largest has 24 GiB");
    EXPECT_THAT(result.outcomes, Each(Field(&TimedOutcome::refused, testing::Not(""))));
  }
}

TEST(Timed, HoldsATeamToItsLimit) {
  std::vector<TimedClaim> claims;
  for (int i = 0; i < 4; ++i) claims.push_back(Claim(i, Part(GiB(8)), 0, 10));
  for (TimedClaim& claim : claims) claim.team = TeamId("t");
  const std::vector<Team> teams = {
      {.id = TeamId("t"), .name = "T", .memory_guaranteed = Bytes(0), .memory_max = GiB(16)}};
  const TimedResult result = ReplayTimed(Cards(2, 2), teams, claims, {});
  EXPECT_THAT(WaitsMin(claims, result), ElementsAre(0, 0, 10, 10));
}

// For every seed and both disciplines: no card beyond what it has, each claim starts once and not
// before it came or is told why not, and what is held is what was asked.
TEST(TimedProperty, KeepsCardsAndClaims) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<TimedClaim> claims = Drawn(seed, 150);
    const std::vector<Gpu> fleet = Cards(3, 4);
    for (const Discipline discipline : {Discipline::kFifo, Discipline::kQueue}) {
      const TimedResult result = ReplayTimed(
          fleet, {}, claims, {.discipline = discipline, .on_state = ExpectCardsAreNotOverfull});
      EXPECT_EQ(result.starts + result.refused, result.claims);
      double held_hours = 0;
      for (size_t i = 0; i < claims.size(); ++i) {
        const TimedOutcome& outcome = result.outcomes[i];
        ASSERT_NE(outcome.started.has_value(), !outcome.refused.empty());
        if (!outcome.started) continue;
        EXPECT_GE(*outcome.started, claims[i].arrives);
        EXPECT_EQ(outcome.allocations.size(), static_cast<size_t>(claims[i].request.count));
        for (const Allocation& a : outcome.allocations) {
          EXPECT_GE(a.memory, claims[i].request.memory);
          held_hours += static_cast<double>(a.memory.value()) /
                        static_cast<double>(GiB(24).value()) *
                        static_cast<double>(claims[i].runs / kMinute) / 60;
        }
      }
      // Cards' worth is counted in thousandths, rounded down.
      EXPECT_NEAR(result.gpu_hours_held, held_hours, 0.01 * held_hours);
      EXPECT_GT(result.wait.waited, 0) << "the fleet is too large to test anything";
    }
  }
}

TEST(TimedProperty, GivesTheSameBytesForTheSameClaimsInAnyOrder) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    std::vector<TimedClaim> claims = Drawn(seed, 120);
    std::vector<Gpu> fleet = Cards(3, 4);
    const TimedOptions options{.estimate_every = 3, .estimates = {.samples = 10}};
    const auto bytes = [&] {
      return ToJson(ReplayTimed(fleet, {}, claims, options), Discipline::kQueue).dump();
    };
    const std::string once = bytes();
    EXPECT_EQ(bytes(), once);
    std::ranges::reverse(claims);
    std::rotate(fleet.begin(), fleet.begin() + 5, fleet.end());
    EXPECT_EQ(bytes(), once);
  }
}

TEST(Timed, TellsWhoWaitsARangeFromThePastAlone) {
  // Claims of one card run an hour, one after the other, so the second of two knows after a while.
  std::vector<TimedClaim> claims;
  for (int i = 0; i < 20; ++i) claims.push_back(Claim(i, Whole(1), 60 * i, 60));
  claims.push_back(Claim(20, Whole(1), 60 * 18 + 30, 60));
  const TimedOptions options{.estimate_every = 1};
  const TimedResult result = ReplayTimed(Cards(1, 1), {}, claims, options);
  // Claim 20 came in the middle of claim 18 and took claim 19's turn; both waited.
  EXPECT_EQ(result.ranges.asked, 2);
  EXPECT_EQ(result.ranges.given, 2);
  EXPECT_EQ(result.ranges.inside, 2);
  // Longer runs that nobody could have foreseen: the range was given before, so it is wrong.
  claims[18].runs = kMinute * 300;
  const TimedResult fooled = ReplayTimed(Cards(1, 1), {}, claims, options);
  EXPECT_EQ(fooled.ranges.inside, 0);
  EXPECT_EQ(fooled.ranges.late, 1);
}

TEST(TimedTrace, TakesWhatRanAndSaysWhatItLeavesOut) {
  const std::vector<TraceNode> nodes = {{.name = "a", .gpus = 2, .model = "T4"},
                                        {.name = "b", .gpus = 8, .model = "T4"},
                                        {.name = "c", .gpus = 1, .model = "G2"}};
  const auto pod = [](int gpus, int milli, int64_t created) {
    return TracePod{.name = "p",
                    .gpus = gpus,
                    .gpu_milli = milli,
                    .qos = "LS",
                    .created_s = created,
                    .deleted_s = created + 500,
                    .scheduled_s = created + 100};
  };
  std::vector<TracePod> pods = {pod(1, 250, 1000), pod(2, 1000, 3000), pod(0, 0, 4000)};
  pods.push_back(pod(1, 1000, 100));
  pods.push_back(pod(1, 1000, 5000));
  pods.back().scheduled_s.reset();
  pods.push_back(pod(1, 500, 5000));
  pods.back().models = {"G2", "T4"};
  const TimedTrace trace =
      MakeTimedTrace(nodes, pods, {.every_node = 2, .from_s = 1000, .pace_pct = 200});
  EXPECT_EQ(trace.nodes, 2U);
  EXPECT_EQ(trace.fleet.size(), 3U);
  ASSERT_EQ(trace.claims.size(), 2U);
  EXPECT_EQ(trace.claims[0].request, (ClaimRequest{.memory = MiB(250)}));
  EXPECT_EQ(trace.claims[0].kind, "LS, share");
  EXPECT_EQ(trace.claims[1].request,
            (ClaimRequest{.count = 2, .memory = MiB(1000), .whole = true}));
  EXPECT_EQ(trace.claims[1].size, "2 cards");
  EXPECT_EQ(trace.claims[1].runs, Duration(400'000));
  EXPECT_EQ(trace.claims[1].arrives - trace.claims[0].arrives, Duration(1'000'000));
  EXPECT_EQ(trace.without_card, 1U);
  EXPECT_EQ(trace.too_early, 1U);
  EXPECT_EQ(trace.never_ran, 1U);
  EXPECT_EQ(trace.many_models, 1U);
}

TEST(TimedTrace, FindsThePaceThatOffersSoMuchWork) {
  std::vector<TracePod> pods;
  for (int i = 0; i < 100; ++i) {
    pods.push_back({.name = "p",
                    .gpus = 1,
                    .gpu_milli = 500,
                    .created_s = i * 100,
                    .deleted_s = i * 100 + 90,
                    .scheduled_s = i * 100 + 10});
  }
  const std::vector<TraceNode> nodes = {{.name = "a", .gpus = 2, .model = "T4"}};
  const TimedTrace trace = MakeTimedTrace(nodes, pods, {.pace_pct = 0, .offered_pct = 90});
  const TimedResult result = ReplayTimed(trace.fleet, {}, trace.claims, {});
  EXPECT_NEAR(result.offered_pct, 90, 0.5);
}

}  // namespace
}  // namespace sluice::sim
