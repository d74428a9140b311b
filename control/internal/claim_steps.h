// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/control.h"
#include "control/internal/placement.h"
#include "control/internal/world.h"
#include "scheduler/queue.h"

// Pure: what happens to claims, as writes that belong into one transaction. The cards' rows change
// together with the claim's, each with the version that was read, so no memory is promised twice.
namespace sluice::control {

// Whether the claim holds shares of cards.
bool Holds(const Claim& claim);

// "8 GiB on NVIDIA A10 (GPU-…)".
std::string WhereText(const std::vector<Allocation>& allocations, const Gpus& gpus);

// pending → reserved, with the shares put into the cards' rows. Fails with kFailedPrecondition if
// the shares do not fit the rows, which a right placement never does.
Result<std::vector<store::Write>> ReserveWrites(const store::Versioned<Claim>& claim,
                                                const std::vector<Allocation>& allocations,
                                                const Gpus& gpus,
                                                TimePoint now);

// How a claim ends.
struct ClaimEnd {
  ClaimPhase phase = ClaimPhase::kReleased;  // Or refused.
  std::string reason;
  TimePoint at;
  Duration idle_for{0};  // See PastClaim.
};

// Since the desktop's last input; 0 where there was none.
Duration IdleFor(const Desktop& desktop, TimePoint at);

// Any phase → its end, with the shares taken out of the cards' rows, and the claim put among the
// past ones. Ended claims give no writes.
std::vector<store::Write> EndWrites(const store::Versioned<Claim>& claim,
                                    const ClaimEnd& end,
                                    const Gpus& gpus);

// What the scheduler's queue takes, with the rows behind it.
struct QueueRows {
  scheduler::Snapshot snapshot;
  std::vector<scheduler::Waiting> waiting;
  std::vector<scheduler::Holder> holders;
  std::vector<Team> teams;
  std::vector<Reservation> reservations;
  // How long claims run; shared, as it is long and seldom changes.
  std::shared_ptr<const scheduler::RunHistory> history;
  TimePoint now;

  scheduler::QueueInput Input() const;
};
// With `history`, or the world's own when it is null, and the plan by which cards are chosen (null:
// none).
QueueRows QueueRowsOf(const World& world,
                      TimePoint now,
                      std::shared_ptr<const scheduler::RunHistory> history,
                      const PlacementPlan* plan);
std::shared_ptr<const scheduler::RunHistory> HistoryOf(const World& world, TimePoint now);

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

// When those that wait are likely to start.
std::map<ClaimId, StartRange> StartRanges(const QueueRows& rows);

// Walks the queue once. Requires: `rows` are of this world.
QueueOutcome WalkTheQueue(const World& world, const QueueRows& rows);

// Per card model, what one more claim would get behind those that wait already.
std::vector<Offer> OffersFor(const QueueRows& rows, const OfferQuestion& question);

}  // namespace sluice::control
