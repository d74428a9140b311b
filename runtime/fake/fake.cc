// SPDX-License-Identifier: Apache-2.0
#include "runtime/fake.h"

#include <type_traits>
#include <utility>

namespace sluice::runtime {

// The Runtime on a FakeMachine.
class FakeRuntime final : public Runtime {
 public:
  explicit FakeRuntime(FakeMachine& machine) : machine_(machine) {}

  Result<uint32_t> TenantUid(const std::string& home_id) override {
    return On(FakeCall::kTenantUid, [&](State& state) -> Result<uint32_t> {
      constexpr uint32_t kFirst = 100'000;
      const auto next = static_cast<uint32_t>(kFirst + state.users.size());
      return state.users.emplace(home_id, next).first->second;
    });
  }

  Result<void> Prepare(const LaunchSpec& spec) override {
    return On(FakeCall::kPrepare, [&](State& state) -> Result<void> {
      if (auto checked = CheckSpec(spec); !checked) return checked;
      state.homes.insert(spec.home_id);
      FakeMachine::Desktop& desktop = state.desktops[spec.desktop];
      if (!Runs(desktop)) desktop = {.spec = spec};
      return {};
    });
  }

  Result<void> Start(const DesktopId& id) override {
    return On(FakeCall::kStart, [&](State& state) -> Result<void> {
      const auto found = state.desktops.find(id);
      if (found == state.desktops.end()) {
        return Fail(Code::kFailedPrecondition, id.text() + " is not prepared");
      }
      FakeMachine::Desktop& desktop = found->second;
      if (Runs(desktop)) return {};
      desktop.started = true;
      desktop.exited = false;
      desktop.reason.clear();
      desktop.started_at = machine_.clock_.Steady();
      desktop.started_wall = machine_.clock_.Now();
      return {};
    });
  }

  Result<void> Stop(const DesktopId& id, Duration /*grace*/) override {
    return On(FakeCall::kStop, [&](State& state) -> Result<void> {
      const auto found = state.desktops.find(id);
      if (found != state.desktops.end()) found->second = {.spec = found->second.spec};
      return {};
    });
  }

  Result<Status> GetStatus(const DesktopId& id) override {
    return On(FakeCall::kGetStatus, [&](State& state) -> Result<Status> {
      const auto found = state.desktops.find(id);
      return found == state.desktops.end() ? Status() : StatusOf(found->second);
    });
  }

  Result<Attachment> Attach(const DesktopId& id) override {
    return On(FakeCall::kAttach, [&](State& state) -> Result<Attachment> {
      const auto found = state.desktops.find(id);
      const Phase phase =
          found == state.desktops.end() ? Phase::kAbsent : StatusOf(found->second).phase;
      if (phase != Phase::kDisplayUp && phase != Phase::kRunning) {
        return Fail(Code::kFailedPrecondition, "the display of " + id.text() + " is not up");
      }
      return Attachment{"/run/sluice/fake/" + id.text() + "/rfb.sock"};
    });
  }

  Result<void> Remove(const DesktopId& id, bool keep_home) override {
    return On(FakeCall::kRemove, [&](State& state) -> Result<void> {
      const auto found = state.desktops.find(id);
      std::string home = id.text();
      if (found != state.desktops.end()) {
        home = found->second.spec.home_id;
        state.desktops.erase(found);
      }
      for (const auto& [other, desktop] : state.desktops) {
        keep_home = keep_home || desktop.spec.home_id == home;
      }
      if (!keep_home) {
        state.homes.erase(home);
        state.users.erase(home);
      }
      return {};
    });
  }

  std::vector<DesktopId> List() override {
    return machine_.state_.With([](const State& state) {
      std::vector<DesktopId> ids;
      for (const auto& [id, desktop] : state.desktops) ids.push_back(id);
      return ids;
    });
  }

 private:
  using State = FakeMachine::State;

  // Runs `act` on the state unless a failure waits for this call.
  template <typename F>
  std::invoke_result_t<F, FakeMachine::State&> On(FakeCall call, F act) {
    using Answer = std::invoke_result_t<F, FakeMachine::State&>;
    return machine_.state_.With([&](FakeMachine::State& state) -> Answer {
      const auto failure = state.failures.find(call);
      if (failure == state.failures.end()) return act(state);
      Error error = failure->second;
      state.failures.erase(failure);
      return Fail(std::move(error));
    });
  }

  static bool Runs(const FakeMachine::Desktop& desktop) {
    return desktop.started && !desktop.exited;
  }

  Status StatusOf(const FakeMachine::Desktop& desktop) const {
    Status status;
    status.phase = Phase::kPrepared;
    if (desktop.exited) {
      status.phase = Phase::kExited;
      status.reason = desktop.reason;
    }
    if (!Runs(desktop)) return status;
    const Duration age = machine_.clock_.Steady() - desktop.started_at;
    const FakeMachine::Options& options = machine_.options_;
    status.phase = age >= options.first_frame_after  ? Phase::kRunning
                   : age >= options.display_up_after ? Phase::kDisplayUp
                                                     : Phase::kStarting;
    status.limits_in_force = "rlimits";
    status.network = desktop.spec.network ? "outbound" : "none";
    status.supervisor_pid = 1;
    status.started_at = desktop.started_wall;
    return status;
  }

  FakeMachine& machine_;
};

std::unique_ptr<Runtime> FakeMachine::Open() {
  return std::make_unique<FakeRuntime>(*this);
}

void FakeMachine::Exit(const DesktopId& desktop, std::string reason) {
  state_.With([&](State& state) {
    const auto found = state.desktops.find(desktop);
    if (found == state.desktops.end() || !found->second.started) return;
    found->second.exited = true;
    found->second.reason = std::move(reason);
  });
}

void FakeMachine::FailNext(FakeCall call, Error error) {
  state_.With([&](State& state) { state.failures.emplace(call, std::move(error)); });
}

bool FakeMachine::HasHome(const std::string& home_id) const {
  return state_.With([&](const State& state) { return state.homes.contains(home_id); });
}

bool FakeMachine::IsRunning(const DesktopId& desktop) const {
  return state_.With([&](const State& state) {
    const auto found = state.desktops.find(desktop);
    return found != state.desktops.end() && found->second.started && !found->second.exited;
  });
}

LaunchSpec FakeMachine::PreparedSpec(const DesktopId& desktop) const {
  return state_.With([&](const State& state) {
    const auto found = state.desktops.find(desktop);
    return found == state.desktops.end() ? LaunchSpec() : found->second.spec;
  });
}

}  // namespace sluice::runtime
