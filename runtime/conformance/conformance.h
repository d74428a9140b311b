// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "base/result.h"
#include "runtime/runtime.h"

// What every Runtime must do. A test program of an implementation compiles conformance.cc in and
// instantiates RuntimeConformance with a machine of its own.
namespace sluice::runtime {

// A machine for desktops, and what only its maker can do to it.
class MachineUnderTest {
 public:
  virtual ~MachineUnderTest() = default;

  // A Runtime as a freshly started control process would open it.
  virtual std::unique_ptr<Runtime> Open() = 0;

  virtual bool HasHome(const std::string& home_id) = 0;

  // Ends what keeps the desktop, and the server of its display, as `kill -9` does.
  virtual void KillSupervisor(Runtime& runtime, const DesktopId& desktop) = 0;
  virtual void KillDisplay(Runtime& runtime, const DesktopId& desktop) = 0;

  // Whether any process, mount or file of the desktop is left; says which, or "".
  virtual std::string Leftovers(const DesktopId& desktop) = 0;
};

using MakeMachine = std::function<std::unique_ptr<MachineUnderTest>()>;

// Waits until the desktop's phase is `phase`, at most 30 s; the last status.
Status WaitForPhase(Runtime& runtime, const DesktopId& desktop, Phase phase);

LaunchSpec SpecOf(const std::string& name);

class RuntimeConformance : public ::testing::TestWithParam<MakeMachine> {
 protected:
  RuntimeConformance() : machine_(GetParam()()), runtime_(machine_->Open()) {}
  ~RuntimeConformance() override;

  // Prepares, starts and waits for the first frame.
  DesktopId Running(const std::string& name);

  std::unique_ptr<MachineUnderTest> machine_;
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace sluice::runtime
