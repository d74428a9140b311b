// SPDX-License-Identifier: Apache-2.0
#include "control/internal/testing/node.h"

#include <utility>

namespace sluice::control::testing {

using runtime::Phase;

void Node::AddCard(const std::string& id, Bytes memory, const std::string& model) {
  Gpu gpu;
  gpu.id = GpuId(id);
  gpu.node = NodeId("node");
  gpu.index = static_cast<int>(cards.size());
  gpu.vendor = "nvidia";
  gpu.model = model;
  gpu.memory = memory;
  cards[gpu.id] = gpu;
}

void Node::RemoveCard(const std::string& id) {
  cards.erase(GpuId(id));
}

void Node::Kill(const DesktopId& desktop, const std::string& reason) {
  boxes[desktop].phase = Phase::kExited;
  boxes[desktop].reason = reason;
}

Result<void> Node::Call(const std::string& name, const std::function<void()>& effect) {
  const Fault what = fault(name);
  if (what != Fault::kBefore) effect();
  if (what != Fault::kNone) return Fail(Code::kUnavailable, name + " was cut off");
  return {};
}

Result<std::vector<agent::CardState>> Node::NodeAgent::Cards() {
  std::lock_guard lock(node_.mutex_);
  if (node_.agent_silent) return Fail(Code::kUnavailable, "silent");
  std::vector<agent::CardState> states;
  for (const auto& [id, gpu] : node_.cards) states.push_back({gpu, {}});
  return states;
}

Result<agent::PreparedShare> Node::NodeAgent::Prepare(const agent::ShareSpec& spec) {
  std::lock_guard lock(node_.mutex_);
  const auto done = node_.Call("agent.prepare", [&] { node_.regions[spec.claim] = spec; });
  if (!done) return Fail(done.error());
  agent::PreparedShare share;
  share.preload = "/run/sluice/lib/libsluice-cuda.so";
  share.mounts = {{"/regions/" + spec.claim.text(), "/run/sluice/ledger", true}};
  return share;
}

Result<void> Node::NodeAgent::Resize(const ClaimId& claim,
                                     const std::vector<Allocation>& allocations) {
  std::lock_guard lock(node_.mutex_);
  const auto found = node_.regions.find(claim);
  if (found == node_.regions.end()) return Fail(Code::kNotFound, "no regions");
  if (allocations.front().memory < node_.least_memory) {
    return Fail(Code::kFailedPrecondition,
                "its programs use " + ToText(node_.least_memory) + " now");
  }
  return node_.Call("agent.resize", [&] { found->second.allocations = allocations; });
}

Result<void> Node::NodeAgent::Govern(const ClaimId& claim, const agent::ShareRules& rules) {
  std::lock_guard lock(node_.mutex_);
  const auto found = node_.regions.find(claim);
  if (found == node_.regions.end()) return Fail(Code::kNotFound, "no regions");
  return node_.Call("agent.govern", [&] { found->second.rules = rules; });
}

std::vector<agent::Bypass> Node::NodeAgent::TakeBypasses() {
  std::lock_guard lock(node_.mutex_);
  return std::exchange(node_.bypasses, {});
}

Result<void> Node::NodeAgent::Release(const ClaimId& claim) {
  std::lock_guard lock(node_.mutex_);
  return node_.Call("agent.release", [&] { node_.regions.erase(claim); });
}

Result<agent::ShareUsage> Node::NodeAgent::Usage(const ClaimId& claim) {
  std::lock_guard lock(node_.mutex_);
  if (!node_.regions.contains(claim)) return Fail(Code::kNotFound, "no regions");
  agent::ShareUsage usage;
  agent::DeviceUsage device;
  device.utilization_percent = node_.utilization_percent;
  usage.devices.push_back(device);
  return usage;
}

std::vector<ClaimId> Node::NodeAgent::Prepared() {
  std::lock_guard lock(node_.mutex_);
  std::vector<ClaimId> claims;
  for (const auto& [id, spec] : node_.regions) claims.push_back(id);
  return claims;
}

Result<uint32_t> Node::NodeRuntime::TenantUid(const std::string& home_id) {
  std::lock_guard lock(node_.mutex_);
  return static_cast<uint32_t>(70'000 + std::hash<std::string>()(home_id) % 1'000);
}

Result<void> Node::NodeRuntime::Prepare(const runtime::LaunchSpec& spec) {
  std::lock_guard lock(node_.mutex_);
  if (node_.prepare_error) return Fail(*node_.prepare_error);
  return node_.Call("runtime.prepare", [&] {
    ++node_.homes[spec.home_id];
    Box& box = node_.boxes[spec.desktop];
    if (box.phase == Phase::kAbsent || box.phase == Phase::kExited) box.phase = Phase::kPrepared;
    // The region's path ends in the claim's id.
    const std::string& source = spec.share->mounts.front().source;
    box.claim = ClaimId(source.substr(source.rfind('/') + 1));
  });
}

Result<void> Node::NodeRuntime::Start(const DesktopId& desktop) {
  std::lock_guard lock(node_.mutex_);
  if (node_.start_error) return Fail(*node_.start_error);
  const auto box = node_.boxes.find(desktop);
  if (box == node_.boxes.end() || box->second.phase == Phase::kAbsent ||
      box->second.phase == Phase::kExited) {
    return Fail(Code::kFailedPrecondition, "not prepared");
  }
  return node_.Call("runtime.start", [&] {
    if (box->second.phase != Phase::kPrepared) return;
    box->second.phase = Phase::kStarting;
    ++box->second.starts;
  });
}

Result<void> Node::NodeRuntime::Stop(const DesktopId& desktop, Duration) {
  std::lock_guard lock(node_.mutex_);
  if (node_.stop_error) return Fail(*node_.stop_error);
  return node_.Call("runtime.stop", [&] {
    const auto box = node_.boxes.find(desktop);
    if (box != node_.boxes.end() && box->second.phase != Phase::kAbsent) {
      box->second.phase = Phase::kExited;
      box->second.reason = "stopped";
    }
  });
}

// The display comes up while one looks.
Result<runtime::Status> Node::NodeRuntime::GetStatus(const DesktopId& desktop) {
  std::lock_guard lock(node_.mutex_);
  const auto found = node_.boxes.find(desktop);
  if (found == node_.boxes.end()) return runtime::Status{};
  Box& box = found->second;
  const runtime::Status status{.phase = box.phase,
                               .reason = box.reason,
                               .limits_in_force = "rlimits",
                               .supervisor_pid = 0,
                               .started_at = {}};
  if (!node_.stuck_starting) {
    if (box.phase == Phase::kDisplayUp) box.phase = Phase::kRunning;
    if (box.phase == Phase::kStarting) box.phase = Phase::kDisplayUp;
  }
  return status;
}

Result<runtime::Attachment> Node::NodeRuntime::Attach(const DesktopId& desktop) {
  std::lock_guard lock(node_.mutex_);
  const auto box = node_.boxes.find(desktop);
  if (box == node_.boxes.end() || box->second.phase != Phase::kRunning) {
    return Fail(Code::kFailedPrecondition, "no display");
  }
  return runtime::Attachment{.rfb_socket = "/none"};
}

Result<void> Node::NodeRuntime::Remove(const DesktopId& desktop, bool keep_home) {
  std::lock_guard lock(node_.mutex_);
  return node_.Call("runtime.remove", [&] {
    node_.boxes.erase(desktop);
    if (!keep_home) node_.homes.erase(desktop.text());
  });
}

std::vector<DesktopId> Node::NodeRuntime::List() {
  std::lock_guard lock(node_.mutex_);
  std::vector<DesktopId> ids;
  for (const auto& [id, box] : node_.boxes) ids.push_back(id);
  return ids;
}

}  // namespace sluice::control::testing
