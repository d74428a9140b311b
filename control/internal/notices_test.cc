// SPDX-License-Identifier: Apache-2.0
// Who gives way and who moves, from the notice to the end of it.
#include "control/internal/notices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;
using testing::House;
using enum DesktopState;

constexpr Duration kMinute{60'000};

// One pool whose notice is five minutes, and its cards.
std::unique_ptr<House> HouseWith(PreemptRule rule, std::vector<std::string> cards) {
  auto house = std::make_unique<House>();
  Pool pool{.id = PoolId("shared"), .name = "Shared"};
  pool.preempt = rule;
  EXPECT_TRUE(house->real_store->Commit(std::vector{store::Put(pool, 0)}));
  for (const std::string& card : cards) house->node.AddCard(card, 24_GiB);
  house->Run();
  return house;
}

DesktopId Add(House& house, const std::string& name, Bytes memory, int priority = 0) {
  const DesktopId id = house.AddDesktop(name, memory);
  house.Change(id, [&](Desktop& desktop) {
    desktop.request.priority = priority;
    desktop.owner = UserId("usr_" + name);
  });
  house.Run();
  return id;
}

std::string CardOf(House& house, const DesktopId& id) {
  return house.GetClaim(house.Get(id).claim)->allocations.at(0).gpu.text();
}

std::vector<std::string> Told(House& house) {
  std::vector<std::string> told;
  for (const AuditNote& note : house.audit.notes) {
    if (note.action.starts_with("desktop.notice") || note.action == "desktop.move") {
      told.push_back(note.action);
    }
  }
  return told;
}

using Said = std::vector<std::string>;

TEST(GivingWay, IsOffUnlessThePoolSaysOtherwise) {
  auto house = HouseWith(PreemptRule::kNever, {"GPU-1"});
  const DesktopId low = Add(*house, "low", 20_GiB);
  const DesktopId high = Add(*house, "high", 20_GiB, 5);
  house->Wait(10 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(low), kReady);
  EXPECT_EQ(house->StateOf(high), kQueued);
  EXPECT_EQ(house->Get(low).message, "");
}

TEST(GivingWay, TellsThenStopsAndQueuesAgainWithTheHomeKept) {
  auto house = HouseWith(PreemptRule::kLowerPriority, {"GPU-1"});
  const DesktopId low = Add(*house, "low", 20_GiB);
  const DesktopId high = Add(*house, "high", 20_GiB, 5);
  EXPECT_EQ(house->StateOf(low), kReady);
  EXPECT_THAT(house->Get(low).message, HasSubstr("Save your work."));
  EXPECT_EQ(house->Get(low).message_from, MessageSender::kSystem);
  EXPECT_EQ(Told(*house), (Said{"desktop.notice"}));
  // The first in the queue has its promise: the end of the notice.
  const auto place = house->control().PlaceInQueue(house->Get(high).claim);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->next_likely, house->clock.Now() + 5 * kMinute);

  house->Wait(4 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(low), kReady);
  house->Wait(2 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(high), kReady);
  EXPECT_EQ(house->StateOf(low), kQueued);
  EXPECT_EQ(house->Get(low).desired, DesiredState::kRunning);
  EXPECT_EQ(house->Get(low).message, GaveWayText());
  EXPECT_EQ(house->node.homes.size(), 2u);
  EXPECT_EQ(house->Broken(), "");

  house->Wish(high, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(house->StateOf(low), kReady);
  EXPECT_EQ(house->Get(low).message, "");
  EXPECT_EQ(Told(*house), (Said{"desktop.notice"}));
}

TEST(GivingWay, MakesRoomForAllPartsOfAClaimAtOnce) {
  auto house = HouseWith(PreemptRule::kLowerPriority, {"GPU-1", "GPU-2"});
  const DesktopId one = Add(*house, "one", 20_GiB);
  const DesktopId two = Add(*house, "two", 20_GiB);
  const ClaimId run = house->AddRun(7, 8_GiB);
  auto row = store::Read<Claim>(*house->real_store, run.text());
  row->value.request.priority = 5;
  row->value.more = {{.memory = 8_GiB}};
  ASSERT_TRUE(house->real_store->Commit(std::vector{store::Put(row->value, row->version)}));
  house->Run();
  EXPECT_THAT(house->Get(one).message, HasSubstr("Save your work."));
  EXPECT_THAT(house->Get(two).message, HasSubstr("Save your work."));
  EXPECT_EQ(house->GetClaim(run)->phase, ClaimPhase::kPending);
  const auto place = house->control().PlaceInQueue(run);
  ASSERT_TRUE(place);
  EXPECT_THAT(place->reason, HasSubstr("; 2 desktops give way to it at "));
  EXPECT_EQ(house->GetClaim(run)->reason, place->reason);
  EXPECT_EQ(place->next_likely, house->clock.Now() + 5 * kMinute);
  house->Wait(6 * kMinute, kMinute);
  EXPECT_EQ(house->GetClaim(run)->allocations.size(), 2u);
  EXPECT_EQ(house->StateOf(one), kQueued);
  EXPECT_EQ(house->StateOf(two), kQueued);
  EXPECT_EQ(house->Broken(), "");
}

TEST(GivingWay, IsCalledOffWhenTheFirstWaitsNoLonger) {
  auto house = HouseWith(PreemptRule::kLowerPriority, {"GPU-1"});
  const DesktopId low = Add(*house, "low", 20_GiB);
  const DesktopId high = Add(*house, "high", 20_GiB, 5);
  house->Wish(high, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(Told(*house), (Said{"desktop.notice", "desktop.notice_taken_back"}));
  EXPECT_EQ(house->Get(low).message, "");
  house->Wait(10 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(low), kReady);
}

TEST(GivingWay, GoesOnAfterAControlProcessDied) {
  auto house = HouseWith(PreemptRule::kLowerPriority, {"GPU-1"});
  const DesktopId low = Add(*house, "low", 20_GiB);
  const DesktopId high = Add(*house, "high", 20_GiB, 5);
  house->RestartControl();
  house->Wait(6 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(high), kReady);
  EXPECT_EQ(house->StateOf(low), kQueued);
  EXPECT_EQ(Told(*house), (Said{"desktop.notice"}));
}

TEST(GivingWay, IsNotEndedBeforeItsTimeByAClockThatJumps) {
  auto house = HouseWith(PreemptRule::kLowerPriority, {"GPU-1"});
  const DesktopId low = Add(*house, "low", 20_GiB);
  Add(*house, "high", 20_GiB, 5);
  house->clock.JumpWall(60 * kMinute);
  house->Run();
  house->Wait(4 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(low), kReady);
  house->Wait(2 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(low), kQueued);
}

TEST(GivingWay, LeavesCommandsAlone) {
  auto house = HouseWith(PreemptRule::kLowerPriority, {"GPU-1"});
  const ClaimId run = house->AddRun(7, 20_GiB);
  house->Run();
  EXPECT_TRUE(house->control().StartRun(run, 1'000));
  Add(*house, "high", 20_GiB, 5);
  house->Wait(10 * kMinute, kMinute);
  EXPECT_TRUE(Holds(*house->GetClaim(run)));
}

// Three cards: one with a desktop of 4 GiB, one with one of 12 GiB.
struct Scattered {
  std::unique_ptr<House> house = HouseWith(PreemptRule::kNever, {"GPU-1", "GPU-2", "GPU-3"});
  DesktopId small;
  DesktopId large;

  Scattered() {
    // Two that leave no room, so that the others go to different cards.
    const DesktopId filler = Add(*house, "filler", 22_GiB);
    small = Add(*house, "small", 4_GiB);
    const DesktopId beside = Add(*house, "beside", 20_GiB);
    large = Add(*house, "large", 12_GiB);
    house->Wish(filler, DesiredState::kDeleted);
    house->Wish(beside, DesiredState::kDeleted);
    house->Run();
  }
  Result<ConsolidationPlan> Plan(bool apply, int people_max = 1) {
    auto plan = house->control().Consolidate({PoolId("shared"), people_max, apply});
    house->Run();
    return plan;
  }
};

TEST(Consolidation, SaysWhatItWouldDoAndDoesNothing) {
  Scattered scene;
  ASSERT_NE(CardOf(*scene.house, scene.small), CardOf(*scene.house, scene.large));
  const auto plan = scene.Plan(false);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->moves.size(), 1u);
  EXPECT_EQ(plan->moves[0].desktop_name, "small");
  EXPECT_EQ(plan->freed.size(), 1u);
  EXPECT_EQ(plan->people, 1);
  EXPECT_EQ(plan->at, TimePoint{});
  EXPECT_EQ(scene.house->Get(scene.small).message, "");
  EXPECT_TRUE(scene.Plan(false, 0)->moves.empty());
  EXPECT_EQ(scene.house->control().Consolidate({PoolId("other"), 1, false}).error().code,
            Code::kNotFound);
}

TEST(Consolidation, MovesWithNoticeAndBack) {
  Scattered scene;
  House& house = *scene.house;
  const std::string before = CardOf(house, scene.small);
  const std::string target = CardOf(house, scene.large);
  const int starts = house.node.boxes[scene.small].starts;
  const auto plan = scene.Plan(true);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->at, house.clock.Now() + 5 * kMinute);
  EXPECT_THAT(house.Get(scene.small).message, HasSubstr("It moves to another GPU"));
  EXPECT_EQ(CardOf(house, scene.small), before);
  // Its room there is kept.
  const DesktopId other = Add(house, "other", 10_GiB);
  EXPECT_NE(CardOf(house, other), target);
  house.Wish(other, DesiredState::kDeleted);
  house.Wait(6 * kMinute, kMinute);
  EXPECT_EQ(house.StateOf(scene.small), kReady);
  EXPECT_EQ(CardOf(house, scene.small), target);
  EXPECT_EQ(house.node.boxes[scene.small].starts, starts + 1);
  EXPECT_EQ(house.Get(scene.small).message, "");
  EXPECT_TRUE(house.GetGpu(before).shares.empty());
  EXPECT_EQ(house.Broken(), "");
  EXPECT_EQ(Told(house), (Said{"desktop.move"}));

  const auto back = house.control().UndoConsolidation(PoolId("shared"));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->moves.size(), 1u);
  const auto moves = house.control().MovesNow(PoolId("shared"));
  ASSERT_TRUE(moves && moves->size() == 1);
  EXPECT_TRUE(moves->front().back && !moves->front().done);
  house.Wait(6 * kMinute, kMinute);
  EXPECT_THAT(house.control().MovesNow(PoolId("shared")).value(), ::testing::IsEmpty());
  EXPECT_EQ(CardOf(house, scene.small), before);
  EXPECT_EQ(house.StateOf(scene.small), kReady);
  EXPECT_EQ(house.Broken(), "");
  EXPECT_EQ(house.control().UndoConsolidation(PoolId("shared")).error().code,
            Code::kFailedPrecondition);
}

TEST(Consolidation, SaysHowItsMovesStand) {
  Scattered scene;
  House& house = *scene.house;
  const std::string before = CardOf(house, scene.small);
  const std::string target = CardOf(house, scene.large);
  EXPECT_THAT(house.control().MovesNow(PoolId("shared")).value(), ::testing::IsEmpty());
  EXPECT_EQ(house.control().MovesNow(PoolId("other")).error().code, Code::kNotFound);
  ASSERT_TRUE(scene.Plan(true));
  auto moves = house.control().MovesNow(PoolId("shared"));
  ASSERT_TRUE(moves && moves->size() == 1);
  EXPECT_EQ(moves->front().move.desktop, scene.small);
  EXPECT_EQ(moves->front().move.to.front().gpu.text(), target);
  EXPECT_EQ(moves->front().at, house.clock.Now() + 5 * kMinute);
  EXPECT_FALSE(moves->front().done || moves->front().back);
  house.Wait(6 * kMinute, kMinute);
  moves = house.control().MovesNow(PoolId("shared"));
  ASSERT_TRUE(moves && moves->size() == 1);
  EXPECT_TRUE(moves->front().done && !moves->front().back);
  EXPECT_EQ(moves->front().move.from.front().gpu.text(), before);
  EXPECT_EQ(moves->front().at, TimePoint{});
}

TEST(Consolidation, IsCalledOffDuringTheNotice) {
  Scattered scene;
  const std::string before = CardOf(*scene.house, scene.small);
  ASSERT_TRUE(scene.Plan(true));
  const auto back = scene.house->control().UndoConsolidation(PoolId("shared"));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->withdrawn, 1);
  EXPECT_TRUE(back->moves.empty());
  EXPECT_EQ(scene.house->Get(scene.small).message, "");
  scene.house->Wait(6 * kMinute, kMinute);
  EXPECT_EQ(CardOf(*scene.house, scene.small), before);
}

TEST(Consolidation, IsCalledOffWhenTheCardGoes) {
  Scattered scene;
  const std::string before = CardOf(*scene.house, scene.small);
  const std::string target = CardOf(*scene.house, scene.large);
  ASSERT_TRUE(scene.Plan(true));
  scene.house->node.cards[GpuId(target)].health = GpuHealth::kUnhealthy;
  scene.house->Wait(10 * kMinute, kMinute);
  EXPECT_EQ(CardOf(*scene.house, scene.small), before);
  EXPECT_EQ(scene.house->StateOf(scene.small), kReady);
  EXPECT_EQ(Told(*scene.house), (Said{"desktop.notice_taken_back"}));
  EXPECT_EQ(scene.house->Get(scene.small).message, "");
}

TEST(Consolidation, MovesAtOnceADesktopThatRestartsAnyway) {
  Scattered scene;
  const std::string target = CardOf(*scene.house, scene.large);
  ASSERT_NE(CardOf(*scene.house, scene.small), target);
  ASSERT_TRUE(scene.Plan(true));
  scene.house->Restart(scene.small);
  scene.house->Run();
  EXPECT_EQ(CardOf(*scene.house, scene.small), target);
  EXPECT_EQ(scene.house->StateOf(scene.small), kReady);
  EXPECT_EQ(scene.house->Broken(), "");
}

TEST(Reservation, KeepsCardsForItsTeamAndIsForgottenADayLater) {
  auto house = HouseWith(PreemptRule::kNever, {"GPU-1"});
  const Team team{.id = TeamId("tem_1"), .name = "course"};
  const User member{.id = UserId("usr_theirs"), .name = "theirs", .team = team.id};
  const TimePoint now = house->clock.Now();
  const Reservation kept{.id = ReservationId("rsv_1"),
                         .name = "course",
                         .team = team.id,
                         .starts_at = now + 10 * kMinute,
                         .ends_at = now + 20 * kMinute};
  ASSERT_TRUE(house->real_store->Commit(
      std::vector{store::Put(team, 0), store::Put(member, 0), store::Put(kept, 0)}));
  house->Run();
  EXPECT_EQ(house->control().RoomFor(kept).value(), 1);
  const DesktopId other = Add(*house, "other", 8_GiB);
  EXPECT_EQ(house->StateOf(other), kQueued);
  EXPECT_THAT(house->Get(other).reason, HasSubstr("reserved for another team"));
  house->Wait(11 * kMinute, kMinute);
  const DesktopId theirs = Add(*house, "theirs", 24_GiB);
  EXPECT_EQ(house->StateOf(theirs), kReady);
  house->Wish(theirs, DesiredState::kStopped);
  house->Wait(10 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(other), kReady);
  EXPECT_TRUE(store::Read<Reservation>(*house->real_store, "rsv_1"));
  house->Wait(Duration(25 * 60) * 60'000, 60 * kMinute);
  EXPECT_FALSE(store::Read<Reservation>(*house->real_store, "rsv_1"));
  const auto past = house->real_store->Get(store::Kind::kPastReservation, "rsv_1");
  ASSERT_TRUE(past);  // For the planner.
  EXPECT_EQ(store::Decode<Reservation>(past->body).value(), kept);
}

TEST(Gang, IsGivenAllItsCardsOrNone) {
  auto house = HouseWith(PreemptRule::kNever, {"GPU-1", "GPU-2"});
  const DesktopId first = Add(*house, "first", 20_GiB);
  const ClaimId run = house->AddRun(7, 8_GiB);
  auto row = store::Read<Claim>(*house->real_store, run.text());
  row->value.more = {{.memory = 8_GiB}};
  ASSERT_TRUE(house->real_store->Commit(std::vector{store::Put(row->value, row->version)}));
  house->Run();
  EXPECT_EQ(house->GetClaim(run)->phase, ClaimPhase::kPending);
  house->Wish(first, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(house->GetClaim(run)->allocations.size(), 2u);
  const auto share = house->control().StartRun(run, 1'000);
  ASSERT_TRUE(share);
  EXPECT_EQ(house->node.regions[run].allocations.size(), 2u);
  EXPECT_EQ(house->Broken(), "");
}

}  // namespace
}  // namespace sluice::control
