// SPDX-License-Identifier: Apache-2.0
#include "model/gpu.h"

#include <algorithm>

#include "model/internal/names.h"

namespace sluice {
namespace {

constexpr internal::Names<GpuMode, 7> kModes{
    {"shared", "whole", "passthrough", "partitioned", "moving", "cordoned", "failed"}};
constexpr internal::Names<GpuHealth, 3> kHealths{{"healthy", "unhealthy", "stale"}};

}  // namespace

std::string_view ToString(GpuMode mode) {
  return kModes.Of(mode);
}
std::optional<GpuMode> ParseGpuMode(std::string_view text) {
  return kModes.Find(text);
}
std::string_view ToString(GpuHealth health) {
  return kHealths.Of(health);
}
std::optional<GpuHealth> ParseGpuHealth(std::string_view text) {
  return kHealths.Find(text);
}

Bytes MemoryHeld(const Gpu& gpu) {
  Bytes held;
  for (const Share& share : gpu.shares) held += share.memory;
  return held;
}

Bytes MemoryFree(const Gpu& gpu) {
  if (!OpenToShares(gpu)) return Bytes(0);
  const Bytes held = MemoryHeld(gpu);
  return held < gpu.memory ? gpu.memory - held : Bytes(0);
}

bool OpenToShares(const Gpu& gpu) {
  return gpu.mode == GpuMode::kShared && gpu.health == GpuHealth::kHealthy;
}

bool IsHeldWhole(const Gpu& gpu) {
  return std::ranges::any_of(gpu.shares, &Share::whole);
}

bool CarriesShares(const Gpu& gpu) {
  return !std::ranges::all_of(gpu.shares, &Share::whole);
}

}  // namespace sluice
