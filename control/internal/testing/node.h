// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "runtime/runtime.h"

// A machine in memory for control's tests: cards, regions and desktops that know of each other, so
// that a test can see what must never be (a running desktop without its region). Its agent and its
// runtime are thread-safe; the open members are for a test that has no threads.
namespace sluice::control::testing {

// What a call does besides its work: nothing, fail without effect, or have its effect and fail.
enum class Fault { kNone, kBefore, kAfter };

class Node {
 public:
  struct Box {  // A desktop as the runtime has it.
    runtime::Phase phase = runtime::Phase::kAbsent;
    std::string reason;
    ClaimId claim;
    int starts = 0;
  };

  void AddCard(const std::string& id, Bytes memory, const std::string& model = "Test GPU");
  void RemoveCard(const std::string& id);
  // The sandbox ends by itself.
  void Kill(const DesktopId& desktop, const std::string& reason);

  bool agent_silent = false;
  std::optional<Error> prepare_error;  // Of the runtime.
  std::optional<Error> start_error;
  std::optional<Error> stop_error;
  bool stuck_starting = false;  // The display never comes up.
  int utilization_percent = 0;
  Bytes least_memory;  // Used by every share: none is resized below it.
  std::function<Fault(const std::string& call)> fault = [](const std::string&) {
    return Fault::kNone;
  };

  std::map<GpuId, Gpu> cards;
  std::map<ClaimId, agent::ShareSpec> regions;
  std::vector<agent::Bypass> bypasses;  // For the next who asks.
  std::map<DesktopId, Box> boxes;
  std::map<std::string, int> homes;  // By home id; how often it was made.

  agent::Agent& agent() { return agent_; }
  runtime::Runtime& runtime() { return runtime_; }

 private:
  // Runs `effect` as the fault says.
  Result<void> Call(const std::string& name, const std::function<void()>& effect);

  class NodeAgent final : public agent::Agent {
   public:
    explicit NodeAgent(Node& node) : node_(node) {}
    Result<std::vector<agent::CardState>> Cards() override;
    Result<agent::PreparedShare> Prepare(const agent::ShareSpec& spec) override;
    Result<void> Resize(const ClaimId& claim, const std::vector<Allocation>& allocations) override;
    Result<void> Govern(const ClaimId& claim, const agent::ShareRules& rules) override;
    std::vector<agent::Bypass> TakeBypasses() override;
    Result<void> Release(const ClaimId& claim) override;
    Result<agent::ShareUsage> Usage(const ClaimId& claim) override;
    std::vector<ClaimId> Prepared() override;

   private:
    Node& node_;
  };

  class NodeRuntime final : public runtime::Runtime {
   public:
    explicit NodeRuntime(Node& node) : node_(node) {}
    Result<uint32_t> TenantUid(const std::string& home_id) override;
    Result<void> Prepare(const runtime::LaunchSpec& spec) override;
    Result<void> Start(const DesktopId& desktop) override;
    Result<void> Stop(const DesktopId& desktop, Duration grace) override;
    Result<runtime::Status> GetStatus(const DesktopId& desktop) override;
    Result<runtime::Attachment> Attach(const DesktopId& desktop) override;
    Result<void> Remove(const DesktopId& desktop, bool keep_home) override;
    std::vector<DesktopId> List() override;

   private:
    Node& node_;
  };

  std::recursive_mutex mutex_;  // Held by every call: they call each other.
  NodeAgent agent_{*this};
  NodeRuntime runtime_{*this};
};

}  // namespace sluice::control::testing
