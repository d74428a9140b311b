// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "scheduler/internal/fleet.h"
#include "scheduler/queue.h"

// All that a waiting claim asks for: one part, or several that are given together or not at all.
namespace sluice::scheduler::internal {

// One card for one of the parts.
struct Seat {
  size_t card = 0;  // Of the cards that it was looked for among.
  Allocation allocation;
};

// Room for all parts, in their order, no card twice; or nothing. A claim of one part sits where
// BestFit puts it. Of several, the hardest is seated first; when a later one finds no room, an
// earlier one is tried elsewhere, so often as a bound allows.
std::optional<std::vector<Seat>> SeatAll(std::span<const Card> cards, const Waiting& one);

// Decide(), for all parts together; without `words` as DecideOn.
Decision DecideAll(std::span<const Card> cards, const Waiting& one, bool words);

// Cards that all parts would fit soonest by memory, see Soonest, and what they are for.
std::vector<std::pair<size_t, Use>> SoonestAll(std::span<const Card> cards, const Waiting& one);

// What it will count for its team, before it is known where it goes.
Bytes MemoryAskedByAll(const Waiting& one);

Placed PlacedOn(std::span<const Seat> seats);

}  // namespace sluice::scheduler::internal
