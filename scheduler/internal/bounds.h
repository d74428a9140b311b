// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "scheduler/internal/fleet.h"
#include "scheduler/scheduler.h"

// What a pool's floor and ceiling leave of its cards. All that places asks here, and nowhere else
// are they counted: a request may take as many idle cards as its budget says, beside those that
// carry shares already.
namespace sluice::scheduler::internal {

// The cards as the bounds see them.
struct CardCounts {
  int left = 0;      // To shares: in service, and nobody has them whole.
  int carrying = 0;  // Shares, in service or not.
};
CardCounts CountsOf(std::span<const Card> cards);

inline constexpr int kAnyNumber = std::numeric_limits<int>::max();

// How many idle cards a claim for whole cards, or for shares, may take; kAnyNumber: no bound.
int BudgetOf(const CardBounds& bounds, const CardCounts& counts, bool whole);
int BudgetFor(std::span<const Card> cards, bool whole);
// The same if every card were empty and in service.
int BudgetEver(std::span<const Card> cards, bool whole);

// By card, whether it is closed to the request: the idle ones of each machine beyond the budget,
// which are the last that it would take. Empty: none is.
std::vector<bool> ClosedTo(std::span<const Card> cards, const ClaimRequest& request);

}  // namespace sluice::scheduler::internal
