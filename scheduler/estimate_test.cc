// SPDX-License-Identifier: Apache-2.0
#include "scheduler/estimate.h"

#include <cmath>
#include <gtest/gtest.h>

#include "base/random.h"
#include "scheduler/fleet_for_tests.h"

namespace sluice::scheduler {
namespace {

TimePoint At(int64_t ms) {
  return TimePoint(Duration(ms));
}

RunLengths Ended(std::initializer_list<int64_t> lengths) {
  std::vector<RunLength> seen;
  for (const int64_t ms : lengths) seen.push_back({Duration(ms)});
  return RunLengths(std::move(seen));
}

TEST(RunLengths, GivesTheTimeByWhichSoManyHaveEnded) {
  const RunLengths lengths = Ended({10, 20, 30, 40});
  EXPECT_EQ(lengths.Left(Duration(0), 0.2), Duration(10));
  EXPECT_EQ(lengths.Left(Duration(0), 0.5), Duration(20));
  EXPECT_EQ(lengths.Left(Duration(0), 0.9), Duration(40));
}

TEST(RunLengths, JudgesByThoseThatRanLonger) {
  const RunLengths lengths = Ended({10, 20, 30, 40});
  EXPECT_EQ(lengths.Left(Duration(25), 0.4), Duration(5));
  EXPECT_EQ(lengths.Left(Duration(25), 0.9), Duration(15));
}

TEST(RunLengths, SaysWhenNothingWasSeenToRunSoLong) {
  EXPECT_EQ(Ended({10, 20}).Left(Duration(20), 0.5), std::nullopt);
  EXPECT_EQ(RunLengths().Left(Duration(0), 0), std::nullopt);
}

TEST(RunLengths, CountsThoseThatStillRunForWhatTheySay) {
  // Two of four ended; the others have outlasted both, so half run on past 20.
  const RunLengths lengths(
      {{Duration(10)}, {Duration(20)}, {Duration(30), false}, {Duration(30), false}});
  EXPECT_EQ(lengths.Left(Duration(0), 0.5), Duration(20));
  EXPECT_EQ(lengths.Left(Duration(0), 0.6), std::nullopt);
  // One that still runs at 10 says nothing of later ends: of the three left, one ended at 20.
  const RunLengths early({{Duration(10), false}, {Duration(20)}, {Duration(30)}, {Duration(30)}});
  EXPECT_EQ(early.Left(Duration(0), 0.3), Duration(20));
  EXPECT_EQ(early.Left(Duration(0), 0.4), Duration(30));
}

TEST(RunHistory, JudgesAKindSeldomSeenByAll) {
  RunHistory history;
  for (int i = 0; i < 8; ++i) history.Add("often", {Duration(100)});
  history.Add("seldom", {Duration(1)});
  history.Close();
  EXPECT_EQ(history.Of("often").Left(Duration(0), 0.05), Duration(100));
  EXPECT_EQ(history.Of("seldom").ended(), 9);
  EXPECT_EQ(history.Of("never").ended(), 9);
}

// One card, full with one holder that has run since 0.
class OneCard : public testing::Test {
 protected:
  std::map<ClaimId, Estimate> Estimates(const RunHistory& history) {
    const Snapshot snapshot{{Card("a", 24_GiB, {20_GiB})}};
    return EstimateStarts(
        {.snapshot = snapshot, .waiting = waiting, .holders = holders, .now = At(1'000)},
        history,
        {});
  }

  std::vector<Waiting> waiting = {{.id = ClaimId("w"), .request = Ask(8_GiB)}};
  std::vector<Holder> holders = {{.claim = ClaimId("a-0"), .held_since = At(0), .kind = "k"}};
};

RunHistory Uniform(const std::string& kind, int64_t from_ms, int64_t to_ms) {
  RunHistory history;
  for (int64_t i = 0; i < 100; ++i) {
    history.Add(kind, {Duration(from_ms + (to_ms - from_ms) * i / 100)});
  }
  history.Close();
  return history;
}

TEST_F(OneCard, StartsAsTheHolderEnds) {
  const Estimate estimate = Estimates(Uniform("k", 2'000, 4'000)).at(ClaimId("w"));
  ASSERT_TRUE(estimate.earliest && estimate.likely && estimate.latest);
  EXPECT_GE(*estimate.earliest, At(2'000));
  EXPECT_LE(*estimate.earliest, At(2'700));
  EXPECT_GT(*estimate.likely, At(2'500));
  EXPECT_LT(*estimate.likely, At(3'500));
  EXPECT_GE(*estimate.latest, At(3'300));
  EXPECT_LE(*estimate.latest, At(4'000));
}

TEST_F(OneCard, IsNeverLaterThanTheHolderIsDue) {
  holders[0].ends_at = At(2'500);
  const Estimate estimate = Estimates(Uniform("k", 2'000, 4'000)).at(ClaimId("w"));
  EXPECT_EQ(estimate.latest, At(2'500));
  EXPECT_LE(*estimate.earliest, At(2'500));
}

TEST_F(OneCard, IsUnknownWhereNothingWasSeenToRunSoLong) {
  EXPECT_EQ(Estimates(Uniform("k", 100, 900)).at(ClaimId("w")), Estimate());
}

TEST_F(OneCard, LetsTheSecondWaitForTheFirst) {
  waiting.push_back(
      {.id = ClaimId("x"), .request = Ask(20_GiB), .queued_since = At(1), .kind = "k"});
  waiting[0].kind = "k";
  const auto estimates = Estimates(Uniform("k", 2'000, 4'000));
  EXPECT_GT(*estimates.at(ClaimId("x")).likely, *estimates.at(ClaimId("w")).latest);
}

TEST_F(OneCard, GivesEqualAnswersToEqualQuestions) {
  const RunHistory history = Uniform("k", 2'000, 4'000);
  EXPECT_EQ(Estimates(history), Estimates(history));
}

TEST_F(OneCard, GivesAWiderRangeToALongQueueWhereRunsAreAlike) {
  // The last of twenty that have the card one after the other: what is long or short by chance
  // evens out, what they share does not.
  for (int i = 0; i < 20; ++i) {
    waiting.push_back({.id = ClaimId("x" + std::to_string(10 + i)),
                       .request = Ask(20_GiB),
                       .queued_since = At(1 + i),
                       .kind = "k"});
  }
  const auto width = [&](const EstimateRules& rules) {
    const Snapshot snapshot{{Card("a", 24_GiB, {20_GiB})}};
    const auto last = EstimateStarts(
        {.snapshot = snapshot, .waiting = waiting, .holders = holders, .now = At(1'000)},
        Uniform("k", 2'000, 4'000),
        rules)[ClaimId("x29")];
    return *last.latest - *last.earliest;
  };
  EXPECT_GT(width({}), 2 * width({.shared_by_all = 0, .shared_by_kind = 0}));
}

// The truth, each length drawn alone from what the history was drawn from, lies within the range
// about as often as the range says: four in five, on average over seeds.
TEST(EstimateProperty, ContainsTheTruthAsOftenAsItSays) {
  SeededRandom random(7);
  const auto length = [&] {
    const double u = static_cast<double>(random.Next() >> 11) * 0x1.0p-53;
    return Duration(static_cast<int64_t>(-3'600'000 * std::log(1 - u)) + 60'000);
  };
  RunHistory history;
  for (int i = 0; i < 400; ++i) history.Add("k", {length()});
  history.Close();
  int inside = 0;
  constexpr int kTrials = 400;
  for (int trial = 0; trial < kTrials; ++trial) {
    const Snapshot snapshot{{Card("a", 24_GiB, {8_GiB, 8_GiB, 8_GiB})}};
    const TimePoint now = At(10'000'000);
    std::vector<Holder> holders;
    TimePoint truth = TimePoint::max();
    for (int i = 0; i < 3; ++i) {
      const Duration age(static_cast<int64_t>(random.Next() % 1'800'000));
      Duration lasts = length();
      while (lasts <= age) lasts = length();
      holders.push_back(
          {.claim = ClaimId("a-" + std::to_string(i)), .held_since = now - age, .kind = "k"});
      truth = std::min(truth, now - age + lasts);
    }
    const std::vector<Waiting> waiting = {{.id = ClaimId("w"), .request = Ask(8_GiB), .kind = "k"}};
    const auto estimates =
        EstimateStarts({.snapshot = snapshot, .waiting = waiting, .holders = holders, .now = now},
                       history,
                       {.shared_by_all = 0, .shared_by_kind = 0});
    const Estimate& one = estimates.at(ClaimId("w"));
    inside += one.earliest && *one.earliest <= truth && (!one.latest || truth <= *one.latest);
  }
  EXPECT_GE(inside, kTrials * 72 / 100);
  EXPECT_LE(inside, kTrials * 88 / 100);
}

}  // namespace
}  // namespace sluice::scheduler
