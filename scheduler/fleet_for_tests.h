// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "scheduler/scheduler.h"

// Words in which the scheduler's tests set their scenes.
namespace sluice::scheduler {

inline Gpu Card(const std::string& id, Bytes memory, std::vector<Bytes> held = {}) {
  Gpu gpu;
  gpu.id = GpuId(id);
  gpu.node = NodeId("node-1");
  gpu.vendor = "nvidia";
  gpu.model = "NVIDIA A10";
  gpu.memory = memory;
  for (const Bytes bytes : held) {
    const std::string claim = id + "-" + std::to_string(gpu.shares.size());
    gpu.shares.push_back({ClaimId(claim), bytes, ComputeMillis(0), ComputeMillis(0)});
  }
  return gpu;
}

inline Gpu On(const std::string& node, Gpu gpu) {
  gpu.node = NodeId(node);
  return gpu;
}

inline Gpu OfModel(const std::string& model, Gpu gpu) {
  gpu.model = model;
  return gpu;
}

inline Gpu In(GpuMode mode, Gpu gpu) {
  gpu.mode = mode;
  return gpu;
}

inline Gpu In(GpuHealth health, Gpu gpu) {
  gpu.health = health;
  return gpu;
}

inline ClaimRequest Ask(Bytes memory, int count = 1) {
  return {.count = count, .memory = memory};
}

inline ClaimRequest AskWhole(int count = 1) {
  return {.count = count, .whole = true};
}

// "a", "a b": where it was placed; otherwise "wait: …" or "never: …".
inline std::string Say(const Decision& decision) {
  if (const auto* wait = std::get_if<WaitFor>(&decision)) return "wait: " + wait->reason;
  if (const auto* never = std::get_if<Never>(&decision)) return "never: " + never->reason;
  std::string where;
  for (const Allocation& allocation : std::get<Placed>(decision).allocations) {
    where += (where.empty() ? "" : " ") + allocation.gpu.text();
  }
  return where;
}

inline std::string SayDecision(std::vector<Gpu> gpus, const ClaimRequest& request) {
  return Say(Decide({std::move(gpus)}, request));
}

}  // namespace sluice::scheduler
