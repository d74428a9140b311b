// SPDX-License-Identifier: Apache-2.0
// Programs that go round the interposer, in front of simulated cards, and what the agent does with
// them by the rule of the share's pool.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <unistd.h>

#include "agent/internal/process_look.h"
#include "agent/internal/testing/simulated.h"
#include "agent/local_agent.h"
#include "shim/share_box.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;
using shim::ShareBox;
using testing::Eventually;

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kRound = kBuild + "/tests/agent_round_probe";
const std::string kProbe = kBuild + "/tests/shim_probe";
const std::string kGateProbe = kBuild + "/tests/shim_gate_probe";
const std::string kBytes = std::to_string(GiB(3).value());

class BypassTest : public ::testing::Test {
 protected:
  BypassTest() : box_(testing::OfOwnPids("1x24GiB")) {
    backend_ = testing::OpenCards(box_);
    agent_ = testing::StartAgent(box_, *backend_);
  }

  void Prepare(BypassRule rule) {
    ShareSpec spec;
    spec.claim = kClaim;
    spec.allocations = {{GpuId(box_.Uuid(0)), 2_GiB, ComputeMillis(0), ComputeMillis(0)}};
    spec.tenant_uid = geteuid();
    spec.rules.bypass_rule = rule;
    auto prepared = agent_->Prepare(spec);
    ASSERT_TRUE(prepared) << prepared.error().message;
    box_.UseRegion(box_.folder() + "/shares/" + kClaim.text());
  }

  // The next step that the agent tells.
  std::optional<Bypass> Next() {
    EXPECT_TRUE(Eventually([&] {
      for (Bypass& bypass : agent_->TakeBypasses()) told_.push_back(std::move(bypass));
      return !told_.empty();
    }));
    if (told_.empty()) return std::nullopt;
    Bypass first = told_.front();
    told_.erase(told_.begin());
    return first;
  }

  DeviceUsage Usage() { return agent_->Usage(kClaim)->devices.at(0); }

  const ClaimId kClaim{"clm_round"};
  ShareBox box_;
  std::unique_ptr<device::Backend> backend_;
  std::unique_ptr<Agent> agent_;
  std::vector<Bypass> told_;
};

TEST_F(BypassTest, TellsOfAProgramThatIsAloneInItsShare) {
  Prepare(BypassRule::kWarn);
  auto program = box_.Start({kRound, kBytes});
  ASSERT_EQ(ShareBox::ReadLine(program.from), "0");
  const auto found = Next();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, BypassStep::kWarned);
  EXPECT_EQ(found->claim, kClaim);
  EXPECT_EQ(found->gpu.text(), box_.Uuid(0));
  EXPECT_EQ(found->memory, 3_GiB + 300_MiB);
  EXPECT_EQ(found->unseen, found->memory);
  EXPECT_EQ(found->command, "agent_round_pro");
  // What it holds is the share's, so nobody else in it is given any more.
  EXPECT_TRUE(Eventually([&] { return Usage().used == 2_GiB && Usage().bypassing == 1; }));
  EXPECT_EQ(box_.Run({kProbe, "dlsym", "route", "cuMemAlloc_v2", "1048576"}).output, "2\n");
  EXPECT_EQ(box_.Finish(program), 0);
  EXPECT_EQ(Next()->step, BypassStep::kEnded);
  EXPECT_TRUE(Eventually([&] { return Usage().used == 0_GiB && Usage().bypassing == 0; }));
}

TEST_F(BypassTest, EndsExactlyThatProgram) {
  Prepare(BypassRule::kEnd);
  auto honest = box_.Start({kProbe, "dlsym", "hold", "1048576"});
  ASSERT_EQ(ShareBox::ReadLine(honest.from), "0");
  auto program = box_.Start({kRound, kBytes});
  ASSERT_EQ(ShareBox::ReadLine(program.from), "0");
  const auto asked = Next();
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->step, BypassStep::kAsked);
  // The first process of a process namespace ends by SIGTERM only if it wants to.
  EXPECT_EQ(Next()->step, BypassStep::kKilled);
  EXPECT_EQ(box_.Finish(program), 128 + SIGKILL);
  EXPECT_EQ(Next()->step, BypassStep::kEnded);
  EXPECT_EQ(box_.Finish(honest), 0);
}

TEST_F(BypassTest, LeavesAProgramOfTheHostAlone) {
  Prepare(BypassRule::kEnd);
  // It uses the same card, without any share.
  const std::string state = "SLUICE_SIMGPU_STATE=" + box_.state_folder();
  const std::string path = "LD_LIBRARY_PATH=" + kBuild + "/lib/simgpu";
  int in[2];
  int out[2];
  ASSERT_EQ(pipe(in), 0);
  ASSERT_EQ(pipe(out), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    execl("/usr/bin/env",
          "env",
          state.c_str(),
          path.c_str(),
          kRound.c_str(),
          kBytes.c_str(),
          nullptr);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  EXPECT_EQ(ShareBox::ReadLine(out[0]), "0");
  auto program = box_.Start({kRound, kBytes});
  ASSERT_EQ(ShareBox::ReadLine(program.from), "0");
  // By the time at which the share's own was dealt with, the other would have been as well.
  const auto asked = Next();
  ASSERT_TRUE(asked);
  EXPECT_NE(asked->host_pid, child);
  box_.Kill(program);
  while (Next()->step != BypassStep::kEnded) {
  }
  EXPECT_TRUE(ProcessLook(child).alive());
  close(in[1]);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  close(out[0]);
  EXPECT_TRUE(agent_->TakeBypasses().empty());
}

TEST_F(BypassTest, SlowsTheSharesWorkDownUntilTheProgramEnds) {
  Prepare(BypassRule::kThrottle);
  auto honest = box_.Start({kGateProbe});
  ASSERT_EQ(ShareBox::ReadLine(honest.from), "ready");
  const std::string work = "keep kernel 1000 600000 0\n";
  ASSERT_EQ(write(honest.to, work.data(), work.size()), static_cast<ssize_t>(work.size()));
  const auto busy = [&] { return Usage().compute_used.value(); };
  EXPECT_TRUE(Eventually([&] { return busy() > 800; }));
  auto program = box_.Start({kRound, kBytes});
  ASSERT_EQ(ShareBox::ReadLine(program.from), "0");
  EXPECT_EQ(Next()->step, BypassStep::kThrottled);
  EXPECT_TRUE(Eventually([&] { return busy() > 0 && busy() < 100; }));
  EXPECT_EQ(box_.Finish(program), 0);
  EXPECT_EQ(Next()->step, BypassStep::kEnded);
  EXPECT_TRUE(Eventually([&] { return busy() > 800; }));
}

TEST_F(BypassTest, TakesAnotherRuleWhileTheProgramRuns) {
  Prepare(BypassRule::kWarn);
  auto program = box_.Start({kRound, kBytes, "stubborn"});
  ASSERT_EQ(ShareBox::ReadLine(program.from), "0");
  EXPECT_EQ(Next()->step, BypassStep::kWarned);
  ASSERT_TRUE(agent_->Govern(kClaim, {.bypass_rule = BypassRule::kEnd}));
  EXPECT_EQ(Next()->step, BypassStep::kAsked);
  EXPECT_EQ(Next()->step, BypassStep::kKilled);
  EXPECT_EQ(box_.Finish(program), 128 + SIGKILL);
  EXPECT_EQ(agent_->Govern(ClaimId("clm_none"), {}).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace sluice::agent
