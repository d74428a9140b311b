// SPDX-License-Identifier: Apache-2.0
#include "control/internal/desktop_steps.h"

#include <gtest/gtest.h>
#include <set>

namespace sluice::control {
namespace {

constexpr DesktopState kStates[] = {DesktopState::kQueued,
                                    DesktopState::kReserved,
                                    DesktopState::kProvisioning,
                                    DesktopState::kStarting,
                                    DesktopState::kReady,
                                    DesktopState::kConnected,
                                    DesktopState::kIdleWarned,
                                    DesktopState::kSuspending,
                                    DesktopState::kSuspended,
                                    DesktopState::kStopping,
                                    DesktopState::kStopped,
                                    DesktopState::kFailed,
                                    DesktopState::kDeleting};

// Every combination of what a row and the world around it can be.
template <typename Visit>
void ForEverySituation(Visit visit) {
  using runtime::Phase;
  for (const DesktopState state : kStates) {
    for (const DesiredState desired :
         {DesiredState::kRunning, DesiredState::kStopped, DesiredState::kDeleted}) {
      for (int claim = -1; claim < 5; ++claim) {
        for (int phase = -1; phase < 6; ++phase) {
          for (int job = -1; job < 10; ++job) {
            for (int flags = 0; flags < 16; ++flags) {
              Desktop desktop;
              desktop.id = DesktopId("dsk_1");
              desktop.state = state;
              desktop.desired = desired;
              desktop.reason = "Because.";
              desktop.restart_generation = flags & 1;
              desktop.idle.stop_after = Duration((flags & 2) != 0 ? 1'000 : 0);
              Claim row{.id = ClaimId("clm_1")};
              DesktopFacts facts;
              facts.now = TimePoint(Duration(1'000'000));
              facts.fresh_claim = ClaimId("clm_2");
              if (claim >= 0) {
                desktop.claim = row.id;
                row.phase = static_cast<ClaimPhase>(claim);
                row.reason = "Waiting.";
                facts.claim = &row;
              }
              if (phase >= 0) facts.status = runtime::Status{.phase = static_cast<Phase>(phase)};
              if (job >= 0) {
                facts.finished = FinishedJob{.job = static_cast<Job>(job % 5)};
                if (job >= 5) facts.finished->error = Error{Code::kInternal, "It broke", {}};
              }
              facts.job_running = (flags & 4) != 0;
              facts.in_state = Duration((flags & 8) != 0 ? 100'000 : 0);
              visit(desktop, facts);
            }
          }
        }
      }
    }
  }
}

TEST(DesktopSteps, AreLegalAndHaveAReasonInEverySituation) {
  ForEverySituation([](const Desktop& desktop, const DesktopFacts& facts) {
    const DesktopStep step = NextDesktopStep(desktop, facts);
    if (step.row) {
      ASSERT_FALSE(step.row->reason.empty());
      ASSERT_EQ(step.row->id, desktop.id);
    }
    if (facts.job_running) {
      ASSERT_EQ(step.job, Job::kNone);
    }
    // What holds memory is let go of only when its processes and regions are gone.
    if (step.claim == ClaimChange::kRelease && facts.claim != nullptr &&
        !facts.claim->allocations.empty()) {
      ASSERT_TRUE(facts.finished && facts.finished->job == Job::kClear && !facts.finished->error);
    }
    if (step.erase) {
      ASSERT_TRUE(desktop.claim.empty());
    }
  });
}

TEST(DesktopSteps, NeverStandStillWhileAWishIsOpen) {
  ForEverySituation([](const Desktop& desktop, const DesktopFacts& facts) {
    if (facts.job_running) return;
    if (desktop.desired != DesiredState::kDeleted) return;
    const DesktopStep step = NextDesktopStep(desktop, facts);
    ASSERT_FALSE(step.empty()) << ToString(desktop.state);
  });
}

TEST(DesktopSteps, WriteSpansForPeople) {
  EXPECT_EQ(SpanText(Duration(60'000)), "60 s");
  EXPECT_EQ(SpanText(Duration(25 * 60'000)), "25 min");
  EXPECT_EQ(SpanText(Duration(60 * 60'000)), "1 h");
  EXPECT_EQ(SpanText(Duration(95 * 60'000)), "1 h 35 min");
}

}  // namespace
}  // namespace sluice::control
