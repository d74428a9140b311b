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

// Whose shares of a pool's cards are ended, with notice, for the first in the queue: nobody's;
// those that a team borrows, for a claim that its own team is guaranteed; or also those of a lower
// priority. A share within its team's guarantee gives way to its own team alone.
enum class PreemptRule { kNever, kBorrowed, kLowerPriority };
std::string_view ToString(PreemptRule rule);
std::optional<PreemptRule> ParsePreemptRule(std::string_view text);

// How a card is chosen among those that a claim fits; see scheduler/policy.h. The last two go by
// what has been asked for here, and are replaced by the first until enough is known of that.
enum class PlacementPolicy { kTightestCard, kBestFit, kPacking, kFgd, kSluice };
std::string_view ToString(PlacementPolicy policy);
std::optional<PlacementPolicy> ParsePlacementPolicy(std::string_view text);

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

  PlacementPolicy placement = PlacementPolicy::kTightestCard;
  // What the guarantees on a card may add up to, of its compute. Above 100: more shares with a
  // guarantee fit, and when all of them work at once each has its part of the sum.
  int compute_overcommit_percent = 100;

  // Of the pool's cards in service at least so many are left to shares: a claim for whole cards
  // waits rather than take one of them. 0: none. Higher: shares find room sooner, whole cards wait
  // longer.
  int floor_cards = 0;
  // At most so many of the cards carry shares at once; the others stay whole. 0: as many as there
  // are. Lower: whole cards are there sooner, shares wait longer. At least the floor, if both are
  // there.
  int ceiling_cards = 0;

  PreemptRule preempt = PreemptRule::kNever;
  // From the message to the end of a desktop that gives way or is moved. Shorter: less time to save
  // one's work; longer: who is entitled waits longer.
  Duration preempt_notice{5 * 60'000};
};

// Why a share of less than the pool's smallest is not given, as a user reads it.
std::string WhyTooSmall(const Pool& pool);

}  // namespace sluice
