// SPDX-License-Identifier: Apache-2.0
#include "model/desktop.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>
#include <vector>

namespace sluice {
namespace {

using enum DesktopState;
const std::vector<DesktopState> kAll = {kQueued,
                                        kReserved,
                                        kProvisioning,
                                        kStarting,
                                        kReady,
                                        kConnected,
                                        kIdleWarned,
                                        kSuspending,
                                        kSuspended,
                                        kStopping,
                                        kStopped,
                                        kFailed,
                                        kDeleting};
const TimePoint kNow{Duration(1'700'000'000'000)};

bool Legal(DesktopState from, DesktopState to) {
  return std::ranges::any_of(DesktopTransitions(), [&](const DesktopTransition& step) {
    return step.from == from && step.to == to;
  });
}

std::set<DesktopState> ReachableFrom(DesktopState start) {
  std::set<DesktopState> reached = {start};
  std::vector<DesktopState> open = {start};
  while (!open.empty()) {
    const DesktopState from = open.back();
    open.pop_back();
    for (const DesktopState to : kAll) {
      if (Legal(from, to) && reached.insert(to).second) open.push_back(to);
    }
  }
  return reached;
}

TEST(DesktopState, ReadsBackEveryName) {
  for (const DesktopState state : kAll) EXPECT_EQ(ParseDesktopState(ToString(state)), state);
  EXPECT_EQ(ParseDesktopState("unknown"), std::nullopt);
}

TEST(DesktopWords, ReadBackEveryName) {
  for (const auto state :
       {DesiredState::kRunning, DesiredState::kStopped, DesiredState::kDeleted}) {
    EXPECT_EQ(ParseDesiredState(ToString(state)), state);
  }
  for (const auto kind : {DesktopKind::kContainer, DesktopKind::kVm}) {
    EXPECT_EQ(ParseDesktopKind(ToString(kind)), kind);
  }
  for (const auto sender : {MessageSender::kOperator, MessageSender::kSystem}) {
    EXPECT_EQ(ParseMessageSender(ToString(sender)), sender);
  }
  for (int i = 0; i < kLaunchStageCount; ++i) {
    const auto stage = static_cast<LaunchStage>(i);
    EXPECT_EQ(ParseLaunchStage(ToString(stage)), stage);
  }
  EXPECT_EQ(ParseLaunchStage("unknown"), std::nullopt);
}

TEST(DesktopTransitions, ReachEveryStateFromQueued) {
  EXPECT_EQ(ReachableFrom(kQueued).size(), kAll.size());
}

TEST(DesktopTransitions, LeadFromEveryStateToDeleting) {
  for (const DesktopState state : kAll) {
    EXPECT_TRUE(ReachableFrom(state).contains(kDeleting)) << ToString(state);
    EXPECT_TRUE(state == kDeleting || Legal(state, kDeleting)) << ToString(state);
  }
}

TEST(DesktopTransitions, LeaveDeletingNever) {
  EXPECT_EQ(ReachableFrom(kDeleting).size(), 1u);
}

TEST(DesktopTransitions, AreUniqueAndEachSaysWhyInASentence) {
  std::set<std::pair<DesktopState, DesktopState>> seen;
  for (const DesktopTransition& step : DesktopTransitions()) {
    EXPECT_TRUE(seen.emplace(step.from, step.to).second)
        << ToString(step.from) << " to " << ToString(step.to);
    EXPECT_NE(step.from, step.to);
    ASSERT_FALSE(step.why.empty());
    EXPECT_EQ(step.why.back(), '.') << step.why;
  }
}

TEST(DesktopTransitions, LetEveryRunningStateStopAndFail) {
  for (const DesktopState state : kAll) {
    if (!IsRunning(state)) continue;
    EXPECT_TRUE(state == kStopping || Legal(state, kStopping)) << ToString(state);
    EXPECT_TRUE(Legal(state, kFailed)) << ToString(state);
  }
}

TEST(Move, StampsStateTimeAndReason) {
  Desktop desktop;
  ASSERT_TRUE(Move(desktop, kReserved, "8 GiB of card 0 are set aside.", kNow));
  EXPECT_EQ(desktop.state, kReserved);
  EXPECT_EQ(desktop.state_since, kNow);
  EXPECT_EQ(desktop.reason, "8 GiB of card 0 are set aside.");
}

TEST(Move, TakesTheTablesReasonWhenNoneIsGiven) {
  for (const DesktopTransition& step : DesktopTransitions()) {
    Desktop desktop;
    desktop.state = step.from;
    ASSERT_TRUE(Move(desktop, step.to, "", kNow));
    EXPECT_EQ(desktop.reason, step.why);
  }
}

TEST(Move, RefusesEveryOtherStepAndChangesNothing) {
  for (const DesktopState from : kAll) {
    for (const DesktopState to : kAll) {
      if (Legal(from, to)) continue;
      Desktop desktop;
      desktop.id = DesktopId("dsk_1");
      desktop.state = from;
      desktop.reason = "before";
      const auto moved = Move(desktop, to, "after", kNow);
      ASSERT_FALSE(moved);
      EXPECT_EQ(moved.error().code, Code::kFailedPrecondition);
      EXPECT_NE(moved.error().message.find("dsk_1"), std::string::npos);
      EXPECT_EQ(desktop.state, from);
      EXPECT_EQ(desktop.reason, "before");
      EXPECT_EQ(desktop.state_since, TimePoint());
    }
  }
}

}  // namespace
}  // namespace sluice
