// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/holdings.h"

namespace sluice::scheduler::internal {

Holdings HoldingsOf(std::span<const Card> cards) {
  Holdings holdings;
  for (size_t i = 0; i < cards.size(); ++i) {
    for (const Share& share : cards[i].gpu->shares) holdings[share.claim].push_back({i, share});
  }
  return holdings;
}

void GiveBackAll(std::vector<Card>& cards, const Holdings& holdings, const ClaimId& claim) {
  const auto parts = holdings.find(claim);
  if (parts == holdings.end()) return;
  for (const Part& part : parts->second) GiveBack(cards[part.card], part.share);
}

void TakeAll(std::vector<Card>& cards, std::span<const Allocation> allocations) {
  for (const Allocation& allocation : allocations) {
    for (Card& card : cards) {
      if (card.gpu->id == allocation.gpu) Take(card, allocation);
    }
  }
}

Bytes MemoryAsked(const ClaimRequest& request) {
  constexpr int64_t kMost = int64_t{1} << 62;
  const int64_t each = request.memory.value();
  const bool fits = request.count <= 0 || each <= kMost / request.count;
  return Bytes(fits ? each * request.count : kMost);
}

Bytes MemoryOf(std::span<const Allocation> allocations) {
  Bytes sum;
  for (const Allocation& allocation : allocations) sum += allocation.memory;
  return sum;
}

std::map<TeamId, Bytes> HeldByTeam(const QueueInput& input) {
  std::map<ClaimId, TeamId> team_of;
  for (const Holder& holder : input.holders) team_of[holder.claim] = holder.team;
  std::map<TeamId, Bytes> held;
  for (const Gpu& gpu : input.snapshot.gpus) {
    for (const Share& share : gpu.shares) {
      const auto team = team_of.find(share.claim);
      if (team != team_of.end()) held[team->second] += share.memory;
    }
  }
  return held;
}

}  // namespace sluice::scheduler::internal
