// SPDX-License-Identifier: Apache-2.0
#include "model/claim.h"

#include <algorithm>
#include <array>
#include <utility>

#include "model/internal/names.h"

namespace sluice {
namespace {

constexpr internal::Names<ClaimPhase, 5> kPhases{
    {"pending", "reserved", "committed", "released", "refused"}};
constexpr internal::Names<ClaimOwner, 2> kOwners{{"desktop", "run"}};

using enum ClaimPhase;
constexpr std::array<std::pair<ClaimPhase, ClaimPhase>, 8> kSteps = {{
    {kPending, kReserved},
    {kPending, kRefused},
    {kPending, kReleased},
    {kReserved, kCommitted},
    {kReserved, kPending},
    {kReserved, kRefused},
    {kReserved, kReleased},
    {kCommitted, kReleased},
}};

}  // namespace

std::string_view ToString(ClaimPhase phase) {
  return kPhases.Of(phase);
}
std::optional<ClaimPhase> ParseClaimPhase(std::string_view text) {
  return kPhases.Find(text);
}
std::string_view ToString(ClaimOwner owner) {
  return kOwners.Of(owner);
}
std::optional<ClaimOwner> ParseClaimOwner(std::string_view text) {
  return kOwners.Find(text);
}

Share ToShare(const ClaimId& claim, const Allocation& allocation) {
  return {.claim = claim,
          .memory = allocation.memory,
          .guarantee = allocation.guarantee,
          .cap = allocation.cap,
          .whole = allocation.whole};
}

Allocation ToAllocation(const GpuId& gpu, const Share& share) {
  return {.gpu = gpu,
          .memory = share.memory,
          .guarantee = share.guarantee,
          .cap = share.cap,
          .whole = share.whole};
}

PastClaim ToPast(const Claim& claim, TimePoint ended_at, std::string reason) {
  return {.id = claim.id,
          .owner_kind = claim.owner_kind,
          .user = claim.user,
          .team = claim.team,
          .template_id = claim.template_id,
          .desktop = claim.desktop,
          .request = claim.request,
          .more = claim.more,
          .run_for = claim.run_for,
          .allocations = claim.allocations,
          .queued_since = claim.queued_since,
          .held_since = claim.held_since,
          .ended_at = ended_at,
          .gave_way = !claim.yields_to.empty() && ended_at >= claim.notice_until,
          .reason = std::move(reason)};
}

bool CanMove(ClaimPhase from, ClaimPhase to) {
  return std::ranges::find(kSteps, std::pair(from, to)) != kSteps.end();
}

}  // namespace sluice
