// SPDX-License-Identifier: Apache-2.0
#include "control/internal/claim_steps.h"

#include <algorithm>
#include <fmt/core.h>
#include <set>
#include <utility>
#include <variant>

#include "control/internal/notices.h"

namespace sluice::control {
namespace {

// How long a reservation is meant to last; control itself counts by the steady clock.
constexpr Duration kReservationTtl{120'000};

std::optional<TimePoint> NextLikelyOf(const scheduler::QueueAnswer& answer, const QueueRows& rows) {
  // When a team gives something back is not known from the cards.
  if (answer.over_quota) return std::nullopt;
  return scheduler::NextLikely(
      rows.Input(), *std::ranges::find(rows.waiting, answer.id, &scheduler::Waiting::id));
}

QueueStep Refuse(const store::Versioned<Claim>& row, const scheduler::Never& never, TimePoint now) {
  return {.claim = row.value.id,
          .writes = EndWrites(row, {ClaimPhase::kRefused, never.reason, now}, {}),
          .placed = false,
          .refused = true,
          .note = never.reason};
}

QueueStep KeepWaiting(const store::Versioned<Claim>& row, const std::string& reason) {
  QueueStep step{.claim = row.value.id, .writes = {}, .note = {}};
  if (row.value.reason == reason) return step;
  Claim waiting = row.value;
  waiting.reason = reason;
  step.writes.push_back(store::Put(waiting, row.version));
  return step;
}

std::string KindOf(const Claim& claim) {
  return KindOfRun(claim.owner_kind, claim.template_id);
}

}  // namespace

bool AsksNoMore(const ClaimRequest& request, const ClaimRequest& other) {
  const bool same_cards = (other.gpu_model.empty() || other.gpu_model == request.gpu_model) &&
                          (other.vendor.empty() || other.vendor == request.vendor);
  const bool best_effort = !other.guarantee_by_memory && other.guarantee == ComputeMillis(0);
  const bool less_compute =
      best_effort || (other.guarantee_by_memory == request.guarantee_by_memory &&
                      other.guarantee <= request.guarantee);
  return same_cards && less_compute && other.count <= request.count &&
         other.memory <= request.memory && other.whole <= request.whole;
}

Claim AskInstead(Claim claim, const ClaimRequest& wish, TimePoint now) {
  if (!AsksNoMore(claim.request, wish)) claim.queued_since = now;
  ClaimRequest request = wish;
  request.only = claim.request.only;
  request.priority = claim.request.priority;
  claim.request = std::move(request);
  return claim;
}

std::string WhereText(const std::vector<Allocation>& allocations, const Gpus& gpus) {
  std::string text;
  for (const Allocation& allocation : allocations) {
    const auto row = gpus.find(allocation.gpu);
    const std::string model = row == gpus.end() ? "a GPU" : row->second.value.model;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} on {} ({})", ToText(allocation.memory), model, allocation.gpu.text());
  }
  return text;
}

bool Holds(const Claim& claim) {
  return claim.phase == ClaimPhase::kReserved || claim.phase == ClaimPhase::kCommitted;
}

Result<std::vector<store::Write>> ReserveWrites(const store::Versioned<Claim>& claim,
                                                const std::vector<Allocation>& allocations,
                                                const Gpus& gpus,
                                                TimePoint now) {
  const std::string& id = claim.value.id.text();
  if (!CanMove(claim.value.phase, ClaimPhase::kReserved) || allocations.empty()) {
    return Fail(Code::kFailedPrecondition, "claim " + id + " cannot be reserved");
  }
  std::vector<store::Write> writes;
  std::set<GpuId> used;
  for (const Allocation& allocation : allocations) {
    const auto row = gpus.find(allocation.gpu);
    if (row == gpus.end() || !used.insert(allocation.gpu).second || allocation.memory <= Bytes(0) ||
        MemoryFree(row->second.value) < allocation.memory) {
      return Fail(Code::kFailedPrecondition,
                  "claim " + id + " does not fit card " + allocation.gpu.text());
    }
    Gpu gpu = row->second.value;
    gpu.shares.push_back(ToShare(claim.value.id, allocation));
    writes.push_back(store::Put(gpu, row->second.version));
  }
  Claim reserved = claim.value;
  reserved.phase = ClaimPhase::kReserved;
  reserved.reason = "A share of a GPU is set aside.";
  reserved.allocations = allocations;
  reserved.held_since = now;
  reserved.reserved_until = now + kReservationTtl;
  writes.push_back(store::Put(reserved, claim.version));
  return writes;
}

Duration IdleFor(const Desktop& desktop, TimePoint at) {
  if (desktop.last_input_at == TimePoint()) return Duration(0);
  return std::max(at - desktop.last_input_at, Duration(0));
}

std::vector<store::Write> EndWrites(const store::Versioned<Claim>& claim,
                                    const ClaimEnd& end,
                                    const Gpus& gpus) {
  if (!CanMove(claim.value.phase, end.phase)) return {};
  std::vector<store::Write> writes;
  // By the cards' rows, not by the claim's list: the rows are what counts.
  for (const auto& [id, row] : gpus) {
    Gpu gpu = row.value;
    const size_t removed = std::erase_if(
        gpu.shares, [&](const Share& share) { return share.claim == claim.value.id; });
    if (removed > 0) writes.push_back(store::Put(gpu, row.version));
  }
  Claim ended = claim.value;
  ended.phase = end.phase;
  ended.reason = end.reason;
  ended.allocations.clear();
  writes.push_back(store::Put(ended, claim.version));
  PastClaim past = ToPast(claim.value, end.at, end.reason);
  past.idle_for = end.idle_for;
  writes.push_back(store::Put(past, 0));
  return writes;
}

scheduler::QueueInput QueueRows::Input() const {
  return {.snapshot = snapshot,
          .waiting = waiting,
          .holders = holders,
          .teams = teams,
          .now = now,
          .rules = {},
          .reservations = reservations};
}

std::shared_ptr<const scheduler::RunHistory> HistoryOf(const World& world, TimePoint now) {
  std::vector<PastRuns::Running> running;
  for (const auto& [id, row] : world.claims) {
    if (Holds(row.value)) running.push_back({KindOf(row.value), row.value.held_since});
  }
  return std::make_shared<const scheduler::RunHistory>(world.past.HistoryWith(running, now));
}

QueueRows QueueRowsOf(const World& world,
                      TimePoint now,
                      std::shared_ptr<const scheduler::RunHistory> history,
                      const PlacementPlan* plan) {
  QueueRows rows;
  rows.now = now;
  rows.history = history != nullptr ? std::move(history) : HistoryOf(world, now);
  rows.snapshot = SnapshotOf(world, plan);
  AddComingShares(world, rows.snapshot);
  for (const auto& [id, row] : world.teams) rows.teams.push_back(row.value);
  for (const auto& [id, row] : world.reservations) {
    // Nobody can use what a team that is gone has reserved.
    if (world.teams.contains(row.value.team)) rows.reservations.push_back(row.value);
  }
  for (const auto& [id, row] : world.claims) {
    const Claim& claim = row.value;
    if (claim.phase == ClaimPhase::kPending) {
      // Its time runs from when it can be used.
      const Duration run_for =
          claim.run_for > Duration(0) ? claim.run_for + kReservationTtl : Duration(0);
      rows.waiting.push_back(
          {id, claim.request, claim.queued_since, claim.team, run_for, KindOf(claim), claim.more});
    } else if (Holds(claim)) {
      rows.holders.push_back(HolderOf(world, claim));
    }
  }
  return rows;
}

std::map<ClaimId, StartRange> StartRanges(const QueueRows& rows) {
  std::map<ClaimId, StartRange> ranges;
  for (const auto& [id, estimate] : scheduler::EstimateStarts(rows.Input(), *rows.history, {})) {
    ranges[id] = {estimate.earliest, estimate.likely, estimate.latest};
  }
  return ranges;
}

QueueOutcome WalkTheQueue(const World& world, const QueueRows& rows) {
  QueueOutcome outcome;
  if (rows.waiting.empty()) return outcome;
  const TimePoint now = rows.now;
  // Placements of one walk build on each other, so each is checked against the rows as the ones
  // before it left them; the shell commits one and walks again.
  bool placed_one = false;
  for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(rows.Input())) {
    const auto row = world.claims.find(answer.id);
    if (row == world.claims.end()) continue;
    if (const auto* placed = std::get_if<scheduler::Placed>(&answer.decision)) {
      if (placed_one) continue;
      auto writes = ReserveWrites(row->second, placed->allocations, world.gpus, now);
      if (!writes) continue;
      placed_one = true;
      outcome.steps.push_back({.claim = answer.id,
                               .writes = std::move(*writes),
                               .placed = true,
                               .note = WhereText(placed->allocations, world.gpus)});
    } else if (const auto* never = std::get_if<scheduler::Never>(&answer.decision)) {
      outcome.steps.push_back(Refuse(row->second, *never, now));
    } else {
      const auto& wait = std::get<scheduler::WaitFor>(answer.decision);
      const std::string reason = wait.reason + WhoGivesWayText(world, answer.id);
      QueueStep step = KeepWaiting(row->second, reason);
      if (!step.writes.empty()) outcome.steps.push_back(std::move(step));
      outcome.places[answer.id] = {.position = answer.position,
                                   .waiting = 0,
                                   .reason = reason,
                                   .over_quota = answer.over_quota,
                                   .next_likely = NextLikelyOf(answer, rows)};
    }
  }
  const int count = static_cast<int>(outcome.places.size());
  for (auto& [id, place] : outcome.places) place.waiting = count;
  return outcome;
}

namespace {

Offer OfferOf(const std::string& model, const QueueRows& rows, const OfferQuestion& question) {
  const Bytes memory = question.memory;
  Offer offer;
  offer.gpu_model = model;
  for (const Gpu& gpu : rows.snapshot.gpus) {
    if (gpu.model != model) continue;
    ++offer.cards;
    offer.simulated = offer.simulated || gpu.simulated;
    if (gpu.mode == GpuMode::kShared) offer.largest_ever = std::max(offer.largest_ever, gpu.memory);
  }
  const scheduler::ShareRoom room = scheduler::RoomForShares(rows.snapshot, model, memory);
  offer.largest_now = room.largest;
  offer.fits_now = static_cast<int>(room.count);
  QueueRows with_this = rows;
  const ClaimId probe("offer");
  ClaimRequest request;
  request.memory = memory;
  request.gpu_model = model;
  // Later than every other, so that it stands behind its team's claims.
  with_this.waiting.push_back(
      {.id = probe, .request = request, .queued_since = TimePoint::max(), .team = question.team});
  for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(with_this.Input())) {
    if (answer.id != probe) continue;
    offer.over_quota = answer.over_quota;
    if (std::holds_alternative<scheduler::Placed>(answer.decision)) {
      offer.answer = "starts now";
    } else if (const auto* never = std::get_if<scheduler::Never>(&answer.decision)) {
      offer.answer = never->reason;
      offer.never = true;
      offer.fits_now = 0;
    } else {
      offer.answer = std::get<scheduler::WaitFor>(answer.decision).reason;
      offer.fits_now = 0;
      if (!answer.over_quota) offer.start = StartRanges(with_this)[probe];
    }
  }
  return offer;
}

}  // namespace

std::vector<Offer> OffersFor(const QueueRows& rows, const OfferQuestion& question) {
  std::set<std::string> models;
  for (const Gpu& gpu : rows.snapshot.gpus) models.insert(gpu.model);
  std::vector<Offer> offers;
  for (const std::string& model : models) offers.push_back(OfferOf(model, rows, question));
  return offers;
}

}  // namespace sluice::control
