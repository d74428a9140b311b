// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

// A set of cards with one sharing mode and rules. One machine starts with one pool, "shared".
struct Pool {
  PoolId id;
  std::string name;
  Bytes share_memory_min{int64_t{256} << 20};   // Smallest share that may be asked for.
  Bytes share_memory_step{int64_t{256} << 20};  // The form's slider step.
  Duration reservation_ttl{120'000};            // Reserved but not started by then: taken back.
};

}  // namespace sluice
