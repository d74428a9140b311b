// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "scheduler/internal/fleet.h"
#include "scheduler/internal/words.h"

namespace sluice::scheduler {
namespace {

using internal::Card;

// Whether the request would fit if every card were empty and in service.
bool EverPossible(std::span<const Card> cards, const ClaimRequest& request) {
  const bool asks = request.count > 0 && (request.whole || request.memory > Bytes(0));
  if (!asks) return false;
  std::map<NodeId, int> fitting;
  return std::ranges::any_of(cards, [&](const Card& card) {
    return internal::FitsEmpty(request, *card.gpu) && ++fitting[card.gpu->node] >= request.count;
  });
}

Decision DecideOn(std::span<const Card> cards, const ClaimRequest& request) {
  if (!EverPossible(cards, request)) return internal::SayNever(cards, request);
  const auto chosen = internal::BestFit(cards, request);
  if (!chosen) return internal::SayWait(cards, request);
  Placed placed;
  for (const size_t i : *chosen) {
    placed.allocations.push_back(internal::AllocationOn(request, cards[i]));
  }
  return placed;
}

// Like DecideOn, but says so when only the cards kept for the head stand in the way.
Decision DecideBehindHead(std::vector<Card>& cards, const ClaimRequest& request) {
  Decision decision = DecideOn(cards, request);
  if (!std::holds_alternative<WaitFor>(decision)) return decision;
  std::vector<Card> all = cards;
  for (Card& card : all) card.kept = false;
  if (internal::BestFit(all, request)) return internal::SayKept(all, request);
  return decision;
}

void TakeAll(std::vector<Card>& cards, const Placed& placed) {
  for (const Allocation& allocation : placed.allocations) {
    for (Card& card : cards) {
      if (card.gpu->id == allocation.gpu) internal::Take(card, allocation);
    }
  }
}

std::vector<const Waiting*> InOrder(std::span<const Waiting> waiting) {
  std::vector<const Waiting*> ordered;
  ordered.reserve(waiting.size());
  for (const Waiting& one : waiting) ordered.push_back(&one);
  std::ranges::sort(ordered, {}, [](const Waiting* one) {
    // Negated in a wider type, so that the lowest priority has a negative too.
    return std::tuple(-int64_t{one->request.priority}, one->queued_since, std::cref(one->id));
  });
  return ordered;
}

void Release(std::vector<Card>& cards, const ClaimId& claim) {
  for (Card& card : cards) {
    for (const Share& share : card.gpu->shares) {
      if (share.claim == claim) internal::GiveBack(card, share);
    }
  }
}

}  // namespace

Decision Decide(const Snapshot& snapshot, const ClaimRequest& request) {
  return DecideOn(internal::ToCards(snapshot.gpus), request);
}

std::vector<ClaimId> QueueOrder(std::span<const Waiting> waiting) {
  std::vector<ClaimId> ids;
  ids.reserve(waiting.size());
  for (const Waiting* one : InOrder(waiting)) ids.push_back(one->id);
  return ids;
}

std::vector<QueueAnswer> WalkQueue(const Snapshot& snapshot, std::span<const Waiting> waiting) {
  std::vector<Card> cards = internal::ToCards(snapshot.gpus);
  std::vector<QueueAnswer> answers;
  answers.reserve(waiting.size());
  int position = 0;
  for (const Waiting* one : InOrder(waiting)) {
    Decision decision = DecideBehindHead(cards, one->request);
    if (const auto* placed = std::get_if<Placed>(&decision)) TakeAll(cards, *placed);
    const bool waits = std::holds_alternative<WaitFor>(decision);
    if (waits && position == 0) {
      for (const size_t i : internal::Soonest(cards, one->request)) cards[i].kept = true;
    }
    answers.push_back({one->id, waits ? ++position : 0, std::move(decision)});
  }
  return answers;
}

std::optional<TimePoint> NextLikely(const Snapshot& snapshot,
                                    const ClaimRequest& request,
                                    std::span<const Ending> endings) {
  std::vector<Card> cards = internal::ToCards(snapshot.gpus);
  std::map<TimePoint, std::vector<ClaimId>> due;
  for (const Ending& ending : endings) {
    if (ending.ends_at != TimePoint()) due[ending.ends_at].push_back(ending.claim);
  }
  if (request.count < 1 || internal::BestFit(cards, request)) return std::nullopt;
  for (const auto& [time, claims] : due) {
    for (const ClaimId& claim : claims) Release(cards, claim);
    if (internal::BestFit(cards, request)) return time;
  }
  return std::nullopt;
}

}  // namespace sluice::scheduler
