// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"
#include "model/pool.h"
#include "scheduler/explain.h"

// The pure core: no I/O, clock, threads, logging or third party. Equal input, equal answer.
namespace sluice::scheduler {

// A request that is expected to come, and how often beside the others.
struct ExpectedRequest {
  ClaimRequest request;
  int64_t count = 0;

  friend bool operator==(const ExpectedRequest&, const ExpectedRequest&) = default;
};

// Room on a card that is meant for one claim with such a request (Berth, for one card).
struct CardBerth {
  GpuId gpu;
  ClaimRequest request;

  friend bool operator==(const CardBerth&, const CardBerth&) = default;
};

// What of the cards is for whom; see Pool. 0: no such bound. Cards out of service count for the
// ceiling if they carry shares, and not for the floor.
struct CardBounds {
  int floor = 0;    // So many are left to shares.
  int ceiling = 0;  // So many carry shares at most.

  friend bool operator==(const CardBounds&, const CardBounds&) = default;
};

// How a card is chosen among those that fit. fgd and sluice without anything expected choose as
// tightest_card does.
struct PlacementRules {
  PlacementPolicy policy = PlacementPolicy::kTightestCard;
  std::vector<ExpectedRequest> expected;
  std::vector<CardBerth> berths;  // For sluice: those that are still free.
  CardBounds bounds = {};

  friend bool operator==(const PlacementRules&, const PlacementRules&) = default;
};

// The cards as of one moment, and how they are chosen.
struct Snapshot {
  std::vector<Gpu> gpus;
  PlacementRules rules = {};
};

// The request in the terms of the ledger.
Demand ToDemand(const ClaimRequest& request);

// The cards as a ledger, machines and their cards in the order of their ids; `with_shares`: with
// what is held of them.
Ledger ToLedger(const Snapshot& snapshot, bool with_shares);

// Where a claim goes: one allocation per requested card, on distinct cards of one node.
struct Placed {
  std::vector<Allocation> allocations;
};

// It fits the fleet but not now. `reason` is a sentence with figures, e.g. "needs 8 GiB on one
// card; largest free: 3 GiB".
struct WaitFor {
  std::string reason;
  Bytes largest_free;  // On one card that the request admits.
};

// It can never fit this fleet, whatever ends: the cards are too small or too few, or the bounds
// never leave so many at once. `largest_possible` is what could be asked instead.
struct Never {
  std::string reason;
  Bytes largest_possible;
};

using Decision = std::variant<Placed, WaitFor, Never>;

// By the policy of the snapshot's rules; `tightest_card` is: the admitted card with the least free
// memory that still suffices (to the MiB between machines); ties by fewer shares, then by machine,
// then by id. Several cards: the same rule, one after the other, on one machine; several whole
// cards: of that machine those that are closest (rules.h), as far as the cards' NUMA nodes tell. A
// guarantee must fit the card's compute too. A whole card is one without any share; it is given
// with all its memory and compute, and `memory` is then the least that it must have. A card that is
// out of service takes nothing, but as it may come back, a request is not Never because of it. A
// whole card is taken only if the floor leaves it, and a share goes onto an idle card only below
// the ceiling; of several shares that open more cards than are left below it, the others go onto
// cards that carry shares already.
Decision Decide(const Snapshot& snapshot, const ClaimRequest& request);

// Why the request fits or not, card by card, and what would be placed now instead; see explain.h
// for the words.
Explanation Explain(const Snapshot& snapshot, const ClaimRequest& request);

// What one card says to a request.
struct CardVerdict {
  GpuId gpu;
  Verdict verdict;
};
// By machine and id.
std::vector<CardVerdict> JudgeCards(const Snapshot& snapshot, const ClaimRequest& request);

// What shares of `memory` would find on the cards of a model (empty: all) now.
struct ShareRoom {
  Bytes largest;      // The most that one could have.
  int64_t count = 0;  // So many would fit, one after the other. 0 for memory 0.
};
ShareRoom RoomForShares(const Snapshot& snapshot, const std::string& gpu_model, Bytes memory);

// What `claim` would have of its card with the memory, guarantee and cap of `wish`; or, when the
// card's other shares leave too little, a reason with figures and in `largest_free` the most memory
// that it could have. Requires: `wish` is not for a whole card.
std::variant<Allocation, WaitFor> Resize(const Gpu& gpu,
                                         const ClaimId& claim,
                                         const ClaimRequest& wish);

}  // namespace sluice::scheduler
