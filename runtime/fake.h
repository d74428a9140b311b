// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/result.h"
#include "runtime/runtime.h"

namespace sluice::runtime {

// The calls of Runtime that a test can make fail.
enum class FakeCall { kTenantUid, kPrepare, kStart, kStop, kGetStatus, kAttach, kRemove };

// A machine that runs desktops in name only. It stands for what outlives a control process: tests
// open a Runtime on it, drop that and open another. Phases follow the clock. Thread-safe.
class FakeMachine {
 public:
  struct Options {
    Duration display_up_after{0};   // From Start; with 0 it is up at once.
    Duration first_frame_after{0};  // From Start.
  };

  explicit FakeMachine(const Clock& clock) : FakeMachine(clock, Options()) {}
  FakeMachine(const Clock& clock, Options options) : clock_(clock), options_(options) {}

  // A view on this machine, which must outlive it.
  std::unique_ptr<Runtime> Open();

  // What happens to a running desktop: it ends by itself, or is killed.
  void Exit(const DesktopId& desktop, std::string reason);

  // The next call of this kind answers `error` and does nothing. Several are answered in order.
  void FailNext(FakeCall call, Error error);

  bool HasHome(const std::string& home_id) const;
  bool IsRunning(const DesktopId& desktop) const;
  // The spec of the last Prepare; empty id when there was none.
  LaunchSpec PreparedSpec(const DesktopId& desktop) const;

 private:
  friend class FakeRuntime;

  struct Desktop {
    LaunchSpec spec;
    bool started = false;
    bool exited = false;
    Duration started_at{};
    TimePoint started_wall;
    std::string reason;
  };
  struct State {
    std::map<DesktopId, Desktop> desktops;
    std::set<std::string> homes;
    std::map<std::string, uint32_t> users;
    std::multimap<FakeCall, Error> failures;
  };

  const Clock& clock_;
  const Options options_;
  Guarded<State> state_;
};

}  // namespace sluice::runtime
