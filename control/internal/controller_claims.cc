// SPDX-License-Identifier: Apache-2.0
// The controller's care for claims that nobody drives: runs whose process died, reservations that
// were never used, and what a crash has left on the node.
#include "base/log.h"
#include "control/internal/controller.h"
#include "control/internal/share_writes.h"

namespace sluice::control {
namespace {

constexpr Duration kSweepEvery{60'000};
constexpr Duration kReservedMax{120'000};  // A run that was placed and does not start.
constexpr size_t kPastKept = 20'000;       // Some 10 MB; older ones are forgotten.
constexpr size_t kPastSweepMax = 500;      // At once.
constexpr Duration kReservationKept{24 * 60 * 60'000};
constexpr size_t kPastReservationsKept = 2'000;
constexpr Duration kEndedKept{600'000};  // An ended claim can be asked about for so long.

bool IsEnded(const Claim& claim) {
  return claim.phase == ClaimPhase::kReleased || claim.phase == ClaimPhase::kRefused;
}

}  // namespace

int Controller::StepClaims() {
  std::vector<ClaimId> ids;
  for (const auto& [id, row] : follower_.world().claims) ids.push_back(id);
  std::erase_if(reserved_seen_, [this](const auto& entry) {
    return !follower_.world().claims.contains(entry.first);
  });
  int steps = 0;
  for (const ClaimId& id : ids) {
    const auto found = follower_.world().claims.find(id);
    if (found != follower_.world().claims.end()) steps += StepClaim(found->second);
  }
  return steps + SweepEndedClaims() + SweepPastClaims() + SweepReservations();
}

int Controller::StepClaim(const store::Versioned<Claim>& row) {
  const Claim& claim = row.value;
  if (IsEnded(claim)) return 0;
  if (claim.owner_kind == ClaimOwner::kDesktop) {
    const auto desktop = follower_.world().desktops.find(claim.desktop);
    if (desktop != follower_.world().desktops.end() && desktop->second.value.claim == claim.id) {
      return 0;
    }
    return EndClaimLater(claim, "The desktop that it was for is gone.") ? 1 : 0;
  }
  if (!surroundings_.run_alive(claim.run_pid, claim.run_pid_start)) {
    return EndClaimLater(claim, "The command has ended.") ? 1 : 0;
  }
  if (claim.phase != ClaimPhase::kReserved) {
    reserved_seen_.erase(claim.id);
    return 0;
  }
  const Duration steady = partners_.clock.Steady();
  const auto seen = reserved_seen_.try_emplace(claim.id, steady).first;
  if (steady - seen->second < kReservedMax) return 0;
  return EndClaimLater(claim, "It was given a share and did not start within 2 min.") ? 1 : 0;
}

bool Controller::EndClaimLater(const Claim& claim, const std::string& reason) {
  const auto known = ending_.find(claim.id);
  if (known != ending_.end() && partners_.clock.Steady() < known->second) return false;
  ending_[claim.id] = Duration::max();
  const bool begun = workers_.Do([this, claim, reason] {
    Result<void> done;
    // The processes first: they must not outlive the share.
    if (claim.owner_kind == ClaimOwner::kDesktop && Holds(claim)) {
      const auto row = partners_.store.Get(store::Kind::kDesktop, claim.desktop.text());
      if (!row && row.error().code == Code::kNotFound) {
        done = partners_.runtime.Remove(claim.desktop, /*keep_home=*/true);
      }
    }
    if (done) {
      done = EndClaim(partners_.store,
                      partners_.agent,
                      claim.id,
                      {.reason = reason, .at = partners_.clock.Now()});
    }
    if (done) {
      Note("claim.release", claim.id.text(), reason);
    } else {
      Log(LogLevel::kWarning,
          "claim {} cannot be ended yet: {}",
          claim.id.text(),
          done.error().message);
    }
    inbox_.Change([&](Inbox& inbox) {
      inbox.ended[claim.id] = done.has_value();
      inbox.nudged = inbox.nudged || done.has_value();
    });
  });
  if (!begun) ending_.erase(claim.id);
  return begun;
}

int Controller::SweepEndedClaims() {
  const Duration steady = partners_.clock.Steady();
  std::vector<store::Write> writes;
  for (const auto& [id, row] : follower_.world().claims) {
    if (!IsEnded(row.value)) continue;
    const auto seen = ended_seen_.try_emplace(id, steady).first;
    if (steady - seen->second < kEndedKept) continue;
    const auto desktop = follower_.world().desktops.find(row.value.desktop);
    // A refused claim is still the reason that its desktop has to read.
    if (desktop != follower_.world().desktops.end() && desktop->second.value.claim == id) continue;
    writes.push_back({store::Kind::kClaim, id.text(), row.version, std::nullopt});
  }
  std::erase_if(ended_seen_, [this](const auto& entry) {
    return !follower_.world().claims.contains(entry.first);
  });
  if (writes.empty()) return 0;
  Commit(writes, "ended claims");
  return 1;
}

int Controller::SweepPastClaims() {
  std::vector<store::Write> writes;
  for (const ClaimId& id : follower_.world().past.Beyond(kPastKept, kPastSweepMax)) {
    writes.push_back({store::Kind::kPastClaim, id.text(), std::nullopt, std::nullopt});
  }
  if (writes.empty()) return 0;
  Commit(writes, "past claims");
  return 1;
}

// Those that are over long since become past ones, of which the planner alone knows; who asks what
// was reserved last week has the audit log.
int Controller::SweepReservations() {
  const TimePoint now = partners_.clock.Now();
  std::vector<store::Write> writes;
  for (const auto& [id, row] : follower_.world().reservations) {
    if (row.value.ends_at + kReservationKept > now) continue;
    writes.push_back({store::Kind::kReservation, id.text(), row.version, std::nullopt});
    writes.push_back(store::PutPast(row.value));
  }
  if (writes.empty()) return 0;
  const auto kept = partners_.store.List(store::Kind::kPastReservation, "", 0);
  const size_t count = kept ? kept->objects.size() : 0;
  for (size_t i = 0; i + kPastReservationsKept < count; ++i) {  // The oldest, by their ids.
    writes.push_back(
        {store::Kind::kPastReservation, kept->objects[i].id, std::nullopt, std::nullopt});
  }
  Commit(writes, "reservations that are over");
  return 1;
}

// A process that died between a row and the agent left them apart.
void Controller::EnforceAgain(const ClaimId& id) {
  if (const auto done = EnforceRows(partners_.store, partners_.agent, id); !done) {
    Log(LogLevel::kWarning, "the share of {} stays: {}", id.text(), done.error().message);
  }
}

int Controller::SweepOrphans() {
  const Duration steady = partners_.clock.Steady();
  if (swept_ && steady - *swept_ < kSweepEvery) return 0;
  const bool swept_once = swept_.has_value();
  swept_ = steady;
  int steps = 0;
  for (const ClaimId& id : partners_.agent.Prepared()) {
    const auto row = store::Read<Claim>(partners_.store, id.text());
    const bool unknown = !row && row.error().code == Code::kNotFound;
    if (row && !swept_once) EnforceAgain(id);
    if (!unknown && !(row && IsEnded(row->value))) continue;
    Log(LogLevel::kInfo, "removing the regions of {}, which has ended", id.text());
    if (partners_.agent.Release(id)) ++steps;
  }
  for (const DesktopId& id : partners_.runtime.List()) {
    const auto row = partners_.store.Get(store::Kind::kDesktop, id.text());
    if (row || row.error().code != Code::kNotFound) continue;
    const bool begun = workers_.Do([this, id] {
      if (const auto removed = partners_.runtime.Remove(id, /*keep_home=*/true); !removed) {
        Log(LogLevel::kWarning, "{} cannot be removed: {}", id.text(), removed.error().message);
      }
    });
    if (begun) ++steps;
  }
  return steps;
}

}  // namespace sluice::control
