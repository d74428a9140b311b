// SPDX-License-Identifier: Apache-2.0
#include "runtime/conformance/conformance.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace sluice::runtime {

Status WaitForPhase(Runtime& runtime, const DesktopId& desktop, Phase phase) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Status last;
  while (std::chrono::steady_clock::now() < deadline) {
    auto status = runtime.GetStatus(desktop);
    if (status) last = *status;
    if (last.phase == phase) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(ToString(last.phase), ToString(phase)) << last.reason;
  return last;
}

LaunchSpec SpecOf(const std::string& name) {
  LaunchSpec spec;
  spec.desktop = DesktopId("dsk_" + name);
  spec.name = "Desktop " + name;
  spec.owner = UserId("usr_" + name);
  spec.user_name = "lina";
  spec.home_id = "home_" + name;
  spec.width = 800;
  spec.height = 600;
  return spec;
}

RuntimeConformance::~RuntimeConformance() {
  for (const DesktopId& desktop : runtime_->List()) {
    EXPECT_TRUE(runtime_->Remove(desktop, false));
  }
}

DesktopId RuntimeConformance::Running(const std::string& name) {
  const LaunchSpec spec = SpecOf(name);
  const auto prepared = runtime_->Prepare(spec);
  EXPECT_TRUE(prepared) << ToString(prepared.error());
  const auto started = runtime_->Start(spec.desktop);
  EXPECT_TRUE(started) << ToString(started.error());
  WaitForPhase(*runtime_, spec.desktop, Phase::kRunning);
  return spec.desktop;
}

namespace {

Code CodeOf(const Result<void>& result) {
  return result ? Code::kUnknown : result.error().code;
}

}  // namespace

TEST_P(RuntimeConformance, KnowsNothingOfAnUnknownDesktop) {
  const DesktopId unknown("dsk_unknown");
  const auto status = runtime_->GetStatus(unknown);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->phase, Phase::kAbsent);
  EXPECT_TRUE(runtime_->List().empty());
  EXPECT_EQ(CodeOf(runtime_->Start(unknown)), Code::kFailedPrecondition);
  EXPECT_TRUE(runtime_->Stop(unknown, Duration(0)));
  EXPECT_TRUE(runtime_->Remove(unknown, false));
}

TEST_P(RuntimeConformance, RefusesASpecThatCouldLeaveItsPlace) {
  for (const auto& [name, spoil] :
       std::initializer_list<std::pair<const char*,
                                       std::function<void(LaunchSpec&)>>>{{"desktop",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.desktop =
                                                                                 DesktopId(
                                                                                     "../etc");
                                                                           }},
                                                                          {"user",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.user_name = "a:b";
                                                                           }},
                                                                          {"root",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.user_name =
                                                                                 "root";
                                                                           }},
                                                                          {"home",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.home_id =
                                                                                 "a/../../b";
                                                                           }},
                                                                          {"empty home",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.home_id = "";
                                                                           }},
                                                                          {"keyboard",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.keyboard_layout =
                                                                                 "us; reboot";
                                                                           }},
                                                                          {"name",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.name = "a\nb";
                                                                           }},
                                                                          {"command",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.autostart = {
                                                                                 "a\nb"};
                                                                           }},
                                                                          {"size",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.width = 100'000;
                                                                           }},
                                                                          {"memory",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.memory_max =
                                                                                 Bytes(-1);
                                                                           }},
                                                                          {"mount",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.share.emplace()
                                                                                 .mounts = {
                                                                                 {"relative",
                                                                                  "/run/sluice/"
                                                                                  "policy",
                                                                                  false}};
                                                                           }},
                                                                          {"device",
                                                                           [](LaunchSpec& spec) {
                                                                             spec.share.emplace()
                                                                                 .device_nodes = {
                                                                                 "/etc/shadow"};
                                                                           }}}) {
    LaunchSpec spec = SpecOf("bad");
    spoil(spec);
    EXPECT_EQ(CodeOf(runtime_->Prepare(spec)), Code::kInvalidArgument) << name;
  }
  EXPECT_TRUE(runtime_->List().empty());
}

TEST_P(RuntimeConformance, PreparesTwiceWithTheSameResult) {
  const LaunchSpec spec = SpecOf("twice");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(runtime_->Prepare(spec));
    EXPECT_EQ(runtime_->GetStatus(spec.desktop)->phase, Phase::kPrepared);
  }
  EXPECT_TRUE(machine_->HasHome(spec.home_id));
  EXPECT_EQ(runtime_->List(), std::vector{spec.desktop});
  EXPECT_FALSE(runtime_->Attach(spec.desktop));
}

TEST_P(RuntimeConformance, ShowsItsFirstFrameAndCanBeAttached) {
  const DesktopId desktop = Running("frame");
  const auto status = runtime_->GetStatus(desktop);
  ASSERT_TRUE(status);
  EXPECT_GT(status->supervisor_pid, 0);
  EXPECT_FALSE(status->limits_in_force.empty());
  EXPECT_FALSE(status->network.empty());
  EXPECT_GT(status->started_at, TimePoint());
  const auto attachment = runtime_->Attach(desktop);
  ASSERT_TRUE(attachment);
  EXPECT_FALSE(attachment->rfb_socket.empty());
}

TEST_P(RuntimeConformance, StartsWhatRunsWithoutStartingItAgain) {
  const DesktopId desktop = Running("again");
  const int64_t pid = runtime_->GetStatus(desktop)->supervisor_pid;
  ASSERT_TRUE(runtime_->Prepare(SpecOf("again")));
  ASSERT_TRUE(runtime_->Start(desktop));
  EXPECT_EQ(runtime_->GetStatus(desktop)->phase, Phase::kRunning);
  EXPECT_EQ(runtime_->GetStatus(desktop)->supervisor_pid, pid);
}

TEST_P(RuntimeConformance, KeepsTheHomeOverStopAndStart) {
  const DesktopId desktop = Running("stop");
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(runtime_->Stop(desktop, Duration(2000)));
  EXPECT_EQ(runtime_->GetStatus(desktop)->phase, Phase::kPrepared);
  EXPECT_EQ(runtime_->GetStatus(desktop)->supervisor_pid, 0);
  EXPECT_TRUE(machine_->HasHome("home_stop"));
  EXPECT_FALSE(runtime_->Attach(desktop));
  ASSERT_TRUE(runtime_->Start(desktop));
  WaitForPhase(*runtime_, desktop, Phase::kRunning);
}

TEST_P(RuntimeConformance, RemovesARunningDesktopAndKeepsTheHomeIfAsked) {
  const DesktopId desktop = Running("kept");
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(runtime_->Remove(desktop, true));
  EXPECT_EQ(runtime_->GetStatus(desktop)->phase, Phase::kAbsent);
  EXPECT_TRUE(machine_->HasHome("home_kept"));
  EXPECT_EQ(machine_->Leftovers(desktop), "");
  ASSERT_TRUE(runtime_->Prepare(SpecOf("kept")));
  ASSERT_TRUE(runtime_->Remove(desktop, false));
  EXPECT_FALSE(machine_->HasHome("home_kept"));
  EXPECT_TRUE(runtime_->List().empty());
}

TEST_P(RuntimeConformance, RemovesTheHomeOfADesktopThatIsNoLongerPrepared) {
  LaunchSpec spec = SpecOf("gone");
  spec.home_id = spec.desktop.text();
  ASSERT_TRUE(runtime_->Prepare(spec));
  ASSERT_TRUE(runtime_->Remove(spec.desktop, true));
  EXPECT_TRUE(machine_->HasHome(spec.home_id));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(runtime_->Remove(spec.desktop, false));
  EXPECT_FALSE(machine_->HasHome(spec.home_id));
}

TEST_P(RuntimeConformance, KeepsAHomeThatAnotherDesktopUses) {
  LaunchSpec first = SpecOf("first");
  LaunchSpec second = SpecOf("second");
  second.home_id = first.home_id;
  ASSERT_TRUE(runtime_->Prepare(first));
  ASSERT_TRUE(runtime_->Prepare(second));
  ASSERT_TRUE(runtime_->Remove(first.desktop, false));
  EXPECT_TRUE(machine_->HasHome(first.home_id));
  ASSERT_TRUE(runtime_->Remove(second.desktop, false));
  EXPECT_FALSE(machine_->HasHome(first.home_id));
}

TEST_P(RuntimeConformance, IsAdoptedByTheNextProcess) {
  const DesktopId desktop = Running("adopted");
  const int64_t pid = runtime_->GetStatus(desktop)->supervisor_pid;
  runtime_ = machine_->Open();
  EXPECT_EQ(runtime_->List(), std::vector{desktop});
  const auto status = runtime_->GetStatus(desktop);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->phase, Phase::kRunning);
  EXPECT_EQ(status->supervisor_pid, pid);
  EXPECT_TRUE(runtime_->Attach(desktop));
  EXPECT_TRUE(runtime_->Stop(desktop, Duration(2000)));
  EXPECT_EQ(machine_->Open()->GetStatus(desktop)->phase, Phase::kPrepared);
}

TEST_P(RuntimeConformance, SaysThatTheSupervisorWasKilledAndStartsAgain) {
  const DesktopId desktop = Running("orphan");
  machine_->KillSupervisor(*runtime_, desktop);
  const Status status = WaitForPhase(*runtime_, desktop, Phase::kExited);
  EXPECT_NE(status.reason.find("killed"), std::string::npos) << status.reason;
  EXPECT_EQ(status.supervisor_pid, 0);
  EXPECT_FALSE(runtime_->Attach(desktop));
  ASSERT_TRUE(runtime_->Start(desktop));
  WaitForPhase(*runtime_, desktop, Phase::kRunning);
}

TEST_P(RuntimeConformance, SaysThatTheDisplayWasKilledAndStartsNothingByItself) {
  const DesktopId desktop = Running("blind");
  machine_->KillDisplay(*runtime_, desktop);
  const Status status = WaitForPhase(*runtime_, desktop, Phase::kExited);
  EXPECT_NE(status.reason.find("display server was killed"), std::string::npos) << status.reason;
  ASSERT_TRUE(runtime_->Stop(desktop, Duration(0)));
  EXPECT_EQ(runtime_->GetStatus(desktop)->phase, Phase::kPrepared);
}

TEST_P(RuntimeConformance, GivesAHomeTheSameUserEachTime) {
  const auto first = runtime_->TenantUid("home_user");
  ASSERT_TRUE(first);
  EXPECT_EQ(*machine_->Open()->TenantUid("home_user"), *first);
}

TEST_P(RuntimeConformance, KeepsDesktopsApart) {
  const DesktopId one = Running("one");
  const DesktopId two = Running("two");
  EXPECT_NE(runtime_->Attach(one)->rfb_socket, runtime_->Attach(two)->rfb_socket);
  ASSERT_TRUE(runtime_->Stop(one, Duration(0)));
  EXPECT_EQ(runtime_->GetStatus(two)->phase, Phase::kRunning);
}

}  // namespace sluice::runtime
