// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "device/backend.h"

namespace sluice::agent {

// The cards as last read, and news of their health. Thread-safe.
class CardSampler {
 public:
  using OnHealth = std::function<void(const GpuId&, GpuHealth, const std::string&)>;
  // References must outlive it.
  CardSampler(device::Backend& backend, const Clock& clock, OnHealth on_health);

  // Reads the cards now; may take as long as the driver likes. Returns them for the comparison
  // with the ledgers; empty when the driver did not answer.
  std::vector<device::Card> Sample();

  // From the last sample; cards that were not seen for a while are stale. Fails with what the
  // driver said when it never answered.
  Result<std::vector<CardState>> Cards();

  // Whether a card is known, and the Gpu as read.
  Result<Gpu> Find(const GpuId& gpu);

 private:
  struct State {
    std::vector<device::Card> cards;
    Duration sampled_steady{0};
    bool ever = false;
    Error last_error{Code::kUnavailable, "the cards have not been read yet", {}};
    std::map<GpuId, GpuHealth> told;
  };
  struct News {
    GpuId gpu;
    GpuHealth health;
    std::string reason;
  };

  GpuHealth HealthOf(const State& state, const Gpu& gpu, std::string& reason) const;
  std::vector<News> Compare(State& state) const;

  device::Backend& backend_;
  const Clock& clock_;
  OnHealth on_health_;
  Guarded<State> state_;
};

}  // namespace sluice::agent
