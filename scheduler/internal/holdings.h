// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <vector>

#include "base/ids.h"
#include "scheduler/internal/fleet.h"
#include "scheduler/queue.h"

// Which claim holds what, and for which team.
namespace sluice::scheduler::internal {

// One share: of the card at `card` of the cards that it was counted from.
struct Part {
  size_t card = 0;
  Share share;
};

using Holdings = std::map<ClaimId, std::vector<Part>>;
Holdings HoldingsOf(std::span<const Card> cards);

// Nothing, for a claim that holds nothing.
void GiveBackAll(std::vector<Card>& cards, const Holdings& holdings, const ClaimId& claim);
void TakeAll(std::vector<Card>& cards, std::span<const Allocation> allocations);

// What the claim will count for its team, before it is known where it goes: of a whole card, the
// least that it must have.
Bytes MemoryAsked(const ClaimRequest& request);
Bytes MemoryOf(std::span<const Allocation> allocations);

// What the teams' claims hold of the cards of the input. Shares of claims that are not among its
// holders count for nobody.
std::map<TeamId, Bytes> HeldByTeam(const QueueInput& input);

}  // namespace sluice::scheduler::internal
