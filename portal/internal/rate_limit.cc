// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace sluice::portal {
namespace {

constexpr size_t kBucketsMax = 20'000;
constexpr double kMinuteMs = 60'000;
// By then every bucket worth having is full again and may be forgotten.
constexpr Duration kForgetAfter{10 * 60'000};

}  // namespace

Duration RateLimit::Take(std::string_view key, const Rate& rate, Duration now) {
  if (rate.per_minute <= 0) return Duration(0);
  const double per_ms = rate.per_minute / kMinuteMs;
  return buckets_.With([&](auto& buckets) {
    if (buckets.size() >= kBucketsMax) {
      std::erase_if(buckets,
                    [now](const auto& entry) { return entry.second.at + kForgetAfter < now; });
    }
    auto found = buckets.find(key);
    if (found == buckets.end()) {
      const Bucket full{static_cast<double>(rate.burst), now};
      found = buckets.emplace(std::string(key), full).first;
    }
    Bucket& bucket = found->second;
    const auto passed = static_cast<double>((now - bucket.at).count());
    bucket.filled = std::min<double>(rate.burst, bucket.filled + passed * per_ms);
    bucket.at = now;
    if (bucket.filled >= 1) {
      bucket.filled -= 1;
      return Duration(0);
    }
    return Duration(static_cast<int64_t>(std::ceil((1 - bucket.filled) / per_ms)));
  });
}

}  // namespace sluice::portal
