// SPDX-License-Identifier: Apache-2.0
#include "control/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using testing::Fault;
using ::testing::HasSubstr;
using testing::House;
using enum DesktopState;

constexpr Duration kMinute{60'000};

// A house with one 24 GiB card whose control has looked once.
std::unique_ptr<House> OneCard() {
  auto house = std::make_unique<House>();
  house->node.AddCard("GPU-1", 24_GiB);
  house->Run();
  return house;
}

ClaimId StartedRun(House& house, int64_t pid, Bytes memory) {
  const ClaimId id = house.AddRun(pid, memory);
  house.Run();
  EXPECT_TRUE(house.control().StartRun(id, 1'000));
  house.Run();
  return id;
}

DesktopId ReadyDesktop(House& house, const std::string& name = "one", Bytes memory = 8_GiB) {
  const DesktopId id = house.AddDesktop(name, memory);
  house.Run();
  EXPECT_EQ(house.StateOf(id), kReady) << house.Get(id).reason;
  return id;
}

TEST(Launch, GoesThroughItsFourStages) {
  auto house = OneCard();
  const Desktop desktop = house->Get(ReadyDesktop(*house));
  ASSERT_EQ(desktop.stages.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(desktop.stages[static_cast<size_t>(i)].stage, static_cast<LaunchStage>(i));
    EXPECT_NE(desktop.stages[static_cast<size_t>(i)].ended_at, TimePoint{});
  }
  EXPECT_EQ(desktop.limits_in_force, "rlimits");
  EXPECT_EQ(house->GetClaim(desktop.claim)->phase, ClaimPhase::kCommitted);
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 16_GiB);
  EXPECT_EQ(house->Broken(), "");
}

TEST(Launch, RemembersUsualTimesOverARestart) {
  auto house = OneCard();
  house->node.stuck_starting = true;
  house->AddDesktop("slow", 1_GiB);
  house->Run();
  house->clock.Advance(Duration(1'700));
  house->node.stuck_starting = false;
  house->Run();
  EXPECT_EQ(house->control().UsualStageTimes()[LaunchStage::kStartDisplay], Duration(1'700));
  house->RestartControl();
  EXPECT_EQ(house->control().UsualStageTimes()[LaunchStage::kStartDisplay], Duration(1'700));
}

TEST(Launch, FailsWithTheRuntimesReasonAndGivesTheShareBack) {
  auto house = OneCard();
  house->node.prepare_error =
      Error{Code::kFailedPrecondition, "Xtigervnc is missing; apt-get install tigervnc", {}};
  const DesktopId id = house->AddDesktop("one", 8_GiB);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kFailed);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("apt-get install tigervnc"));
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 24_GiB);
  EXPECT_TRUE(house->node.regions.empty());

  house->node.prepare_error.reset();
  house->Wish(id, DesiredState::kRunning);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
}

TEST(Launch, TriesAgainWhatIsOnlyUnavailable) {
  auto house = OneCard();
  house->node.prepare_error = Error{Code::kUnavailable, "busy", {}};
  const DesktopId id = house->AddDesktop("one", 8_GiB);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kProvisioning);
  house->node.prepare_error.reset();
  house->Wait(Duration(2'000), Duration(250));
  EXPECT_EQ(house->StateOf(id), kReady);
}

TEST(Launch, FailsWhenTheDisplayDoesNotComeUp) {
  auto house = OneCard();
  house->node.stuck_starting = true;
  const DesktopId id = house->AddDesktop("one", 8_GiB);
  house->Wait(Duration(62'000));
  EXPECT_EQ(house->StateOf(id), kFailed);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("The display did not answer within 60 s"));
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 24_GiB);
}

TEST(Queue, ThreeFitTheFourthWaitsWithFiguresAndStartsByItself) {
  auto house = OneCard();
  const DesktopId first = ReadyDesktop(*house, "1");
  ReadyDesktop(*house, "2");
  ReadyDesktop(*house, "3");
  const DesktopId fourth = house->AddDesktop("4", 8_GiB);
  house->Run();
  const Desktop waiting = house->Get(fourth);
  EXPECT_EQ(waiting.state, kQueued);
  EXPECT_THAT(waiting.reason, HasSubstr("8 GiB"));
  const auto place = house->control().PlaceInQueue(waiting.claim);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->position, 1);
  EXPECT_EQ(place->waiting, 1);
  EXPECT_EQ(place->next_likely, std::nullopt);

  house->Wish(first, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(house->StateOf(first), kStopped);
  EXPECT_EQ(house->StateOf(fourth), kReady);
  EXPECT_EQ(house->control().PlaceInQueue(waiting.claim), std::nullopt);
  EXPECT_EQ(house->Broken(), "");
}

TEST(Queue, ServesWishesOfOneMillisecondInTheOrderOfTheirCommits) {
  auto house = OneCard();
  std::vector<DesktopId> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(house->AddDesktop("d", 2_GiB));
  house->Run();
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(house->StateOf(ids[i]), kReady) << i;
  for (size_t i = 12; i < 24; ++i) {
    EXPECT_EQ(house->control().PlaceInQueue(house->Get(ids[i]).claim)->position, i - 11) << i;
  }
}

TEST(Queue, CountsFromTheWishNotFromWhenControlSeesIt) {
  auto house = OneCard();
  ReadyDesktop(*house, "full", 24_GiB);
  const DesktopId early = house->AddDesktop("early", 24_GiB);
  const TimePoint wished = house->clock.Now();
  house->clock.Advance(kMinute);  // Control is away; a run comes meanwhile.
  const ClaimId run = house->AddRun(41, 24_GiB);
  house->Run();
  const Desktop desktop = house->Get(early);
  EXPECT_EQ(house->GetClaim(desktop.claim)->queued_since, wished);
  EXPECT_EQ(house->control().PlaceInQueue(desktop.claim)->position, 1);
  EXPECT_EQ(house->control().PlaceInQueue(run)->position, 2);
}

TEST(Queue, SaysWhenTheNextOneIsLikely) {
  auto house = OneCard();
  const DesktopId first = ReadyDesktop(*house, "1", 24_GiB);
  house->Change(first, [](Desktop& desktop) { desktop.run_for = 20 * kMinute; });
  house->Run();
  const DesktopId second = house->AddDesktop("2", 8_GiB);
  house->Run();
  const auto place = house->control().PlaceInQueue(house->Get(second).claim);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->next_likely, house->Get(first).ready_at + 20 * kMinute);
}

TEST(Queue, SaysWhenItIsLikelyToStartFromHowLongOthersRan) {
  auto house = OneCard();
  for (int64_t pid = 1; pid <= 9; ++pid) {
    StartedRun(*house, pid, 6_GiB);
    house->Wait((pid + 10) * kMinute, kMinute);
    house->living_pids.erase(pid);
    house->Wait(Duration(1'000));
  }
  StartedRun(*house, 42, 20_GiB);
  const TimePoint since = house->clock.Now();
  const DesktopId second = house->AddDesktop("2", 8_GiB);
  house->Wait(5 * kMinute, kMinute);
  const auto place = house->control().PlaceInQueue(house->Get(second).claim);
  ASSERT_TRUE(place && place->start.earliest && place->start.latest);
  EXPECT_GE(*place->start.earliest, since + 10 * kMinute);
  EXPECT_LE(*place->start.earliest, *place->start.likely);
  EXPECT_LE(*place->start.likely, *place->start.latest);
  EXPECT_LE(*place->start.latest, since + 21 * kMinute);
  const auto offers = house->control().Offers({8_GiB, {}});
  EXPECT_TRUE(offers.front().start.likely);
}

TEST(Queue, KeepsATeamWithinItsLimit) {
  auto house = OneCard();
  const Team team{.id = TeamId("tem_1"), .name = "Perception", .memory_max = 12_GiB};
  const User lina{.id = UserId("usr_1"), .name = "lina", .team = team.id};
  ASSERT_TRUE(house->store.Commit(std::vector{store::Put(team, 0), store::Put(lina, 0)}));
  ReadyDesktop(*house, "1", 8_GiB);
  const DesktopId second = house->AddDesktop("2", 8_GiB);
  house->Run();
  EXPECT_EQ(house->Get(second).reason,
            "team Perception holds 8 GiB of its 12 GiB; 8 GiB more would pass that");
  EXPECT_TRUE(house->control().PlaceInQueue(house->Get(second).claim)->over_quota);
  EXPECT_TRUE(house->control().Offers({8_GiB, team.id}).front().over_quota);
  EXPECT_FALSE(house->control().Offers({8_GiB, {}}).front().over_quota);
}

TEST(Claims, AreKeptAsPastOnesWithTheirTimes) {
  auto house = OneCard();
  const ClaimId id = StartedRun(*house, 42, 6_GiB);
  const TimePoint since = house->clock.Now();
  house->Wait(5 * kMinute, kMinute);
  house->living_pids.clear();
  house->Wait(Duration(1'000));
  const auto past = store::Read<PastClaim>(house->store, id.text());
  ASSERT_TRUE(past);
  EXPECT_EQ(past->value.held_since, since);
  EXPECT_GE(past->value.ended_at, since + 5 * kMinute);
  EXPECT_EQ(past->value.allocations.size(), 1U);
  EXPECT_EQ(past->value.reason, "The command has ended.");
}

TEST(Queue, RefusesWhatCanNeverFit) {
  auto house = OneCard();
  const DesktopId id = house->AddDesktop("big", 48_GiB);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kFailed);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("24 GiB"));
}

TEST(Queue, WaitsForTheAgentBeforeItRefuses) {
  House house;
  house.node.agent_silent = true;
  house.node.AddCard("GPU-1", 24_GiB);
  const DesktopId id = house.AddDesktop("one", 8_GiB);
  house.Run();
  EXPECT_EQ(house.StateOf(id), kQueued);
  house.node.agent_silent = false;
  house.Run();
  EXPECT_EQ(house.StateOf(id), kReady);
}

TEST(Queue, IsLeftByStopping) {
  auto house = OneCard();
  ReadyDesktop(*house, "1", 24_GiB);
  const DesktopId id = house->AddDesktop("2", 8_GiB);
  house->Run();
  const ClaimId claim = house->Get(id).claim;
  house->Wish(id, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kStopped);
  EXPECT_EQ(house->GetClaim(claim)->phase, ClaimPhase::kReleased);
}

TEST(Desktop, KeepsItsHomeOverStopAndStart) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  house->Wish(id, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kStopped);
  EXPECT_TRUE(house->node.homes.contains(id.text()));
  EXPECT_TRUE(house->node.regions.empty());
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 24_GiB);
  house->Wish(id, DesiredState::kRunning);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
}

TEST(Desktop, RestartsOnTheSameShareAlthoughOthersWait) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house, "1", 24_GiB);
  const DesktopId waiting = house->AddDesktop("2", 24_GiB);
  house->Run();
  const ClaimId claim = house->Get(id).claim;
  house->Restart(id);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
  EXPECT_EQ(house->Get(id).claim, claim);
  EXPECT_EQ(house->node.boxes[id].starts, 2);
  EXPECT_EQ(house->StateOf(waiting), kQueued);
}

TEST(Desktop, IsDeletedWithItsHomeOnlyWhenAsked) {
  auto house = OneCard();
  const DesktopId kept = ReadyDesktop(*house, "1");
  const DesktopId gone = ReadyDesktop(*house, "2");
  house->Change(gone, [](Desktop& desktop) { desktop.keep_home = false; });
  for (const DesktopId& id : {kept, gone}) house->Wish(id, DesiredState::kDeleted);
  house->Run();
  EXPECT_FALSE(house->Exists(kept));
  EXPECT_FALSE(house->Exists(gone));
  EXPECT_TRUE(house->node.homes.contains(kept.text()));
  EXPECT_FALSE(house->node.homes.contains(gone.text()));
  EXPECT_TRUE(house->node.boxes.empty());
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 24_GiB);
}

TEST(Desktop, FailsWithAReasonWhenItsProcessesEnd) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  house->node.Kill(id, "The X server was killed (signal 9).");
  house->Run();
  EXPECT_EQ(house->StateOf(id), kFailed);
  EXPECT_EQ(house->Get(id).reason, "The X server was killed (signal 9).");
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 24_GiB);
  house->Restart(id);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
}

TEST(Desktop, KeepsItsShareUntilItsProcessesAreGone) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house, "1", 24_GiB);
  const DesktopId waiting = house->AddDesktop("2", 24_GiB);
  house->node.stop_error = Error{Code::kUnavailable, "a process does not end", {}};
  house->Wish(id, DesiredState::kStopped);
  house->Run();
  EXPECT_EQ(house->StateOf(id), kStopping);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("a process does not end"));
  EXPECT_EQ(house->StateOf(waiting), kQueued);
  house->node.stop_error.reset();
  house->Wait(Duration(5'000));
  EXPECT_EQ(house->StateOf(id), kStopped);
  EXPECT_EQ(house->StateOf(waiting), kReady);
}

TEST(Desktop, IsConnectedWhileSomebodyWatches) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  house->control().ReportViewers(id, {.viewers = 1, .last_input_at = house->clock.Now()});
  house->Run();
  EXPECT_EQ(house->StateOf(id), kConnected);
  house->control().ReportViewers(id, {.viewers = 0, .last_input_at = house->clock.Now()});
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
}

TEST(Adoption, LeavesWhatRunsAlone) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  const TimePoint since = house->Get(id).state_since;
  house->RestartControl();
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
  EXPECT_EQ(house->Get(id).state_since, since);
  EXPECT_EQ(house->node.boxes[id].starts, 1);
}

TEST(Adoption, FindsWhatDiedMeanwhile) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  house->node.boxes.clear();  // The machine was restarted.
  house->RestartControl();
  house->Run();
  EXPECT_EQ(house->StateOf(id), kFailed);
  EXPECT_EQ(house->Broken(), "");
}

TEST(Adoption, RemovesWhatBelongsToNobody) {
  auto house = OneCard();
  house->node.boxes[DesktopId("dsk_stranger")].phase = runtime::Phase::kExited;
  house->node.regions[ClaimId("clm_stranger")] = {};
  house->RestartControl();
  house->Run();
  EXPECT_TRUE(house->node.boxes.empty());
  EXPECT_TRUE(house->node.regions.empty());
}

void SetIdle(House& house, const DesktopId& id, bool gpu_keeps_alive) {
  house.Change(id, [gpu_keeps_alive](Desktop& desktop) {
    desktop.idle.stop_after = 30 * kMinute;
    desktop.idle.gpu_keeps_alive = gpu_keeps_alive;
  });
}

TEST(Idle, WarnsThenStops) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  SetIdle(*house, id, true);
  house->Wait(24 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kReady);
  house->Wait(kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kIdleWarned);
  EXPECT_EQ(house->Get(id).reason,
            "Nobody has used it for 25 min. It stops in 5 min unless somebody does.");
  house->Wait(5 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kStopped);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("nobody used it for 30 min"));
  EXPECT_EQ(house->Get(id).desired, DesiredState::kStopped);
  // The planner asks how long it was.
  const auto past = store::ReadAll<PastClaim>(house->store);
  ASSERT_TRUE(past && past->size() == 1U);
  EXPECT_GE(past->front().value.idle_for, 30 * kMinute);
  EXPECT_LT(past->front().value.idle_for, 32 * kMinute);
}

TEST(Idle, EndsWithInput) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  SetIdle(*house, id, true);
  house->Wait(26 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kIdleWarned);
  house->control().ReportViewers(id, {.viewers = 1, .last_input_at = house->clock.Now()});
  house->Run();
  EXPECT_EQ(house->StateOf(id), kConnected);
}

TEST(Idle, IsHeldOffByAShareAtWorkIfSoSet) {
  auto house = OneCard();
  const DesktopId kept = ReadyDesktop(*house, "1");
  const DesktopId stopped = ReadyDesktop(*house, "2");
  SetIdle(*house, kept, true);
  SetIdle(*house, stopped, false);
  house->node.utilization_percent = 62;
  house->Wait(31 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(kept), kReady);
  EXPECT_EQ(house->StateOf(stopped), kStopped);
}

TEST(Idle, GivesTheWholeWarningAfterAnAbsenceOfControl) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  SetIdle(*house, id, true);
  house->clock.Advance(120 * kMinute);
  house->RestartControl();
  house->Run();
  EXPECT_EQ(house->StateOf(id), kIdleWarned);
  house->Wait(4 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kIdleWarned);
  house->Wait(kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kStopped);
}

TEST(Clock, MayJumpWithoutEndingAnything) {
  for (const Duration jump : {Duration(86'400'000), Duration(-86'400'000)}) {
    auto house = OneCard();
    const DesktopId id = ReadyDesktop(*house);
    SetIdle(*house, id, true);
    house->Change(id, [](Desktop& desktop) { desktop.run_for = 60 * kMinute; });
    house->Run();
    house->clock.JumpWall(jump);
    house->Run();
    EXPECT_EQ(house->StateOf(id), kReady);
    house->Wait(20 * kMinute, kMinute);
    EXPECT_EQ(house->StateOf(id), kReady);
    house->Wait(12 * kMinute, kMinute);
    EXPECT_EQ(house->StateOf(id), kStopped);
  }
}

TEST(RunFor, EndsADesktopUnlessItIsExtended) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  house->Change(id, [](Desktop& desktop) { desktop.run_for = 20 * kMinute; });
  house->Wait(16 * kMinute, kMinute);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("stops within 5 min"));
  house->Change(id, [](Desktop& desktop) { desktop.run_for += 10 * kMinute; });
  house->Run();
  EXPECT_EQ(house->Get(id).reason, "Ready.");
  EXPECT_EQ(house->GetClaim(house->Get(id).claim)->ends_at, house->Get(id).ready_at + 30 * kMinute);
  house->Wait(14 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kStopped);
  EXPECT_THAT(house->Get(id).reason, HasSubstr("its time of 30 min is over"));
}

TEST(Cards, TurnStaleWhenTheAgentIsSilentAndComeBack) {
  auto house = OneCard();
  house->node.agent_silent = true;
  house->Wait(Duration(4'000));
  EXPECT_EQ(house->GetGpu("GPU-1").health, GpuHealth::kHealthy);
  house->Wait(Duration(2'000));
  EXPECT_EQ(house->GetGpu("GPU-1").health, GpuHealth::kStale);
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), Bytes(0));
  house->node.agent_silent = false;
  house->Run();
  EXPECT_EQ(house->GetGpu("GPU-1").health, GpuHealth::kHealthy);
}

TEST(Cards, KeepTheirSharesWhenTheyAreLostAndFound) {
  auto house = OneCard();
  ReadyDesktop(*house);
  const testing::Node::Box box{};
  const Gpu card = house->node.cards.at(GpuId("GPU-1"));
  house->node.cards.clear();
  house->Run();
  EXPECT_EQ(house->GetGpu("GPU-1").health, GpuHealth::kStale);
  EXPECT_EQ(house->GetGpu("GPU-1").shares.size(), 1u);
  house->node.cards[card.id] = card;
  house->Run();
  EXPECT_EQ(house->GetGpu("GPU-1").health, GpuHealth::kHealthy);
  EXPECT_EQ(house->GetGpu("GPU-1").shares.size(), 1u);
}

TEST(Cards, AreForgottenAtTheNextStartOnceGone) {
  auto house = OneCard();
  house->node.RemoveCard("GPU-1");
  house->node.AddCard("GPU-2", 80_GiB);
  house->RestartControl();
  house->Run();
  const auto rows = store::ReadAll<Gpu>(*house->real_store);
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().value.id, GpuId("GPU-2"));
}

// Whoever waits for the restart that he asked for waits for the next time it is ready, whatever it
// was at before.
TEST(Desktop, IsReadyOnceAfterARestartThatComesWhileItWaitsOrStarts) {
  auto house = OneCard();
  const DesktopId full = ReadyDesktop(*house, "full", 24_GiB);
  const DesktopId waits = house->AddDesktop("waits", 24_GiB);
  house->Run();
  house->Restart(waits);
  house->node.stuck_starting = true;
  house->Wish(full, DesiredState::kStopped);
  house->Run();
  ASSERT_EQ(house->StateOf(waits), kStarting);
  EXPECT_EQ(house->node.boxes[waits].starts, 1);
  house->Restart(waits);
  house->Run();
  EXPECT_EQ(house->StateOf(waits), kStarting);
  EXPECT_EQ(house->node.boxes[waits].starts, 2);
  house->node.stuck_starting = false;
  house->Run();
  EXPECT_EQ(house->StateOf(waits), kReady);
  EXPECT_EQ(house->node.boxes[waits].starts, 2);
  EXPECT_EQ(house->Broken(), "");
}

TEST(Cards, AreInTheMachineOfTheirAgentUnlessTheySayMore) {
  const Gpu silent{.id = GpuId("GPU-1"), .memory = 24_GiB};
  const Gpu telling{.id = GpuId("GPU-2"), .node = NodeId("zeus"), .memory = 24_GiB};
  GpuFacts facts{.node = NodeId("atlas"), .cards = std::nullopt};
  facts.cards = {{silent, {}}, {telling, {}}};
  const auto writes = GpuSteps({}, facts);
  ASSERT_EQ(writes.size(), 2u);
  EXPECT_EQ(store::Decode<Gpu>(*writes[0].body)->node, NodeId("atlas"));
  EXPECT_EQ(store::Decode<Gpu>(*writes[1].body)->node, NodeId("zeus"));
  // A row from before the machine had a name is mended.
  const Gpus rows = {{silent.id, {silent, 7}}};
  EXPECT_EQ(GpuSteps(rows, facts).front().expected, 7u);
}

TEST(Cards, AreNotRewrittenWithoutNeed) {
  auto house = OneCard();
  const uint64_t version = house->store.Version();
  house->Wait(Duration(30'000));
  EXPECT_EQ(house->store.Version(), version);
}

TEST(Cards, AreClosedWhileTheirOwnHardwareDividesThem) {
  auto house = OneCard();
  house->node.cards.at(GpuId("GPU-1")).mode = GpuMode::kPartitioned;
  house->Wait(2 * kMinute, kMinute);
  EXPECT_EQ(house->GetGpu("GPU-1").mode, GpuMode::kPartitioned);
  const DesktopId id = house->AddDesktop("one", 8_GiB);
  house->Run();
  EXPECT_NE(house->StateOf(id), kReady);
  house->node.cards.at(GpuId("GPU-1")).mode = GpuMode::kShared;
  house->Wait(2 * kMinute, kMinute);
  EXPECT_EQ(house->StateOf(id), kReady);
}

TEST(Cards, KeepTheModeThatAnAdminSet) {
  auto house = OneCard();
  auto row = store::Read<Gpu>(*house->real_store, "GPU-1");
  row->value.mode = GpuMode::kCordoned;
  ASSERT_TRUE(house->real_store->Commit(std::vector{store::Put(row->value, row->version)}));
  house->Wait(2 * kMinute, kMinute);
  EXPECT_EQ(house->GetGpu("GPU-1").mode, GpuMode::kCordoned);
  const DesktopId id = house->AddDesktop("one", 8_GiB);
  house->Run();
  EXPECT_NE(house->StateOf(id), kReady);
}

TEST(Run, HoldsAShareFromStartToRelease) {
  auto house = OneCard();
  const ClaimId id = house->AddRun(42, 6_GiB);
  EXPECT_FALSE(house->control().StartRun(id, 1'000));
  house->Run();
  EXPECT_EQ(house->GetClaim(id)->phase, ClaimPhase::kReserved);
  for (int i = 0; i < 2; ++i) {
    const auto share = house->control().StartRun(id, 1'000);
    ASSERT_TRUE(share) << share.error().message;
    EXPECT_FALSE(share->mounts.empty());
  }
  EXPECT_EQ(house->GetClaim(id)->phase, ClaimPhase::kCommitted);
  EXPECT_EQ(house->node.regions.at(id).tenant_uid, 1'000u);
  ASSERT_TRUE(house->control().Release(id, "The command has ended."));
  EXPECT_TRUE(house->control().Release(id, "Again."));
  house->Run();
  EXPECT_EQ(house->GetClaim(id)->phase, ClaimPhase::kReleased);
  EXPECT_TRUE(house->node.regions.empty());
  EXPECT_EQ(MemoryFree(house->GetGpu("GPU-1")), 24_GiB);
  const auto again = house->control().StartRun(id, 1'000);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kFailedPrecondition);
}

TEST(Run, IsReleasedWhenItsProcessDies) {
  auto house = OneCard();
  const ClaimId waiting = house->AddRun(41, 6_GiB);
  const ClaimId running = house->AddRun(42, 6_GiB);
  house->Run();
  ASSERT_TRUE(house->control().StartRun(running, 0));
  house->living_pids.clear();
  house->Run();
  for (const ClaimId& id : {waiting, running}) {
    EXPECT_EQ(house->GetClaim(id)->phase, ClaimPhase::kReleased);
  }
  EXPECT_TRUE(house->node.regions.empty());
  EXPECT_EQ(house->Broken(), "");
}

TEST(Run, LosesAReservationThatItDoesNotUse) {
  auto house = OneCard();
  const ClaimId id = house->AddRun(42, 6_GiB);
  house->Run();
  house->clock.JumpWall(Duration(86'400'000));
  house->Wait(Duration(119'000));
  EXPECT_EQ(house->GetClaim(id)->phase, ClaimPhase::kReserved);
  house->Wait(Duration(3'000));
  EXPECT_EQ(house->GetClaim(id)->phase, ClaimPhase::kReleased);
  EXPECT_THAT(house->GetClaim(id)->reason, HasSubstr("did not start within 2 min"));
}

TEST(Run, IsNotReleasedByTheCallMeantForDesktops) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  const auto released = house->control().Release(house->Get(id).claim, "no");
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(house->control().Release(ClaimId("clm_none"), "no").error().code, Code::kNotFound);
}

TEST(Claims, ThatEndedAreForgottenAfterAWhile) {
  auto house = OneCard();
  const ClaimId id = house->AddRun(42, 6_GiB);
  house->living_pids.clear();
  house->Wait(11 * kMinute, kMinute);
  EXPECT_EQ(house->GetClaim(id), std::nullopt);
}

TEST(Offers, CountWhoHasAskedSinceControlLooked) {
  auto house = OneCard();
  house->Run();
  EXPECT_EQ(house->control().Offers({20_GiB, {}}).front().fits_now, 1);
  house->AddRun(42, 20_GiB);
  EXPECT_EQ(house->control().Offers({20_GiB, {}}).front().fits_now, 0);
}

TEST(Offers, SayWhatAShareWouldGetNow) {
  auto house = OneCard();
  house->node.AddCard("GPU-2", 80_GiB, "Big GPU");
  ReadyDesktop(*house, "1", 20_GiB);
  ReadyDesktop(*house, "2", 70_GiB);
  std::map<std::string, Offer> offers;
  for (const Offer& offer : house->control().Offers({8_GiB, {}})) offers[offer.gpu_model] = offer;
  EXPECT_EQ(offers.at("Big GPU").answer, "starts now");
  EXPECT_EQ(offers.at("Big GPU").fits_now, 1);
  EXPECT_EQ(offers.at("Big GPU").largest_ever, 80_GiB);
  EXPECT_EQ(offers.at("Test GPU").largest_now, 4_GiB);
  EXPECT_EQ(offers.at("Test GPU").fits_now, 0);
  EXPECT_FALSE(offers.at("Test GPU").never);
  EXPECT_TRUE(house->control().Offers({100_GiB, {}}).front().never);
}

TEST(Audit, TellsWhatControlDid) {
  auto house = OneCard();
  const DesktopId id = ReadyDesktop(*house);
  house->Wish(id, DesiredState::kDeleted);
  house->Run();
  std::vector<std::string> actions;
  for (const AuditNote& note : house->audit.notes) actions.push_back(note.action);
  EXPECT_THAT(actions,
              ::testing::ElementsAre(
                  "claim.reserve", "desktop.ready", "desktop.stopped", "desktop.deleted"));
}

TEST(Store, ThatCannotBeWrittenStopsNothingButProgress) {
  auto house = OneCard();
  house->store.fault = [] { return Fault::kBefore; };
  const DesktopId id = house->AddDesktop("one", 8_GiB);
  EXPECT_EQ(house->Run(), 0);
  EXPECT_EQ(house->StateOf(id), kQueued);
  house->store.fault = [] { return Fault::kNone; };
  house->Run();
  EXPECT_EQ(house->StateOf(id), kReady);
}

}  // namespace
}  // namespace sluice::control
