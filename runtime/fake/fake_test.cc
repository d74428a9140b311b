// SPDX-License-Identifier: Apache-2.0
#include "runtime/fake.h"

#include <gtest/gtest.h>

#include "runtime/conformance/conformance.h"

namespace sluice::runtime {
namespace {

class FakeUnderTest final : public MachineUnderTest {
 public:
  std::unique_ptr<Runtime> Open() override { return machine_.Open(); }
  bool HasHome(const std::string& home_id) override { return machine_.HasHome(home_id); }
  void KillSupervisor(Runtime&, const DesktopId& desktop) override {
    machine_.Exit(desktop, "the desktop's supervisor was killed");
  }
  void KillDisplay(Runtime&, const DesktopId& desktop) override {
    machine_.Exit(desktop, "the display server was killed (signal 9)");
  }
  std::string Leftovers(const DesktopId& desktop) override {
    return machine_.IsRunning(desktop) ? "it runs" : "";
  }

 private:
  ManualClock clock_;
  FakeMachine machine_{clock_};
};

INSTANTIATE_TEST_SUITE_P(Fake, RuntimeConformance, ::testing::Values([] {
                           return std::unique_ptr<MachineUnderTest>(new FakeUnderTest);
                         }));

TEST(FakeMachine, GoesThroughItsPhasesByTheClock) {
  ManualClock clock;
  FakeMachine machine(clock,
                      {.display_up_after = Duration(100), .first_frame_after = Duration(300)});
  const auto runtime = machine.Open();
  const LaunchSpec spec = SpecOf("phases");
  ASSERT_TRUE(runtime->Prepare(spec));
  ASSERT_TRUE(runtime->Start(spec.desktop));
  EXPECT_EQ(runtime->GetStatus(spec.desktop)->phase, Phase::kStarting);
  EXPECT_FALSE(runtime->Attach(spec.desktop));
  clock.Advance(Duration(100));
  EXPECT_EQ(runtime->GetStatus(spec.desktop)->phase, Phase::kDisplayUp);
  EXPECT_TRUE(runtime->Attach(spec.desktop));
  clock.Advance(Duration(200));
  EXPECT_EQ(runtime->GetStatus(spec.desktop)->phase, Phase::kRunning);
}

TEST(FakeMachine, AnswersInjectedFailuresInOrderAndThenWorks) {
  ManualClock clock;
  FakeMachine machine(clock);
  const auto runtime = machine.Open();
  machine.FailNext(FakeCall::kPrepare, {Code::kResourceExhausted, "disk full", {}});
  machine.FailNext(FakeCall::kPrepare, {Code::kInternal, "odd", {}});
  const LaunchSpec spec = SpecOf("faults");
  EXPECT_EQ(runtime->Prepare(spec).error().code, Code::kResourceExhausted);
  EXPECT_EQ(runtime->Prepare(spec).error().code, Code::kInternal);
  EXPECT_TRUE(runtime->Prepare(spec));
}

}  // namespace
}  // namespace sluice::runtime
