// SPDX-License-Identifier: Apache-2.0
#include "control/internal/share_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using agent::BypassStep;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::House;

class Rules : public ::testing::Test {
 protected:
  Rules() {
    pool_.id = PoolId("shared");
    house_.node.AddCard("GPU-1", 24_GiB);
    house_.Run();
    desktop_ = house_.AddDesktop("first", 8_GiB);
    house_.Change(desktop_, [](Desktop& desktop) { desktop.request.priority = 7; });
    house_.Run();
  }
  void Put() {
    const auto done = house_.real_store->Commit(std::vector{store::Put(pool_, std::nullopt)});
    ASSERT_TRUE(done);
    house_.Run();
  }
  ClaimId Claim() { return house_.Get(desktop_).claim; }
  agent::ShareRules Enforced() { return house_.node.regions.at(Claim()).rules; }
  // The agent has done something about a program.
  void Tell(BypassStep step, BypassRule rule) {
    house_.node.bypasses.push_back({.claim = Claim(),
                                    .gpu = GpuId("GPU-1"),
                                    .host_pid = 4711,
                                    .command = "miner",
                                    .memory = 3_GiB,
                                    .unseen = 2_GiB,
                                    .rule = rule,
                                    .step = step});
    house_.Run();
  }
  std::string LastNote() {
    std::string detail;
    for (const AuditNote& note : house_.audit.notes) {
      if (note.action == "share.bypass") detail = note.target + ": " + note.detail;
    }
    return detail;
  }

  House house_;
  Pool pool_;
  DesktopId desktop_;
};

TEST_F(Rules, GoToTheAgentWhenThePoolChanges) {
  EXPECT_EQ(Enforced(), agent::ShareRules());
  pool_.bypass_rule = BypassRule::kEnd;
  pool_.bypass_slack = 2_GiB;
  Put();
  EXPECT_EQ(Enforced().bypass_rule, BypassRule::kEnd);
  EXPECT_EQ(Enforced().bypass_slack, 2_GiB);
  EXPECT_EQ(Enforced().priority, 0);
  pool_.strict_priority = true;
  Put();
  EXPECT_EQ(Enforced().priority, 7);
  const DesktopId second = house_.AddDesktop("second", 4_GiB);
  house_.Run();
  EXPECT_EQ(house_.node.regions.at(house_.Get(second).claim).rules.bypass_rule, BypassRule::kEnd);
}

TEST_F(Rules, GoToTheAgentAgainAfterARestart) {
  pool_.bypass_rule = BypassRule::kThrottle;
  Put();
  house_.node.regions.at(Claim()).rules = {};  // As a restarted agent has it.
  house_.RestartControl();
  house_.Run();
  EXPECT_EQ(Enforced().bypass_rule, BypassRule::kThrottle);
}

TEST_F(Rules, SayInTheAuditLogWhoHeldWhatAndWhatWasDone) {
  Tell(BypassStep::kAsked, BypassRule::kEnd);
  EXPECT_THAT(LastNote(),
              AllOf(HasSubstr(desktop_.text() + ": "),
                    HasSubstr("desktop first"),
                    HasSubstr("\"miner\" (process 4711 of the host)"),
                    HasSubstr("holds 3 GiB of GPU-1, 2 GiB of it round"),
                    HasSubstr("asked to end (rule: end)")));
  EXPECT_THAT(house_.Get(desktop_).message, HasSubstr("\"miner\" holds 2 GiB"));
  EXPECT_EQ(house_.Get(desktop_).message_from, MessageSender::kSystem);
  Tell(BypassStep::kEnded, BypassRule::kEnd);
  EXPECT_THAT(LastNote(), HasSubstr("ended (rule: end)"));
  EXPECT_THAT(house_.Get(desktop_).message, HasSubstr("asked to end"));
}

TEST_F(Rules, TellTheUserForAsLongAsTheProgramLives) {
  Tell(BypassStep::kThrottled, BypassRule::kThrottle);
  EXPECT_THAT(house_.Get(desktop_).message, HasSubstr("slowed down"));
  Tell(BypassStep::kEnded, BypassRule::kThrottle);
  EXPECT_EQ(house_.Get(desktop_).message, "");
}

TEST_F(Rules, LeaveAnOperatorsMessageAlone) {
  Tell(BypassStep::kWarned, BypassRule::kWarn);
  house_.Change(desktop_, [](Desktop& desktop) { desktop.message = "Back at noon."; });
  Tell(BypassStep::kEnded, BypassRule::kWarn);
  EXPECT_EQ(house_.Get(desktop_).message, "Back at noon.");
}

TEST_F(Rules, NameARunByItsCommand) {
  const ClaimId run = house_.AddRun(4242, 4_GiB);
  house_.Run();
  house_.node.bypasses.push_back({.claim = run, .gpu = GpuId("GPU-1"), .command = "x"});
  house_.Run();
  EXPECT_THAT(LastNote(), HasSubstr(run.text() + ": "));
}

}  // namespace
}  // namespace sluice::control
