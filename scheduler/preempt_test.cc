// SPDX-License-Identifier: Apache-2.0
#include "scheduler/preempt.h"

#include <gtest/gtest.h>

#include "scheduler/drawn_for_tests.h"

namespace sluice::scheduler {
namespace {

constexpr Duration kMinute{60'000};
constexpr TimePoint kNow{Duration(100 * 60'000)};

// Cards, who holds them and who waits.
struct Scene {
  Snapshot fleet;
  std::vector<Waiting> waiting;
  std::vector<Holder> holders;
  std::vector<Team> teams;

  QueueInput Input() const {
    return {.snapshot = fleet,
            .waiting = waiting,
            .holders = holders,
            .teams = teams,
            .now = kNow,
            .rules = {.aging = Duration(0)}};
  }
  std::optional<Preemption> Plan(const PreemptLimits& limits = {}) const {
    return PlanPreemption(Input(), WalkQueue(Input()), limits);
  }
};

// The holder of the share of that name that `Card` makes.
Holder Of(const std::string& claim, const std::string& team, PreemptRule rule, int priority = 0) {
  return {.claim = ClaimId(claim),
          .team = TeamId(team),
          .held_since = kNow - kMinute,
          .user = UserId("of-" + claim),
          .priority = priority,
          .preempt = rule,
          .notice = 5 * kMinute};
}

Waiting Wants(const std::string& team, ClaimRequest request, int priority = 0) {
  request.priority = priority;
  return {.id = ClaimId("first"), .request = std::move(request), .team = TeamId(team)};
}

Team Guaranteed(const std::string& id, Bytes memory) {
  return {.id = TeamId(id), .name = id, .memory_guaranteed = memory};
}

std::string Say(const std::optional<Preemption>& plan) {
  if (!plan) return "nobody";
  std::string said;
  for (const ClaimId& victim : plan->victims) said += victim.text() + " ";
  said += "for " + plan->claim.text() + " on";
  for (const Allocation& allocation : plan->placement) said += " " + allocation.gpu.text();
  return said;
}

using enum PreemptRule;

TEST(Preempt, EndsTheLowerPriorityWhereTheRuleSaysSo) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {20_GiB})}}, .waiting = {Wants("", Ask(8_GiB), 1)}};
  for (const PreemptRule rule : {kNever, kBorrowed}) {
    scene.holders = {Of("a-0", "", rule)};
    EXPECT_EQ(Say(scene.Plan()), "nobody");
  }
  scene.holders = {Of("a-0", "", kLowerPriority)};
  EXPECT_EQ(Say(scene.Plan()), "a-0 for first on a");
  EXPECT_EQ(scene.Plan()->until, kNow + 5 * kMinute);
  scene.holders[0].priority = 1;
  EXPECT_EQ(Say(scene.Plan()), "nobody");
}

TEST(Preempt, EndsWhatIsBorrowedForWhatIsGuaranteed) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB, 12_GiB})}},
              .waiting = {Wants("owns", Ask(8_GiB))},
              .holders = {Of("a-0", "lent", kBorrowed, 9), Of("a-1", "lent", kBorrowed)},
              .teams = {Guaranteed("owns", 8_GiB), Guaranteed("lent", 12_GiB)}};
  EXPECT_EQ(Say(scene.Plan()), "a-1 for first on a");
  scene.waiting[0].request.memory = 9_GiB;  // More than is guaranteed.
  EXPECT_EQ(Say(scene.Plan()), "nobody");
}

TEST(Preempt, LeavesATeamWhatItIsGuaranteed) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB, 12_GiB})}},
              .waiting = {Wants("owns", Ask(20_GiB), 7)},
              .holders = {Of("a-0", "lent", kLowerPriority), Of("a-1", "lent", kLowerPriority)},
              .teams = {Guaranteed("owns", 24_GiB), Guaranteed("lent", 12_GiB)}};
  EXPECT_EQ(Say(scene.Plan()), "nobody");  // Both would have to go.
  scene.teams[1].memory_guaranteed = 11_GiB;
  EXPECT_EQ(Say(scene.Plan()), "a-0 a-1 for first on a");
}

TEST(Preempt, LetsATeamOrderItsOwnClaimsByPriority) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {24_GiB})}},
              .waiting = {Wants("one", Ask(8_GiB), 1)},
              .holders = {Of("a-0", "one", kLowerPriority)},
              .teams = {Guaranteed("one", 24_GiB)}};
  EXPECT_EQ(Say(scene.Plan()), "a-0 for first on a");
}

TEST(Preempt, TakesTheLowestPriorityThenTheMostBorrowingThenTheLeastWork) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {24_GiB}),
                         Card("b", 24_GiB, {24_GiB}),
                         Card("c", 24_GiB, {24_GiB})}},
              .waiting = {Wants("", Ask(8_GiB), 5)},
              .holders = {Of("a-0", "x", kLowerPriority, 1),
                          Of("b-0", "x", kLowerPriority, 2),
                          Of("c-0", "y", kLowerPriority, 1)},
              .teams = {Guaranteed("x", 0_GiB), Guaranteed("y", 0_GiB)}};
  EXPECT_EQ(Say(scene.Plan()), "a-0 for first on a");  // x borrows 48 GiB, y 24.
  scene.teams[0].memory_guaranteed = 30_GiB;
  EXPECT_EQ(Say(scene.Plan()), "c-0 for first on c");
  scene.holders[0].priority = 0;
  EXPECT_EQ(Say(scene.Plan()), "a-0 for first on a");
  scene.holders[1].priority = 0;
  scene.holders[0].held_since = kNow - 2 * kMinute;
  EXPECT_EQ(Say(scene.Plan()), "b-0 for first on b");
}

TEST(Preempt, DisturbsOnePersonRatherThanTwo) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB, 12_GiB}), Card("b", 24_GiB, {24_GiB})}},
              .waiting = {Wants("", Ask(24_GiB), 1)},
              .holders = {Of("a-0", "", kLowerPriority),
                          Of("a-1", "", kLowerPriority),
                          Of("b-0", "", kLowerPriority)}};
  scene.holders[2].held_since = kNow - 30 * kMinute;
  EXPECT_EQ(Say(scene.Plan()), "b-0 for first on b");
  scene.holders[0].user = scene.holders[1].user;
  EXPECT_EQ(Say(scene.Plan()), "a-0 a-1 for first on a");
}

TEST(Preempt, EndsNobodyForAClaimThatStartsAnyway) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB, 12_GiB})}},
              .waiting = {Wants("", Ask(12_GiB), 1)},
              .holders = {Of("a-0", "", kLowerPriority), Of("a-1", "", kNever)}};
  scene.holders[1].ends_at = kNow + 5 * kMinute;
  EXPECT_EQ(Say(scene.Plan()), "nobody");
  scene.holders[1].ends_at = kNow + 6 * kMinute;
  EXPECT_EQ(Say(scene.Plan()), "a-0 for first on a");
  // Its notice given, it is due, and nobody else has to go.
  scene.holders[0].ends_at = scene.Plan()->until;
  EXPECT_EQ(Say(scene.Plan()), "nobody");
}

TEST(Preempt, HelpsNobodyButTheFirst) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {24_GiB})}},
              .waiting = {Wants("", Ask(8_GiB), 1), Wants("", Ask(8_GiB), 2)},
              .holders = {Of("a-0", "", kLowerPriority, 1)}};
  scene.waiting[1].id = ClaimId("high");
  EXPECT_EQ(Say(scene.Plan()), "a-0 for high on a");
  scene.holders[0].priority = 2;
  EXPECT_EQ(Say(scene.Plan()), "nobody");
}

TEST(Preempt, FreesWholeCardsOfOneMachine) {
  Scene scene{.fleet = {{On("n1", Card("a", 24_GiB, {4_GiB})),
                         On("n1", Card("b", 24_GiB, {4_GiB, 4_GiB})),
                         On("n1", Card("c", 24_GiB, {4_GiB})),
                         On("n2", Card("d", 24_GiB))}},
              .waiting = {Wants("", AskWhole(2), 1)},
              .holders = {Of("a-0", "", kLowerPriority),
                          Of("b-0", "", kLowerPriority),
                          Of("b-1", "", kLowerPriority),
                          Of("c-0", "", kLowerPriority)}};
  EXPECT_EQ(Say(scene.Plan()), "a-0 c-0 for first on a c");
}

Waiting InParts(std::vector<ClaimRequest> parts, int priority) {
  Waiting one = Wants("", parts.front(), priority);
  one.more.assign(parts.begin() + 1, parts.end());
  return one;
}

TEST(Preempt, MakesRoomForAllPartsOrForNone) {
  Scene scene{.fleet = {{On("n1", Card("a", 24_GiB, {20_GiB})),
                         On("n2", Card("b", 24_GiB, {20_GiB})),
                         On("n3", Card("c", 24_GiB))}},
              .waiting = {InParts({Ask(8_GiB), Ask(8_GiB)}, 1)},
              .holders = {Of("a-0", "", kLowerPriority), Of("b-0", "", kLowerPriority)}};
  EXPECT_EQ(Say(scene.Plan()), "a-0 for first on a c");
  scene.waiting = {InParts({Ask(8_GiB), Ask(8_GiB), Ask(8_GiB)}, 1)};
  EXPECT_EQ(Say(scene.Plan()), "a-0 b-0 for first on a b c");
  // One part has no room whoever goes, so that nobody goes for the others.
  scene.holders[1].preempt = kNever;
  EXPECT_EQ(Say(scene.Plan()), "nobody");
  scene.holders[1].preempt = kLowerPriority;
  scene.waiting[0].more.push_back(Ask(8_GiB));
  EXPECT_EQ(Say(scene.Plan()), "nobody");
}

TEST(Preempt, CountsAllPartsForTheGuaranteeOfTheirTeam) {
  Scene scene{.fleet = {{Card("a", 24_GiB, {24_GiB}), Card("b", 24_GiB, {24_GiB})}},
              .waiting = {InParts({Ask(8_GiB), Ask(8_GiB)}, 0)},
              .holders = {Of("a-0", "lent", kBorrowed), Of("b-0", "lent", kBorrowed)},
              .teams = {Guaranteed("owns", 16_GiB), Guaranteed("lent", 0_GiB)}};
  scene.waiting[0].team = TeamId("owns");
  EXPECT_EQ(Say(scene.Plan()), "a-0 b-0 for first on a b");
  scene.teams[0].memory_guaranteed = 15_GiB;
  EXPECT_EQ(Say(scene.Plan()), "nobody");
}

TEST(Preempt, LosesLeastOverAllParts) {
  // The part of 16 GiB fits where one or where two end, the small one beside any of them.
  Scene scene{.fleet = {{Card("a", 24_GiB, {12_GiB, 12_GiB}),
                         Card("b", 24_GiB, {20_GiB}),
                         Card("c", 24_GiB, {22_GiB})}},
              .waiting = {InParts({Ask(4_GiB), Ask(16_GiB)}, 5)},
              .holders = {Of("a-0", "", kLowerPriority, 1),
                          Of("a-1", "", kLowerPriority, 1),
                          Of("b-0", "", kLowerPriority, 2),
                          Of("c-0", "", kLowerPriority, 2)}};
  EXPECT_EQ(Say(scene.Plan()), "a-0 a-1 for first on b a");
  scene.holders[2].priority = 0;
  scene.holders[3].priority = 0;
  EXPECT_EQ(Say(scene.Plan()), "c-0 for first on b c");
  // With hardly any set looked at there is an answer all the same, and everybody in it is needed.
  EXPECT_NE(Say(scene.Plan({.sets_max = 1})), "nobody");
}

// Who may end by its own flag and by what its team is guaranteed, counted afresh.
void ExpectWithinTheRules(const Scene& scene, const Preemption& plan) {
  const Waiting& first = *std::ranges::find(scene.waiting, plan.claim, &Waiting::id);
  std::map<TeamId, int64_t> held;
  std::map<ClaimId, int64_t> memory;
  for (const Gpu& gpu : scene.fleet.gpus) {
    for (const Share& share : gpu.shares) memory[share.claim] += share.memory.value();
  }
  std::set<ClaimId> gone(plan.victims.begin(), plan.victims.end());
  for (const Holder& holder : scene.holders) {
    const bool due = holder.ends_at != TimePoint() && holder.ends_at <= plan.until;
    if (!due && !gone.contains(holder.claim)) held[holder.team] += memory[holder.claim];
  }
  for (const Holder& holder : scene.holders) {
    if (!gone.contains(holder.claim)) continue;
    EXPECT_NE(holder.preempt, kNever);
    EXPECT_TRUE(holder.ends_at == TimePoint() || holder.ends_at > plan.until);
    const auto team = std::ranges::find(scene.teams, holder.team, &Team::id);
    const bool lower = holder.priority < first.request.priority;
    if (holder.team == first.team || holder.preempt == kBorrowed || !lower) {
      EXPECT_TRUE(holder.team != first.team || (lower && holder.preempt == kLowerPriority));
    }
    if (holder.team == first.team || team == scene.teams.end()) continue;
    EXPECT_GT(held[holder.team] + memory[holder.claim], team->memory_guaranteed.value())
        << holder.claim.text() << " was within its guarantee";
  }
}

// The cards when everybody due by then and `gone` have ended.
Snapshot After(const Scene& scene, TimePoint until, const std::set<ClaimId>& gone) {
  Snapshot after = scene.fleet;
  for (const Holder& holder : scene.holders) {
    const bool due = holder.ends_at != TimePoint() && holder.ends_at <= until;
    if (!due && !gone.contains(holder.claim)) continue;
    for (Gpu& gpu : after.gpus) {
      std::erase_if(gpu.shares, [&](const Share& share) { return share.claim == holder.claim; });
    }
  }
  return after;
}

// Whether the queue would start all parts at once. One part alone: counted from the rows.
bool HasRoom(const Snapshot& fleet, const Waiting& one) {
  if (one.more.empty()) return Fits(fleet, one.request);
  const auto answers = WalkQueue({.snapshot = fleet, .waiting = {&one, 1}});
  return std::holds_alternative<Placed>(answers.front().decision);
}

void ExpectSeated(Snapshot fleet, const Waiting& one, const std::vector<Allocation>& placement) {
  std::vector<ClaimRequest> parts{one.request};
  parts.insert(parts.end(), one.more.begin(), one.more.end());
  size_t at = 0;
  std::set<GpuId> cards;
  for (const ClaimRequest& part : parts) {
    const auto count = static_cast<size_t>(part.count);
    ASSERT_GE(placement.size(), at + count);
    const auto first = placement.begin() + static_cast<std::ptrdiff_t>(at);
    const Placed alone{{first, first + part.count}};
    ExpectSound(fleet, part, alone);
    for (const Allocation& allocation : alone.allocations) {
      EXPECT_TRUE(cards.insert(allocation.gpu).second) << "two parts on one card";
    }
    at += count;
  }
  EXPECT_EQ(at, placement.size());
}

Scene SomeScene(Dice& dice) {
  Scene scene{.fleet = SomeFleet(dice)};
  for (const char* team : {"x", "y"}) {
    scene.teams.push_back(Guaranteed(team, GiB(dice.Roll(40))));
  }
  const auto some_team = [&] {
    return TeamId(std::array{"", "x", "y"}[static_cast<size_t>(dice.Roll(3))]);
  };
  for (const Gpu& gpu : scene.fleet.gpus) {
    for (const Share& share : gpu.shares) {
      Holder holder = Of(share.claim.text(), "", static_cast<PreemptRule>(dice.Roll(3)));
      holder.team = some_team();
      holder.priority = dice.Roll(3);
      holder.held_since = kNow - dice.Roll(200) * kMinute;
      holder.user = UserId("u" + std::to_string(dice.Roll(5)));
      holder.notice = dice.Roll(10) * kMinute;
      if (dice.OneIn(5)) holder.ends_at = kNow + dice.Roll(12) * kMinute;
      scene.holders.push_back(holder);
    }
  }
  for (int i = 1 + dice.Roll(3); i > 0; --i) {
    Waiting one{.id = ClaimId("w" + std::to_string(i)), .request = SomeRequest(dice)};
    one.team = some_team();
    one.request.priority = dice.Roll(4);
    for (int more = dice.OneIn(2) ? dice.Roll(3) : 0; more > 0; --more) {
      one.more.push_back(SomeRequest(dice));
    }
    scene.waiting.push_back(one);
  }
  if (dice.OneIn(2)) {  // Parts of what is drawn above hardly ever fit together.
    Waiting& one = scene.waiting.front();
    one.request = Ask(GiB(1 + dice.Roll(16)));
    one.request.priority = 3;
    one.more.assign(1 + static_cast<size_t>(dice.Roll(2)), Ask(GiB(1 + dice.Roll(16))));
    if (dice.OneIn(3)) one.more.front() = AskWhole(1 + dice.Roll(2));
  }
  return scene;
}

TEST(PreemptProperty, EndsOnlyWhomItMayAndNobodyForNothing) {
  int plans = 0;
  int plans_of_parts = 0;
  ForEverySeed(3'000, [&](Dice& dice) {
    Scene scene = SomeScene(dice);
    const PreemptLimits limits{.sets_max = dice.OneIn(4) ? 3 : 100'000};
    const auto plan = scene.Plan(limits);
    if (!plan) return;
    ++plans;
    ASSERT_FALSE(plan->victims.empty());
    ExpectWithinTheRules(scene, *plan);
    for (const QueueAnswer& answer : WalkQueue(scene.Input())) {
      const auto* placed = std::get_if<Placed>(&answer.decision);
      if (placed != nullptr) Apply(scene.fleet, answer.id, *placed);
    }
    const Waiting& first = *std::ranges::find(scene.waiting, plan->claim, &Waiting::id);
    plans_of_parts += first.more.empty() ? 0 : 1;
    const std::set<ClaimId> all(plan->victims.begin(), plan->victims.end());
    ExpectSeated(After(scene, plan->until, all), first, plan->placement);
    EXPECT_FALSE(HasRoom(After(scene, plan->until, {}), first)) << "it would fit anyway";
    for (const ClaimId& victim : plan->victims) {
      std::set<ClaimId> others = all;
      others.erase(victim);
      EXPECT_FALSE(HasRoom(After(scene, plan->until, others), first))
          << victim.text() << " ends for nothing";
    }
  });
  EXPECT_TRUE(plans > 50 || std::getenv("SLUICE_SEED") != nullptr) << plans;
  EXPECT_TRUE(plans_of_parts > 50 || std::getenv("SLUICE_SEED") != nullptr) << plans_of_parts;
}

}  // namespace
}  // namespace sluice::scheduler
