// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/units.h"

namespace sluice::portal {

// A bucket that holds `burst` and refills at `per_minute`; 0 per minute: no limit.
struct Rate {
  int per_minute = 0;
  int burst = 0;
};

// Token buckets by key. Thread-safe.
class RateLimit {
 public:
  // Takes one from the bucket of `key`. 0: taken; else how long until there is one again.
  Duration Take(std::string_view key, const Rate& rate, Duration now);

 private:
  struct Bucket {
    double filled = 0;
    Duration at{0};
  };
  Guarded<std::map<std::string, Bucket, std::less<>>> buckets_;
};

}  // namespace sluice::portal
