// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/control.h"
#include "control/internal/world.h"
#include "scheduler/scheduler.h"

// Pure: what happens to claims, as writes that belong into one transaction. The cards' rows change
// together with the claim's, each with the version that was read, so no memory is promised twice.
namespace sluice::control {

// Whether the claim holds shares of cards.
bool Holds(const Claim& claim);

// pending → reserved, with the shares put into the cards' rows. Fails with kFailedPrecondition if
// the shares do not fit the rows, which a right placement never does.
Result<std::vector<store::Write>> ReserveWrites(const store::Versioned<Claim>& claim,
                                                const std::vector<Allocation>& allocations,
                                                const Gpus& gpus,
                                                TimePoint now);

// Any phase → released or refused, with the shares taken out of the cards' rows. Ended claims give
// no writes.
std::vector<store::Write> EndWrites(const store::Versioned<Claim>& claim,
                                    ClaimPhase end,
                                    const std::string& reason,
                                    const Gpus& gpus);

// The claims that wait, in the form that the scheduler takes.
std::vector<scheduler::Waiting> WaitingClaims(const Claims& claims);

// The cards, in the form that the scheduler takes.
scheduler::Snapshot SnapshotOf(const Gpus& gpus);

// When the holders of shares are due to end, as far as it is known.
std::vector<scheduler::Ending> EndingsOf(const Claims& claims);

// One answer of the queue and what follows from it.
struct QueueStep {
  ClaimId claim;
  std::vector<store::Write> writes;  // Empty: nothing to write.
  bool placed = false;
  bool refused = false;
  std::string note;  // For the audit log: "8 GiB on NVIDIA A10 (GPU-…)".
};

struct QueueOutcome {
  std::vector<QueueStep> steps;
  std::map<ClaimId, QueuePlace> places;  // Of the claims that go on waiting.
};

// Walks the queue once.
QueueOutcome WalkTheQueue(const World& world, TimePoint now);

// Per card model, what one more claim of `memory` would get behind those that wait already.
std::vector<Offer> OffersFor(const scheduler::Snapshot& snapshot,
                             const std::vector<scheduler::Waiting>& waiting,
                             Bytes memory);

}  // namespace sluice::control
