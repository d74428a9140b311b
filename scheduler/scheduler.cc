// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <algorithm>
#include <functional>

#include "scheduler/internal/bounds.h"
#include "scheduler/internal/decide.h"
#include "scheduler/internal/words.h"

namespace sluice::scheduler {
namespace internal {
namespace {

// Whether the request would fit if every card were empty and in service, were it not for the
// bounds.
bool HasCards(std::span<const Card> cards, const ClaimRequest& request) {
  const bool asks = request.count > 0 && (request.whole || request.memory > Bytes(0));
  return asks && EverRoom(cards, request);
}

}  // namespace

Decision DecideOn(std::span<const Card> cards, const ClaimRequest& request, bool words) {
  if (!HasCards(cards, request)) return words ? SayNever(cards, request) : Never{};
  const auto chosen = BestFit(cards, request);
  // While the pool is above its ceiling, a claim may fit that later will not.
  const bool never = !chosen && request.count > BudgetEver(cards, request.whole);
  if (never) return words ? SayNever(cards, request) : Never{};
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
  return internal::ExplainOn(internal::ToCards(snapshot), request);
}

std::vector<CardVerdict> JudgeCards(const Snapshot& snapshot, const ClaimRequest& request) {
  return internal::JudgeAll(internal::ToCards(snapshot), request);
}

ShareRoom RoomForShares(const Snapshot& snapshot, const std::string& gpu_model, Bytes memory) {
  const std::vector<internal::Card> cards = internal::ToCards(snapshot);
  ShareRoom room;
  std::vector<int64_t> idle;  // How many fit on each.
  const int budget = internal::BudgetFor(cards, /*whole=*/false);
  for (const internal::Card& card : cards) {
    const bool is_idle = card.shares == 0;
    if ((!gpu_model.empty() && card.gpu->model != gpu_model) || (is_idle && budget == 0)) continue;
    const Bytes free = internal::MemoryFree(card);
    room.largest = std::max(room.largest, free);
    if (memory <= Bytes(0)) continue;
    const int64_t count = free.value() / memory.value();
    if (is_idle) idle.push_back(count);
    if (!is_idle) room.count += count;
  }
  std::ranges::sort(idle, std::greater<>());
  idle.resize(std::min(idle.size(), static_cast<size_t>(budget)));
  for (const int64_t count : idle) room.count += count;
  return room;
}

}  // namespace sluice::scheduler
