// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice {

// An integer with a unit. Adding bytes to compute does not compile.
template <typename Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  explicit constexpr Quantity(int64_t value) : value_(value) {}

  constexpr int64_t value() const { return value_; }

  friend constexpr auto operator<=>(Quantity, Quantity) = default;
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  constexpr Quantity& operator+=(Quantity other) {
    value_ += other.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value_ -= other.value_;
    return *this;
  }

 private:
  int64_t value_ = 0;
};

// Memory, in bytes.
using Bytes = Quantity<struct BytesTag>;

// Compute, in thousandths of one GPU. Not milliseconds: those are Duration.
using ComputeMillis = Quantity<struct ComputeMillisTag>;

// Wall-clock time, UTC, in ms since the Unix epoch; the zero value means "not yet".
using TimePoint = std::chrono::sys_time<std::chrono::milliseconds>;
using Duration = std::chrono::milliseconds;

inline constexpr Bytes kMiB{int64_t{1} << 20};
inline constexpr Bytes kGiB{int64_t{1} << 30};

constexpr Bytes MiB(int64_t count) {
  return Bytes(count << 20);
}
constexpr Bytes GiB(int64_t count) {
  return Bytes(count << 30);
}

inline namespace literals {
constexpr Bytes operator""_MiB(unsigned long long count) {
  return MiB(static_cast<int64_t>(count));
}
constexpr Bytes operator""_GiB(unsigned long long count) {
  return GiB(static_cast<int64_t>(count));
}
}  // namespace literals

// "8 GiB", "7.5 GiB", "512 MiB", "17 KiB", "100 B": for people. At most one decimal, rounded down
// so that a shown free amount is never more than there is.
std::string ToText(Bytes bytes);

// Reads "6GiB", "6 GiB", "512MiB", "1024" (bytes), "1.5GiB". Decimal units (GB, MB) are refused
// with a sentence that names the binary one. Fails with kInvalidArgument.
Result<Bytes> ParseBytes(std::string_view text);

// "30%" or "300" millis → 300. Fails with kInvalidArgument outside 0..1000.
Result<ComputeMillis> ParseCompute(std::string_view text);

// Whole percents of one GPU, never more than there are: 666 → 66.
constexpr int64_t WholePercent(ComputeMillis compute) {
  return compute.value() / 10;
}

// "90s", "15m", "2h", "1d" → ms. Fails with kInvalidArgument.
Result<Duration> ParseDuration(std::string_view text);

// "2026-11-22T18:00:00.000Z".
std::string ToRfc3339(TimePoint time);

}  // namespace sluice
