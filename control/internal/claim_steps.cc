// SPDX-License-Identifier: Apache-2.0
#include "control/internal/claim_steps.h"

#include <algorithm>
#include <fmt/core.h>
#include <set>
#include <utility>
#include <variant>

namespace sluice::control {
namespace {

// How long a reservation is meant to last; control itself counts by the steady clock.
constexpr Duration kReservationTtl{120'000};

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

QueueStep Refuse(const store::Versioned<Claim>& row, const scheduler::Never& never) {
  Claim refused = row.value;
  refused.phase = ClaimPhase::kRefused;
  refused.reason = never.reason;
  return {.claim = refused.id,
          .writes = {store::Put(refused, row.version)},
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

}  // namespace

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
    gpu.shares.push_back({claim.value.id, allocation.memory, allocation.guarantee, allocation.cap});
    writes.push_back(store::Put(gpu, row->second.version));
  }
  Claim reserved = claim.value;
  reserved.phase = ClaimPhase::kReserved;
  reserved.reason = "A share of a GPU is set aside.";
  reserved.allocations = allocations;
  reserved.reserved_until = now + kReservationTtl;
  writes.push_back(store::Put(reserved, claim.version));
  return writes;
}

std::vector<store::Write> EndWrites(const store::Versioned<Claim>& claim,
                                    ClaimPhase end,
                                    const std::string& reason,
                                    const Gpus& gpus) {
  if (!CanMove(claim.value.phase, end)) return {};
  std::vector<store::Write> writes;
  // By the cards' rows, not by the claim's list: the rows are what counts.
  for (const auto& [id, row] : gpus) {
    Gpu gpu = row.value;
    const size_t removed = std::erase_if(
        gpu.shares, [&](const Share& share) { return share.claim == claim.value.id; });
    if (removed > 0) writes.push_back(store::Put(gpu, row.version));
  }
  Claim ended = claim.value;
  ended.phase = end;
  ended.reason = reason;
  ended.allocations.clear();
  writes.push_back(store::Put(ended, claim.version));
  return writes;
}

std::vector<scheduler::Waiting> WaitingClaims(const Claims& claims) {
  std::vector<scheduler::Waiting> waiting;
  for (const auto& [id, row] : claims) {
    if (row.value.phase != ClaimPhase::kPending) continue;
    waiting.push_back({id, row.value.request, row.value.queued_since});
  }
  return waiting;
}

scheduler::Snapshot SnapshotOf(const Gpus& gpus) {
  scheduler::Snapshot snapshot;
  snapshot.gpus.reserve(gpus.size());
  for (const auto& [id, row] : gpus) snapshot.gpus.push_back(row.value);
  return snapshot;
}

std::vector<scheduler::Ending> EndingsOf(const Claims& claims) {
  std::vector<scheduler::Ending> endings;
  for (const auto& [id, row] : claims) {
    if (Holds(row.value) && row.value.ends_at != TimePoint{}) {
      endings.push_back({id, row.value.ends_at});
    }
  }
  return endings;
}

QueueOutcome WalkTheQueue(const World& world, TimePoint now) {
  QueueOutcome outcome;
  const std::vector<scheduler::Waiting> waiting = WaitingClaims(world.claims);
  if (waiting.empty()) return outcome;
  const scheduler::Snapshot snapshot = SnapshotOf(world.gpus);
  const std::vector<scheduler::Ending> endings = EndingsOf(world.claims);
  // Placements of one walk build on each other, so each is checked against the rows as the ones
  // before it left them; the shell commits one and walks again.
  bool placed_one = false;
  for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(snapshot, waiting)) {
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
      outcome.steps.push_back(Refuse(row->second, *never));
    } else {
      const auto& wait = std::get<scheduler::WaitFor>(answer.decision);
      QueueStep step = KeepWaiting(row->second, wait.reason);
      if (!step.writes.empty()) outcome.steps.push_back(std::move(step));
      outcome.places[answer.id] = {
          .position = answer.position,
          .waiting = 0,
          .reason = wait.reason,
          .next_likely = scheduler::NextLikely(snapshot, row->second.value.request, endings)};
    }
  }
  const int count = static_cast<int>(outcome.places.size());
  for (auto& [id, place] : outcome.places) place.waiting = count;
  return outcome;
}

namespace {

Offer OfferOf(const std::string& model,
              const scheduler::Snapshot& snapshot,
              const std::vector<scheduler::Waiting>& waiting,
              Bytes memory) {
  Offer offer;
  offer.gpu_model = model;
  for (const Gpu& gpu : snapshot.gpus) {
    if (gpu.model != model) continue;
    ++offer.cards;
    offer.simulated = offer.simulated || gpu.simulated;
    offer.largest_now = std::max(offer.largest_now, MemoryFree(gpu));
    if (gpu.mode == GpuMode::kShared) offer.largest_ever = std::max(offer.largest_ever, gpu.memory);
    if (memory > Bytes(0)) {
      offer.fits_now += static_cast<int>(MemoryFree(gpu).value() / memory.value());
    }
  }
  std::vector<scheduler::Waiting> with_this = waiting;
  const ClaimId probe("offer");
  // Later than every other, so that it stands at the end of the queue.
  const TimePoint last = TimePoint::max();
  ClaimRequest request;
  request.memory = memory;
  request.gpu_model = model;
  with_this.push_back({probe, request, last});
  for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(snapshot, with_this)) {
    if (answer.id != probe) continue;
    if (std::holds_alternative<scheduler::Placed>(answer.decision)) {
      offer.answer = "starts now";
    } else if (const auto* never = std::get_if<scheduler::Never>(&answer.decision)) {
      offer.answer = never->reason;
      offer.never = true;
      offer.fits_now = 0;
    } else {
      offer.answer = std::get<scheduler::WaitFor>(answer.decision).reason;
      offer.fits_now = 0;
    }
  }
  return offer;
}

}  // namespace

std::vector<Offer> OffersFor(const scheduler::Snapshot& snapshot,
                             const std::vector<scheduler::Waiting>& waiting,
                             Bytes memory) {
  std::set<std::string> models;
  for (const Gpu& gpu : snapshot.gpus) models.insert(gpu.model);
  std::vector<Offer> offers;
  for (const std::string& model : models) {
    offers.push_back(OfferOf(model, snapshot, waiting, memory));
  }
  return offers;
}

}  // namespace sluice::control
