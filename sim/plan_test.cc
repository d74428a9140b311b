// SPDX-License-Identifier: Apache-2.0
#include "sim/plan.h"

#include <algorithm>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "sim/plan_report.h"

namespace sluice::sim {
namespace {

using testing::HasSubstr;

constexpr Duration kHour{3'600'000};
constexpr Duration kDay = kHour * 24;
constexpr TimePoint kBegin{kDay * 20'000};

Gpu Card(int index, Bytes memory = GiB(24)) {
  return {.id = GpuId(fmt::format("GPU-{}", index)),
          .node = NodeId("here"),
          .index = index,
          .vendor = "nvidia",
          .model = "NVIDIA A10",
          .memory = memory};
}

PastClaim Past(int number, Duration came, Duration waited, Duration ran) {
  PastClaim past{.id = ClaimId(fmt::format("clm_{:05}", number)),
                 .request = {.memory = GiB(8)},
                 .queued_since = kBegin + came,
                 .held_since = kBegin + came + waited,
                 .ended_at = kBegin + came + waited + ran,
                 .reason = "Given back."};
  past.allocations = {{.gpu = GpuId("GPU-0"), .memory = GiB(8)}};
  return past;
}

// Ten each day at nine, for three hours, on a card that takes three.
std::vector<PastClaim> Days(int days) {
  std::vector<PastClaim> past;
  for (int day = 0; day < days; ++day) {
    for (int i = 0; i < 10; ++i) {
      past.push_back(Past(day * 10 + i, kDay * day + kHour * 9, Duration(0), kHour * 3));
    }
  }
  return past;
}

struct House {
  std::vector<PastClaim> past;
  std::vector<Gpu> gpus = {Card(0), Card(1)};
  std::vector<Team> teams;
  std::vector<Pool> pools;
  std::vector<Reservation> reservations;

  PlanAnswer Ask(const PlanQuestion& question) const {
    auto answer = Plan(
        {.past = past, .gpus = gpus, .teams = teams, .pools = pools, .reservations = reservations},
        question,
        {});
    EXPECT_TRUE(answer) << answer.error().message;
    return answer.value_or(PlanAnswer{});
  }
};

TEST(Plan, PutsAnotherFleetBesideTodays) {
  const House house{.past = Days(21)};
  const PlanAnswer answer = house.Ask({.fleet = "2x80GiB", .price = 1.5});
  EXPECT_TRUE(answer.history.enough) << answer.history.why;
  EXPECT_FALSE(answer.synthetic);
  EXPECT_THAT(answer.load, HasSubstr("As it was"));
  ASSERT_TRUE(answer.today && answer.planned);
  // Today six run at once; four wait three hours. On the larger cards all ten run at once.
  EXPECT_EQ(answer.today->fleet.text, "2x24GiB");
  EXPECT_EQ(answer.today->result.wait.waited, 4 * 21);
  EXPECT_DOUBLE_EQ(answer.today->result.wait.p95_s, 3 * 3600);
  EXPECT_EQ(answer.planned->fleet.text, "2x80GiB");
  EXPECT_EQ(house.Ask({.fleet = "1x8GiB,2*2x24GiB"}).planned->fleet.text, "1x8GiB,2*2x24GiB");
  EXPECT_EQ(answer.planned->result.wait.waited, 0);
  ASSERT_TRUE(answer.today->cost && answer.planned->cost);
  // Two cards from the first morning to the last evening; each claim holds a third of a card.
  EXPECT_DOUBLE_EQ(answer.today->cost->card_hours, 2 * (20 * 24 + 6));
  EXPECT_DOUBLE_EQ(answer.today->cost->total, 1.5 * 2 * (20 * 24 + 6));
  EXPECT_NEAR(answer.today->cost->per_useful_hour, 1.5 * 2 * (20 * 24 + 6) / 210.0, 0.01);
  EXPECT_GT(answer.planned->cost->per_useful_hour, answer.today->cost->per_useful_hour);
}

// Six find room at once where shares may lie on two cards, three where they may lie on one; also
// when another policy is asked for.
TEST(Plan, KeepsToThePoolsCeiling) {
  const std::vector<PastClaim> past = Days(21);
  const std::vector<Gpu> gpus = {Card(0), Card(1)};
  PlanInput input{.past = past, .gpus = gpus};
  const auto waited = [&] {
    const auto answer = Plan(input, {.policy = PlacementPolicy::kBestFit}, {});
    return std::pair(answer->today->result.wait.waited, answer->planned->result.wait.waited);
  };
  EXPECT_EQ(waited(), (std::pair<int64_t, int64_t>(4 * 21, 4 * 21)));
  input.placement.bounds.ceiling = 1;
  EXPECT_EQ(waited(), (std::pair<int64_t, int64_t>(7 * 21, 7 * 21)));
}

TEST(Plan, SaysHowManyDaysAreMissing) {
  const PlanAnswer few = House{.past = Days(4)}.Ask({});
  EXPECT_FALSE(few.history.enough);
  EXPECT_FALSE(few.today || few.planned);
  EXPECT_NEAR(few.history.days, 3.125, 1e-9);
  EXPECT_NEAR(few.history.days_missing, kPlanDaysNeeded - 3.125, 1e-9);
  EXPECT_THAT(few.history.why, HasSubstr("10.9 are missing"));
  std::vector<PastClaim> rare = Days(1);
  rare.push_back(Past(99, kDay * 30, Duration(0), kHour));
  EXPECT_THAT((House{.past = rare}.Ask({}).history.why), HasSubstr("11 claims have ended here"));
  EXPECT_THAT(House{}.Ask({.synthetic = true}).history.why, HasSubstr("No claim has ended"));
}

TEST(Plan, DrawsDaysWhereItMayAndSaysSo) {
  const House house{.past = Days(4)};
  const PlanAnswer answer = house.Ask({.synthetic = true});
  EXPECT_TRUE(answer.synthetic);
  EXPECT_THAT(answer.load, HasSubstr("Synthetic: 14 days drawn from the 3.1"));
  ASSERT_TRUE(answer.today);
  EXPECT_EQ(answer.claims, 14 * 10);
  EXPECT_EQ(ToJson(answer).dump(), ToJson(house.Ask({.synthetic = true})).dump());
}

TEST(Plan, GrowsTheLoadForBothFleetsAlike) {
  const House house{.past = Days(21)};
  const PlanAnswer answer = house.Ask({.fleet = "1x24GiB", .growth_pct = 150});
  EXPECT_TRUE(answer.synthetic);
  EXPECT_THAT(answer.load, HasSubstr("Synthetic"));
  EXPECT_NEAR(static_cast<double>(answer.claims), 315, 40);
  EXPECT_EQ(answer.today->result.claims, answer.planned->result.claims);
  EXPECT_EQ(answer.today->result.starts, answer.claims);
}

TEST(Plan, AsksForAnotherShare) {
  const PlanAnswer answer = House{.past = Days(21)}.Ask({.share = GiB(4)});
  EXPECT_EQ(answer.planned->result.wait.waited, 0);
  EXPECT_EQ(answer.planned->result.wait_by_size.begin()->first, "4 GiB");
  const PlanAnswer large = House{.past = Days(21)}.Ask({.share = GiB(40)});
  EXPECT_EQ(large.planned->result.refused, 210);
  ASSERT_EQ(large.planned->refused_why.size(), 1U);
  EXPECT_THAT(large.planned->refused_why.begin()->first, HasSubstr("the largest has 24 GiB"));
}

TEST(Plan, EndsWhatWasIdleForLonger) {
  House house{.past = Days(21)};
  for (PastClaim& past : house.past) past.idle_for = kHour * 2;
  house.past[0].idle_for = Duration(0);
  const PlanAnswer answer = house.Ask({.idle = kHour / 2});
  EXPECT_EQ(answer.ended_by_idle, 209);
  // Of three hours each, one and a half are left.
  EXPECT_NEAR(answer.planned->result.gpu_hours_held, answer.today->result.gpu_hours_held / 2, 1);
  EXPECT_LT(answer.planned->result.wait.mean_s, answer.today->result.wait.mean_s);
  EXPECT_EQ(house.Ask({.idle = Duration(0)}).ended_by_idle, 0);
}

TEST(Plan, PlaysAllPartsOfAClaim) {
  House house{.past = Days(21)};
  // The first of each day takes both cards: two more wait than without.
  for (size_t i = 0; i < house.past.size(); i += 10) {
    house.past[i].more = {house.past[i].request};
    house.past[i].more.front().memory = GiB(16);
  }
  const PlanAnswer answer = house.Ask({.fleet = "3x24GiB"});
  EXPECT_EQ(answer.in_parts, 21);
  EXPECT_EQ(answer.today->result.wait.waited, 6 * 21);
  EXPECT_EQ(answer.today->result.wait_by_size.count("8 GiB, the first of 2 parts"), 1U);
  EXPECT_EQ(answer.planned->result.wait.waited, 3 * 21);
}

TEST(Plan, AsksForAnotherOvercommit) {
  House house{.past = Days(21)};
  for (PastClaim& past : house.past) past.request.guarantee = ComputeMillis(500);
  house.pools = {{.id = PoolId("shared"), .name = "Shared"}};
  const PlanAnswer answer = house.Ask({.overcommit_pct = 150});
  EXPECT_EQ(answer.today->rules.overcommit_pct, 100);
  EXPECT_EQ(answer.planned->rules.overcommit_pct, 150);
  EXPECT_EQ(answer.today->result.wait.waited, 6 * 21);    // Two on each card…
  EXPECT_EQ(answer.planned->result.wait.waited, 4 * 21);  // …or three.
  house.pools[0].compute_overcommit_percent = 150;
  EXPECT_EQ(house.Ask({}).today->result.wait.waited, 4 * 21);
}

TEST(Plan, AsksForAnotherRuleOfWhoGivesWay) {
  House house{.past = Days(21)};
  for (size_t i = 0; i < house.past.size(); ++i) {
    house.past[i].request.priority = i % 10 == 9 ? 5 : 0;  // The last of each day, who waits.
    house.past[i].user = UserId("usr_" + std::to_string(i % 10));
  }
  // An hour later, so that the others sit by then.
  for (size_t i = 9; i < house.past.size(); i += 10) {
    house.past[i].queued_since += kHour;
    house.past[i].held_since += kHour;
    house.past[i].ended_at += kHour;
  }
  const PlanAnswer answer = house.Ask({.preempt = PreemptRule::kLowerPriority});
  EXPECT_EQ(answer.today->result.gave_way, 0);
  EXPECT_EQ(answer.planned->result.gave_way, 21);
  EXPECT_EQ(answer.planned->result.starts_again, 21);
  EXPECT_EQ(answer.planned->rules.preempt, PreemptRule::kLowerPriority);
  EXPECT_EQ(ToJson(answer)["planned"]["gave_way"], 21);
  // Commands lose their work, so they are left alone.
  for (PastClaim& past : house.past) past.owner_kind = ClaimOwner::kRun;
  EXPECT_EQ(house.Ask({.preempt = PreemptRule::kLowerPriority}).planned->result.gave_way, 0);
}

TEST(Plan, PlaysTheReservationsOfTheTime) {
  House house{.past = Days(21)};
  const Reservation all_day{.id = ReservationId("rsv_1"),
                            .team = TeamId("course"),
                            .pool = PoolId("gone"),
                            .count = 2,
                            .starts_at = kBegin + kHour * 8,
                            .ends_at = kBegin + kHour * 20,
                            .created_at = kBegin};
  Reservation later = all_day;  // After all of it.
  later.starts_at += kDay * 100;
  later.ends_at += kDay * 100;
  later.created_at = later.starts_at;
  house.reservations = {all_day, later};
  const PlanAnswer answer = house.Ask({.fleet = "2x24GiB"});
  EXPECT_EQ(answer.reservations, 1);
  EXPECT_EQ(ToJson(answer)["load"]["reservations"], 1);
  // Of the first day all wait until it is over; a pool that is not there means any.
  for (const auto& run : {answer.today, answer.planned}) {
    EXPECT_EQ(run->result.wait.waited, 10 + 4 * 20);
  }
  const PlanAnswer drawn =
      House{.past = Days(4), .reservations = house.reservations}.Ask({.synthetic = true});
  EXPECT_EQ(drawn.reservations, 0);
}

TEST(Plan, JoinsWhatADesktopGotInPieces) {
  House house{.past = Days(21)};
  PastClaim piece = Past(5'000, kDay + kHour, Duration(0), kHour);
  piece.desktop = DesktopId("dsk_1");
  piece.gave_way = true;
  PastClaim rest = Past(5'001, kDay + kHour * 2, kHour, kHour);
  rest.desktop = piece.desktop;
  PastClaim other = rest;  // Somebody started it again, much later.
  other.id = ClaimId("clm_05002");
  other.queued_since += kHour * 3;
  other.held_since += kHour * 3;
  other.ended_at += kHour * 3;
  house.past.insert(house.past.end(), {piece, rest, other});
  const PlanAnswer answer = house.Ask({});
  EXPECT_EQ(answer.claims, 212);
  // It is alone, so that it runs for both pieces at once.
  EXPECT_NEAR(answer.today->result.gpu_hours_held, (210 * 3 + 2 + 1) / 3.0, 1);
}

TEST(Plan, LetsClaimsForAbsentCardsTakeAny) {
  House house{.past = Days(21)};
  house.past[0].request.gpu_model = "NVIDIA A10";
  house.past[1].request.only = {GpuId("GPU-1")};
  const PlanAnswer answer = house.Ask({.fleet = "2x48GiB"});
  EXPECT_EQ(answer.any_card, 2);
  EXPECT_EQ(answer.planned->result.refused, 0);
  EXPECT_EQ(house.Ask({}).any_card, 0);
}

TEST(Plan, LeavesOutWhatNeverHeldCards) {
  House house{.past = Days(21)};
  house.past.push_back(Past(9999, kDay, Duration(0), kHour));
  house.past.back().allocations.clear();
  house.past.push_back(Past(9998, kDay, Duration(0), -kHour));
  const PlanAnswer answer = house.Ask({});
  EXPECT_EQ(answer.history.never_held, 2);
  EXPECT_EQ(answer.claims, 210);
}

TEST(Plan, DoesNotDependOnTheOrderOfRows) {
  House house{.past = Days(21)};
  const std::string once = ToJson(house.Ask({.growth_pct = 130})).dump();
  std::ranges::reverse(house.past);
  std::ranges::reverse(house.gpus);
  EXPECT_EQ(ToJson(house.Ask({.growth_pct = 130})).dump(), once);
}

TEST(Plan, GivesUpOnAQueueWithoutEnd) {
  const House house{.past = Days(21)};
  const PlanAnswer answer =
      house.Ask({.fleet = "1x8GiB", .growth_pct = 1000, .looks_max = 100'000});
  EXPECT_TRUE(answer.planned->result.cut_short);
  EXPECT_EQ(ToJson(answer)["planned"]["cut_short"], true);
  const auto refused =
      Plan({.past = house.past, .gpus = house.gpus}, {.growth_pct = 100'000'000}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
}

TEST(ParseFleet, ReadsMachinesAndPrices) {
  const auto many = ParseFleet("3*2x24GiB@0.5", 0);
  ASSERT_TRUE(many);
  EXPECT_EQ(many->cards.size(), 6U);
  EXPECT_NE(many->cards[1].node, many->cards[2].node);
  EXPECT_DOUBLE_EQ(many->price_per_hour, 3);
  const auto fleet = ParseFleet("4x24GiB,2x80GiB@1.20", 0.5);
  ASSERT_TRUE(fleet);
  EXPECT_EQ(fleet->cards.size(), 6U);
  EXPECT_EQ(fleet->cards[0].node, fleet->cards[3].node);
  EXPECT_NE(fleet->cards[3].node, fleet->cards[4].node);
  EXPECT_EQ(fleet->cards[4].memory, GiB(80));
  EXPECT_DOUBLE_EQ(fleet->price_per_hour, 4 * 0.5 + 2 * 1.2);
  EXPECT_TRUE(fleet->priced);
  EXPECT_FALSE(ParseFleet("1x24GiB", 0)->priced);
}

TEST(ParseFleet, RefusesWhatIsNoFleet) {
  for (const char* text : {"",
                           ",",
                           "4",
                           "x24GiB",
                           "4x",
                           "0x24GiB",
                           "-1x24GiB",
                           "4x24GB",
                           "4x24GiB,",
                           "4x24GiB@",
                           "4x24GiB@nan",
                           "4x24GiB@-1",
                           "4x24GiB@1e99",
                           "4x2000GiB",
                           "4 x24GiB",
                           "4x24GiB;",
                           "99999999999x1GiB",
                           "2001x1GiB",
                           "0*1x1GiB",
                           "*1x1GiB",
                           "2**1x1GiB",
                           "1001*2x1GiB",
                           "-2*1x1GiB",
                           "4@1x24GiB"}) {
    const auto fleet = ParseFleet(text, 1);
    ASSERT_FALSE(fleet) << text;
    EXPECT_EQ(fleet.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sluice::sim
