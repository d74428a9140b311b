// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <algorithm>
#include <map>

#include "scheduler/internal/decide.h"
#include "scheduler/internal/words.h"

namespace sluice::scheduler {
namespace internal {
namespace {

// Whether the request would fit if every card were empty and in service.
bool EverPossible(std::span<const Card> cards, const ClaimRequest& request) {
  const bool asks = request.count > 0 && (request.whole || request.memory > Bytes(0));
  return asks && EverRoom(cards, request);
}

}  // namespace

Decision DecideOn(std::span<const Card> cards, const ClaimRequest& request, bool words) {
  if (!EverPossible(cards, request)) return words ? SayNever(cards, request) : Never{};
  const auto chosen = BestFit(cards, request);
  if (!chosen) return words ? SayWait(cards, request) : WaitFor{};
  Placed placed;
  for (const size_t i : *chosen) {
    placed.allocations.push_back(AllocationOn(request, cards[i]));
  }
  return placed;
}

}  // namespace internal

Decision Decide(const Snapshot& snapshot, const ClaimRequest& request) {
  return internal::DecideOn(internal::ToCards(snapshot), request);
}

Explanation Explain(const Snapshot& snapshot, const ClaimRequest& request) {
  return internal::ExplainOn(internal::ToCards(snapshot.gpus), request);
}

}  // namespace sluice::scheduler
