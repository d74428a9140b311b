// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

// What a program's context on a card is taken to cost until a share has measured its own.
inline constexpr Bytes kContextMemory{int64_t{400} << 20};

// What is done about a program that holds memory of a card of which its share's ledger knows
// nothing: it is told of; its whole share's work is slowed down until it ends; or it is ended.
enum class BypassRule { kWarn, kThrottle, kEnd };
std::string_view ToString(BypassRule rule);
std::optional<BypassRule> ParseBypassRule(std::string_view text);

// A set of cards with one sharing mode and rules. One machine starts with one pool, "shared".
struct Pool {
  PoolId id;
  std::string name;
  // Smallest share that may be asked for: one in which a program can start and allocate.
  Bytes share_memory_min = kContextMemory + Bytes(int64_t{112} << 20);
  Bytes share_memory_step{int64_t{256} << 20};  // The form's slider step.
  Duration reservation_ttl{120'000};            // Reserved but not started by then: taken back.

  BypassRule bypass_rule = BypassRule::kWarn;
  // What a program that does use the interposer may hold beyond the ledger before the rule is
  // applied to it: its modules, its local memory, graphics. Smaller: honest programs with large
  // modules are taken for dishonest ones. Larger: more is charged to the share without a word.
  Bytes bypass_slack{int64_t{1} << 30};
  // Whether a share of a higher priority has the card before those of a lower one, whatever they
  // are owed. Without it priority counts in the queue alone.
  bool strict_priority = false;
};

// Why a share of less than the pool's smallest is not given, as a user reads it.
std::string WhyTooSmall(const Pool& pool);

}  // namespace sluice
