// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "scheduler/drawn_for_tests.h"
#include "scheduler/queue.h"

// Random fleets and requests against what must always hold, with an oracle that counts afresh. A
// failure names its seed; SLUICE_SEED=seed runs it alone.
namespace sluice::scheduler {
namespace {

constexpr uint64_t kSeeds = 3'000;

// By any policy, with expectations that may be of no use at all.
PlacementRules SomeRules(Dice& dice) {
  PlacementRules rules{.policy = static_cast<PlacementPolicy>(dice.Roll(5))};
  for (int i = dice.Roll(4); i > 0; --i) {
    rules.expected.push_back({Ask(MiB(256 * (1 + dice.Roll(40)))), 1 + dice.Roll(9)});
  }
  for (int i = dice.Roll(9); i > 0 && !rules.expected.empty(); --i) {
    const size_t which = static_cast<size_t>(dice.Roll(4)) % rules.expected.size();
    rules.berths.push_back(
        {GpuId("g" + std::to_string(1 + dice.Roll(7))), rules.expected[which].request});
  }
  return rules;
}

// Beside the bounds that it has.
void GiveRules(Dice& dice, Snapshot& fleet) {
  const CardBounds bounds = fleet.rules.bounds;
  fleet.rules = SomeRules(dice);
  fleet.rules.bounds = bounds;
}

TEST(DecideProperty, AnswersAsCountingDoesByEveryPolicy) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    Snapshot fleet = SomeFleet(dice);
    GiveRules(dice, fleet);
    const ClaimRequest request = SomeRequest(dice);
    const Decision decision = Decide(fleet, request);
    EXPECT_EQ(std::holds_alternative<Placed>(decision), Fits(fleet, request));
    EXPECT_EQ(std::holds_alternative<Never>(decision),
              !Fits(fleet, request) && !Fits(Emptied(fleet), request));
    if (const auto* placed = std::get_if<Placed>(&decision)) ExpectSound(fleet, request, *placed);
  });
}

TEST(DecideProperty, LeavesTheLeastRoomOnTheFirstCard) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    const Snapshot fleet = SomeFleet(dice);
    ClaimRequest request = SomeRequest(dice);
    request.count = 1;
    const Decision decision = Decide(fleet, request);
    const auto* placed = std::get_if<Placed>(&decision);
    if (placed == nullptr) return;
    const Bytes free = MemoryFree(CardOf(fleet, placed->allocations[0].gpu));
    for (const Gpu& gpu : fleet.gpus) {
      const bool closed = gpu.shares.empty() && IdleLeft(fleet, request) == 0;
      if (!OneFits(gpu, request) || closed) continue;
      EXPECT_LE(free, MemoryFree(gpu));
    }
  });
}

TEST(DecideProperty, DoesNotDependOnTheOrderOfTheCards) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    Snapshot fleet = SomeFleet(dice);
    GiveRules(dice, fleet);
    const ClaimRequest request = SomeRequest(dice);
    const std::string said = Say(Decide(fleet, request));
    std::ranges::reverse(fleet.gpus);
    EXPECT_EQ(Say(Decide(fleet, request)), said);
  });
}

TEST(DecideProperty, NamesAsPossibleExactlyWhatTheEmptyFleetGives) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    const Snapshot fleet = SomeFleet(dice);
    ClaimRequest request = SomeRequest(dice);
    const Decision decision = Decide(fleet, request);
    const auto* never = std::get_if<Never>(&decision);
    if (never == nullptr || never->largest_possible == Bytes(0)) return;
    request.memory = never->largest_possible;
    EXPECT_TRUE(Fits(Emptied(fleet), request));
    request.memory += Bytes(1);
    EXPECT_FALSE(Fits(Emptied(fleet), request));
  });
}

TEST(DecideProperty, IsExplainedByTheSameCards) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    const Snapshot fleet = SomeFleet(dice);
    const ClaimRequest request = SomeRequest(dice);
    const Explanation why = Explain(fleet, request);
    EXPECT_EQ(why.fits, std::holds_alternative<Placed>(Decide(fleet, request)));
    EXPECT_EQ(why.count, static_cast<int64_t>(fleet.gpus.size()));
    for (const Alternative& other : why.alternatives) {
      ClaimRequest instead = request;
      instead.memory = other.demand.memory;
      instead.guarantee = other.demand.guarantee;
      instead.count = other.demand.count;
      instead.gpu_model = other.demand.models.empty() ? "" : other.demand.models[0];
      EXPECT_TRUE(Fits(fleet, instead)) << other.words;
    }
  });
}

TEST(DecideProperty, AlwaysSaysWhyInOneLineWithTheNeed) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    const Decision decision = Decide(SomeFleet(dice), SomeRequest(dice));
    if (std::holds_alternative<Placed>(decision)) return;
    const std::string said = Say(decision);
    EXPECT_EQ(said.find('\n'), std::string::npos);
    EXPECT_EQ(said.find("  "), std::string::npos) << said;
    EXPECT_TRUE(said.find("needs ") != std::string::npos || said.find("here") != std::string::npos)
        << said;
  });
}

std::vector<Waiting> SomeQueue(Dice& dice) {
  std::vector<Waiting> waiting;
  for (int i = dice.Roll(8); i > 0; --i) {
    waiting.push_back({.id = ClaimId("c" + std::to_string(i)),
                       .request = SomeRequest(dice),
                       .queued_since = TimePoint(Duration(dice.Roll(4)))});
  }
  return waiting;
}

std::vector<QueueAnswer> WalkIn(const Snapshot& fleet, const std::vector<Waiting>& waiting) {
  return WalkQueue({.snapshot = fleet, .waiting = waiting, .rules = {.aging = Duration(0)}});
}

// By priority, then time, then id.
std::vector<ClaimId> OrderOf(std::vector<Waiting> waiting) {
  std::ranges::sort(waiting, {}, [](const Waiting& one) {
    return std::tuple(-one.request.priority, one.queued_since, one.id);
  });
  std::vector<ClaimId> ids;
  for (const Waiting& one : waiting) ids.push_back(one.id);
  return ids;
}

TEST(WalkQueueProperty, NeverPromisesACardTwice) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    Snapshot fleet = SomeFleet(dice);
    GiveRules(dice, fleet);
    const std::vector<Waiting> waiting = SomeQueue(dice);
    Snapshot after = fleet;
    const std::vector<QueueAnswer> answers = WalkIn(fleet, waiting);
    ASSERT_EQ(answers.size(), waiting.size());
    const std::vector<ClaimId> order = OrderOf(waiting);
    int position = 0;
    for (size_t i = 0; i < answers.size(); ++i) {
      EXPECT_EQ(answers[i].id, order[i]);
      const auto& request = std::ranges::find(waiting, answers[i].id, &Waiting::id)->request;
      const auto* placed = std::get_if<Placed>(&answers[i].decision);
      if (placed != nullptr) {
        ExpectSound(after, request, *placed);
        Apply(after, answers[i].id, *placed);
      }
      const bool never = std::holds_alternative<Never>(answers[i].decision);
      EXPECT_EQ(never,
                placed == nullptr && !Fits(after, request) && !Fits(Emptied(fleet), request));
      EXPECT_EQ(answers[i].position, placed != nullptr || never ? 0 : ++position);
    }
  });
}

// What is placed where, who waits at which position and until when, words apart.
std::vector<std::string> Bones(const std::vector<QueueAnswer>& answers) {
  std::vector<std::string> bones;
  for (const QueueAnswer& answer : answers) {
    std::string bone = answer.id.text() + " " + std::to_string(answer.position) + " " +
                       std::to_string(answer.decision.index());
    if (answer.promised)
      bone += " by " + std::to_string(answer.promised->time_since_epoch().count());
    if (const auto* placed = std::get_if<Placed>(&answer.decision)) {
      for (const Allocation& a : placed->allocations) bone += " " + a.gpu.text();
    }
    bones.push_back(bone);
  }
  return bones;
}

TEST(WalkQueueProperty, DecidesTheSameWithoutWords) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    Snapshot fleet = SomeFleet(dice);
    GiveRules(dice, fleet);
    std::vector<Waiting> waiting = SomeQueue(dice);
    for (Waiting& one : waiting) one.run_for = Duration(dice.Roll(3) * 1000);
    std::vector<Holder> holders;
    for (const Gpu& gpu : fleet.gpus) {
      for (const Share& share : gpu.shares) {
        const TimePoint due(Duration(dice.Roll(3) * 2000));
        holders.push_back({.claim = share.claim, .ends_at = due});
      }
    }
    QueueInput input{.snapshot = fleet, .waiting = waiting, .holders = holders};
    const auto with_words = Bones(WalkQueue(input));
    input.words = false;
    EXPECT_EQ(Bones(WalkQueue(input)), with_words);
  });
}

TEST(WalkQueueProperty, MakesTheHeadNeverWaitLongerForWhoComesLater) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    const Snapshot fleet = SomeFleet(dice);
    const ClaimRequest head = SomeRequest(dice);
    std::vector<Waiting> waiting = SomeQueue(dice);
    for (Waiting& later : waiting) later.request.priority = head.priority - 1;
    waiting.push_back({.id = ClaimId("head"), .request = head});
    Snapshot after = fleet;
    for (const QueueAnswer& answer : WalkIn(fleet, waiting)) {
      const auto* placed = std::get_if<Placed>(&answer.decision);
      if (placed != nullptr) Apply(after, answer.id, *placed);
    }
    // When everybody who holds something now ends, and those just placed stay, the head must fit.
    for (Gpu& gpu : after.gpus) {
      std::erase_if(gpu.shares, [](const Share& share) { return share.claim.text()[0] == 'g'; });
    }
    Snapshot in_service = fleet;
    for (Gpu& gpu : in_service.gpus) gpu.shares.clear();
    if (!Fits(in_service, head)) return;  // Waits for a card to come back.
    const auto placed_now = std::ranges::any_of(after.gpus, [](const Gpu& gpu) {
      return std::ranges::any_of(gpu.shares,
                                 [](const Share& share) { return share.claim.text() == "head"; });
    });
    EXPECT_TRUE(placed_now || Fits(after, head));
  });
}

// A stream of small claims that each fill what is free, and one large one among them.
TEST(WalkQueueProperty, StarvesNoLargeClaimInAStreamOfSmallOnes) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Dice dice(seed);
    Snapshot fleet{{Card("a", 24_GiB), Card("b", 24_GiB)}};
    std::vector<Waiting> waiting = {
        {.id = ClaimId("large"), .request = Ask(20_GiB), .queued_since = TimePoint(Duration(30))}};
    bool placed = false;
    int step = 0;
    for (; step < 400 && !placed; ++step) {
      waiting.push_back({.id = ClaimId("s" + std::to_string(step)),
                         .request = Ask(GiB(1 + dice.Roll(6))),
                         .queued_since = TimePoint(Duration(step))});
      for (const QueueAnswer& answer : WalkIn(fleet, waiting)) {
        const auto* now = std::get_if<Placed>(&answer.decision);
        if (now == nullptr) continue;
        Apply(fleet, answer.id, *now);
        std::erase_if(waiting, [&](const Waiting& one) { return one.id == answer.id; });
        placed = placed || answer.id.text() == "large";
      }
      // Holders end in a random order, fewer than come.
      Gpu& gpu = fleet.gpus[static_cast<size_t>(dice.Roll(2))];
      if (!gpu.shares.empty() && !dice.OneIn(4)) {
        gpu.shares.erase(gpu.shares.begin() + dice.Roll(static_cast<int>(gpu.shares.size())));
      }
    }
    EXPECT_TRUE(placed) << "after " << step << " steps";
  }
}

// A fleet within some bounds and its queue through virtual time: claims of two teams come, run as
// long as they said, and end when due.
class QueueInTime {
 public:
  explicit QueueInTime(Dice& dice) : dice_(dice) {
    for (int i = 1 + dice.Roll(3); i > 0; --i) {
      fleet_.gpus.push_back(On("n1", Card("g" + std::to_string(i), 24_GiB)));
    }
    fleet_.rules.bounds = SomeBounds(dice, static_cast<int>(fleet_.gpus.size()));
    teams_ = {{.id = TeamId("a"), .name = "a", .memory_guaranteed = 8_GiB, .memory_max = 24_GiB},
              {.id = TeamId("b"), .name = "b", .memory_guaranteed = 4_GiB}};
  }

  void Step() {
    now_ += Duration(1);
    EndWhoIsDue();
    if (!dice_.OneIn(3)) Come();
    const auto answers = WalkQueue({.snapshot = fleet_,
                                    .waiting = waiting_,
                                    .holders = holders_,
                                    .teams = teams_,
                                    .now = now_,
                                    .rules = {.aging = Duration(20)}});
    head_seen_ = false;
    for (const QueueAnswer& answer : answers) Note(answer);
    for (const Team& team : teams_) {
      if (team.memory_max > Bytes(0)) {
        EXPECT_LE(HeldBy(team.id), team.memory_max);
      }
    }
  }

  int kept() const { return kept_; }

 private:
  void Come() {
    ClaimRequest request = Ask(GiB(1 + dice_.Roll(dice_.OneIn(5) ? 24 : 8)));
    // Whole cards count for a team by what they have: as much as is asked for here.
    if (dice_.OneIn(5)) request = {.memory = 24_GiB, .whole = true};
    request.count = dice_.OneIn(6) ? 2 : 1;
    const Waiting one{.id = ClaimId("c" + std::to_string(++came_)),
                      .request = request,
                      .queued_since = now_,
                      .team = TeamId(dice_.OneIn(2) ? "a" : "b"),
                      .run_for = Duration(1 + dice_.Roll(12))};
    waiting_.push_back(one);
  }

  void EndWhoIsDue() {
    for (const Holder& holder : holders_) {
      if (holder.ends_at > now_) continue;
      for (Gpu& gpu : fleet_.gpus) {
        std::erase_if(gpu.shares, [&](const Share& s) { return s.claim == holder.claim; });
      }
    }
    std::erase_if(holders_, [&](const Holder& holder) { return holder.ends_at <= now_; });
  }

  void Note(const QueueAnswer& answer) {
    const auto* placed = std::get_if<Placed>(&answer.decision);
    if (placed == nullptr) {
      NotePromise(answer);
      return;
    }
    const auto one = std::ranges::find(waiting_, answer.id, &Waiting::id);
    ExpectSound(fleet_, one->request, *placed);
    Apply(fleet_, answer.id, *placed);
    if (answer.id == head_) {
      EXPECT_LE(now_, promised_) << answer.id.text();
      ++kept_;
    } else if (!head_seen_) {
      head_ = ClaimId();  // Somebody whose turn was before the head's came in between.
    }
    holders_.push_back({answer.id, one->team, now_ + one->run_for});
    waiting_.erase(one);
  }

  void NotePromise(const QueueAnswer& answer) {
    if (answer.over_quota || std::holds_alternative<Never>(answer.decision) || head_seen_) return;
    head_seen_ = true;
    if (!answer.promised) {
      head_ = ClaimId();
      return;
    }
    EXPECT_TRUE(answer.id != head_ || *answer.promised <= promised_)
        << answer.id.text() << " was promised an earlier time";
    head_ = answer.id;
    promised_ = *answer.promised;
  }

  Bytes HeldBy(const TeamId& team) const {
    Bytes sum;
    for (const Gpu& gpu : fleet_.gpus) {
      for (const Share& share : gpu.shares) {
        const auto holder = std::ranges::find(holders_, share.claim, &Holder::claim);
        if (holder != holders_.end() && holder->team == team) sum += share.memory;
      }
    }
    return sum;
  }

  Dice& dice_;
  Snapshot fleet_;
  std::vector<Team> teams_;
  std::vector<Waiting> waiting_;
  std::vector<Holder> holders_;
  ClaimId head_;  // The one that has a promise.
  TimePoint promised_;
  bool head_seen_ = false;  // In this walk.
  int kept_ = 0;
  TimePoint now_;
  int came_ = 0;
};

TEST(WalkQueueProperty, KeepsItsPromisesAndEveryLimitThroughTime) {
  int kept = 0;
  ForEverySeed(kSeeds, [&](Dice& dice) {
    QueueInTime queue(dice);
    for (int step = 0; step < 30 && !testing::Test::HasFailure(); ++step) queue.Step();
    kept += queue.kept();
  });
  EXPECT_TRUE(kept > 0 || std::getenv("SLUICE_SEED") != nullptr)
      << "nobody was promised anything, so nothing was shown";
}

TEST(NextLikelyProperty, IsTheFirstMomentAtWhichCountingFits) {
  ForEverySeed(kSeeds, [](Dice& dice) {
    Snapshot fleet = SomeFleet(dice);
    const ClaimRequest request = SomeRequest(dice);
    std::vector<Holder> holders;
    for (const Gpu& gpu : fleet.gpus) {
      for (const Share& share : gpu.shares) {
        holders.push_back({.claim = share.claim, .ends_at = TimePoint(Duration(dice.Roll(6)))});
      }
    }
    const auto likely = NextLikely(fleet, request, holders);
    std::optional<TimePoint> expected;
    if (Fits(fleet, request)) {
      EXPECT_EQ(likely, std::nullopt);
      return;
    }
    for (int ms = 1; ms < 6 && !expected; ++ms) {
      for (const Holder& holder : holders) {
        if (holder.ends_at != TimePoint(Duration(ms))) continue;
        for (Gpu& gpu : fleet.gpus) {
          std::erase_if(gpu.shares, [&](const Share& s) { return s.claim == holder.claim; });
        }
      }
      if (Fits(fleet, request)) expected = TimePoint(Duration(ms));
    }
    EXPECT_EQ(likely, expected);
  });
}

}  // namespace
}  // namespace sluice::scheduler
