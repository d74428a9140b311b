// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

// What a card is used as now. One mode per card is the single truth: nothing is offered twice.
enum class GpuMode { kShared, kWhole, kPassthrough, kPartitioned, kMoving, kCordoned, kFailed };
std::string_view ToString(GpuMode mode);
std::optional<GpuMode> ParseGpuMode(std::string_view text);

enum class GpuHealth { kHealthy, kUnhealthy, kStale };
std::string_view ToString(GpuHealth health);
std::optional<GpuHealth> ParseGpuHealth(std::string_view text);

// A part of one card held by one claim. Lives in the card's row, so that compare-and-swap on that
// row is what makes two claims on the same bytes impossible.
struct Share {
  ClaimId claim;
  Bytes memory;
  ComputeMillis guarantee;
  ComputeMillis cap;   // 0: no cap.
  bool whole = false;  // The claim asked for the card for itself.

  friend bool operator==(const Share&, const Share&) = default;
};

// What the agent last measured on a card. Never used for placement.
struct GpuUse {
  Bytes memory_used;
  int utilization_percent = 0;
  int temperature_c = 0;
  int power_mw = 0;
  TimePoint sampled_at;

  friend bool operator==(const GpuUse&, const GpuUse&) = default;
};

// One physical or simulated card. Immutable but for the row's owner (control, through the store).
struct Gpu {
  GpuId id;
  NodeId node;
  PoolId pool;
  int index = 0;           // Position on its node, for people only.
  std::string vendor;      // "nvidia".
  std::string model;       // "NVIDIA A10", or the simulated card's name.
  bool simulated = false;  // True: every place that shows it says so.
  std::string driver_version;
  Bytes memory;
  ComputeMillis compute{1000};
  int numa_node = -1;
  GpuMode mode = GpuMode::kShared;
  GpuHealth health = GpuHealth::kHealthy;
  std::string health_reason;
  TimePoint last_seen;  // Older than a few seconds: stale, never shown as free.
  std::vector<Share> shares;
};

// Sum of the shares' memory.
Bytes MemoryHeld(const Gpu& gpu);
// Memory that a new share could get: total minus held, 0 when the card is not open to shares.
Bytes MemoryFree(const Gpu& gpu);
// Whether new shares may be placed here at all: mode shared and healthy.
bool OpenToShares(const Gpu& gpu);
// Whether somebody has the card for himself.
bool IsHeldWhole(const Gpu& gpu);
// Whether claims for parts of the card hold it.
bool CarriesShares(const Gpu& gpu);

}  // namespace sluice
