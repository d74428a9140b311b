// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/usage.h"

#include <algorithm>

namespace sluice::portal {
namespace {

constexpr size_t kSamplesMax = 10'000;

}  // namespace

std::optional<ShareLoad> Usage::Of(const ClaimId& claim) {
  if (claim.empty()) return std::nullopt;
  const Duration now = clock_.Steady();
  const auto fresh = samples_.With([&](const auto& samples) -> std::optional<Sample> {
    const auto found = samples.find(claim);
    if (found == samples.end() || found->second.at + max_age_ <= now) return std::nullopt;
    return found->second;
  });
  if (fresh) return fresh->load;
  Sample sample{.load = std::nullopt, .at = now};
  if (const auto usage = agent_.Usage(claim)) {
    ShareLoad load{.processes = static_cast<int>(usage->processes.size())};
    for (const agent::DeviceUsage& device : usage->devices) {
      load.used += device.used;
      load.limit += device.limit;
      load.peak += device.peak;
      load.overhead += device.overhead;
      load.guarantee = std::max(load.guarantee, device.guarantee);
      load.cap = std::max(load.cap, device.cap);
      load.compute_used = std::max(load.compute_used, device.compute_used);
      load.compute_waiting = std::max(load.compute_waiting, device.compute_waiting);
      load.utilization_percent = std::max(load.utilization_percent, device.utilization_percent);
    }
    sample.load = load;
  }
  samples_.With([&](auto& samples) {
    if (samples.size() >= kSamplesMax) samples.clear();
    samples[claim] = sample;
  });
  return sample.load;
}

}  // namespace sluice::portal
