// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"

// The pure core: no I/O, clock, threads, logging or third party. Equal input, equal answer.
namespace sluice::scheduler {

// The cards as of one moment.
struct Snapshot {
  std::vector<Gpu> gpus;
};

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

// It can never fit this fleet, whatever ends. `largest_possible` is what could be asked instead.
struct Never {
  std::string reason;
  Bytes largest_possible;
};

using Decision = std::variant<Placed, WaitFor, Never>;

// Best fit on memory: the admitted card with the least free memory that still suffices; ties by
// fewer shares, then by id. Several cards: the same rule, one after the other, on one node.
// A guarantee must fit the card's compute too. A whole card is one without any share; it is given
// with all its memory and compute, and `memory` is then the least that it must have. A card that is
// out of service takes nothing, but as it may come back, a request is not Never because of it.
Decision Decide(const Snapshot& snapshot, const ClaimRequest& request);

// What `claim` would have of its card with the memory, guarantee and cap of `wish`; or, when the
// card's other shares leave too little, a reason with figures and in `largest_free` the most memory
// that it could have. Requires: `wish` is not for a whole card.
std::variant<Allocation, WaitFor> Resize(const Gpu& gpu,
                                         const ClaimId& claim,
                                         const ClaimRequest& wish);

// A claim in the queue, as the queue's order sees it.
struct Waiting {
  ClaimId id;
  ClaimRequest request;
  TimePoint queued_since;
};

// The order of service: higher priority first, then earlier, then id. A claim that does not fit
// holds its place: a later one may only be placed if it does not take what the head waits for
// (see NextToPlace).
std::vector<ClaimId> QueueOrder(std::span<const Waiting> waiting);

// What the queue decides now.
struct QueueAnswer {
  ClaimId id;
  int position = 0;  // 1 is the head. 0 for what is placed or refused now.
  Decision decision;
};

// Walks the queue once in order. Placements made in this walk are subtracted for later ones. The
// first claim that must wait reserves the card on which it would fit soonest by memory, so that a
// stream of small claims cannot starve it: later claims are placed only on other cards.
std::vector<QueueAnswer> WalkQueue(const Snapshot& snapshot, std::span<const Waiting> waiting);

// A share that is in use and when its holder is due to end (0: unknown).
struct Ending {
  ClaimId claim;
  TimePoint ends_at;
};

// The earliest time at which `request` would fit if every holder ended when due and nobody else
// came, or nullopt if that is not known, or if it fits now. Holders that are overdue give a time
// that has passed. Requires: no claim is named twice in `endings`.
std::optional<TimePoint> NextLikely(const Snapshot& snapshot,
                                    const ClaimRequest& request,
                                    std::span<const Ending> endings);

}  // namespace sluice::scheduler
