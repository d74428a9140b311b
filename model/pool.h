// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

// What a program's context on a card is taken to cost until a share has measured its own.
inline constexpr Bytes kContextMemory{int64_t{400} << 20};

// A set of cards with one sharing mode and rules. One machine starts with one pool, "shared".
struct Pool {
  PoolId id;
  std::string name;
  // Smallest share that may be asked for: one in which a program can start and allocate.
  Bytes share_memory_min = kContextMemory + Bytes(int64_t{112} << 20);
  Bytes share_memory_step{int64_t{256} << 20};  // The form's slider step.
  Duration reservation_ttl{120'000};            // Reserved but not started by then: taken back.
};

// Why a share of less than the pool's smallest is not given, as a user reads it.
std::string WhyTooSmall(const Pool& pool);

}  // namespace sluice
