// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>

#include "base/units.h"

namespace sluice {

// Time as a dependency. Now() may jump (an operator sets the clock); Steady() never goes back.
// Expiries that must survive a restart use Now(); everything else uses Steady().
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
  virtual Duration Steady() const = 0;  // Since an arbitrary start.
};

// Thread-safe.
class SystemClock final : public Clock {
 public:
  TimePoint Now() const override {
    return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  }
  Duration Steady() const override {
    return std::chrono::duration_cast<Duration>(
        std::chrono::steady_clock::now().time_since_epoch());
  }
};

// A clock that moves only when told. Thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(TimePoint start = TimePoint(Duration(1'700'000'000'000)))
      : now_ms_(start.time_since_epoch().count()) {}

  TimePoint Now() const override { return TimePoint(Duration(now_ms_.load())); }
  Duration Steady() const override { return Duration(steady_ms_.load()); }

  void Advance(Duration by) {
    now_ms_ += by.count();
    steady_ms_ += by.count();
  }
  void JumpWall(Duration by) { now_ms_ += by.count(); }

 private:
  std::atomic<int64_t> now_ms_;
  std::atomic<int64_t> steady_ms_{0};
};

}  // namespace sluice
