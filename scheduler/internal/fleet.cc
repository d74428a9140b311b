// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/fleet.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

namespace sluice::scheduler::internal {
namespace {

Bytes Missing(const ClaimRequest& request, const Card& card) {
  const Bytes need = AllocationOn(request, card).memory;
  return std::max(need - MemoryFree(card), Bytes(0));
}

// Groups of exactly `count` cards of one machine: the first ones of each, in the order given.
std::vector<std::vector<size_t>> GroupsByNode(std::span<const Card> cards,
                                              const std::vector<size_t>& ordered,
                                              int count) {
  std::vector<std::vector<size_t>> groups;
  std::map<NodeId, std::vector<size_t>> by_node;
  for (const size_t index : ordered) {
    std::vector<size_t>& group = by_node[cards[index].gpu->node];
    if (group.size() == static_cast<size_t>(count)) continue;
    group.push_back(index);
  }
  for (auto& [node, group] : by_node) {
    if (group.size() == static_cast<size_t>(count)) groups.push_back(std::move(group));
  }
  return groups;
}

// In double: memory × compute passes 64 bits for large cards, and a thousandth is all that counts.
ComputeMillis ComputeByMemory(Bytes memory, const Gpu& gpu) {
  if (gpu.memory <= Bytes(0)) return ComputeMillis(0);
  const double part = static_cast<double>(memory.value()) / static_cast<double>(gpu.memory.value());
  return ComputeMillis(
      static_cast<int64_t>(std::min(part, 1.0) * static_cast<double>(gpu.compute.value())));
}

}  // namespace

std::vector<Card> ToCards(std::span<const Gpu> gpus) {
  std::vector<Card> cards;
  cards.reserve(gpus.size());
  for (const Gpu& gpu : gpus) {
    Card card{.gpu = &gpu, .open = OpenToShares(gpu)};
    for (const Share& share : gpu.shares) {
      Take(card, {gpu.id, share.memory, share.guarantee, share.cap});
    }
    cards.push_back(card);
  }
  return cards;
}

Bytes MemoryFree(const Card& card) {
  return card.open ? std::max(card.gpu->memory - card.memory_held, Bytes(0)) : Bytes(0);
}

ComputeMillis ComputeFree(const Card& card) {
  return card.open ? std::max(card.gpu->compute - card.compute_held, ComputeMillis(0))
                   : ComputeMillis(0);
}

bool Admits(const ClaimRequest& request, const Gpu& gpu) {
  if (!request.vendor.empty() && request.vendor != gpu.vendor) return false;
  if (!request.gpu_model.empty() && request.gpu_model != gpu.model) return false;
  return request.only.empty() || std::ranges::find(request.only, gpu.id) != request.only.end();
}

bool FitsNow(const ClaimRequest& request, const Card& card) {
  if (!card.open || card.kept || !FitsEmpty(request, *card.gpu)) return false;
  if (request.whole && card.shares != 0) return false;
  const Allocation wanted = AllocationOn(request, card);
  return wanted.memory <= MemoryFree(card) && wanted.guarantee <= ComputeFree(card);
}

bool FitsEmpty(const ClaimRequest& request, const Gpu& gpu) {
  return Admits(request, gpu) && request.memory <= gpu.memory && request.guarantee <= gpu.compute;
}

Allocation AllocationOn(const ClaimRequest& request, const Card& card) {
  const Gpu& gpu = *card.gpu;
  if (request.whole) return {gpu.id, gpu.memory, gpu.compute, ComputeMillis(0)};
  ComputeMillis guarantee = request.guarantee;
  if (request.guarantee_by_memory) {
    guarantee = std::min(ComputeByMemory(request.memory, gpu), ComputeFree(card));
    if (request.cap > ComputeMillis(0)) guarantee = std::min(guarantee, request.cap);
  }
  return {gpu.id, request.memory, guarantee, request.cap};
}

void Take(Card& card, const Allocation& allocation) {
  card.memory_held += allocation.memory;
  card.compute_held += allocation.guarantee;
  ++card.shares;
}

void GiveBack(Card& card, const Share& share) {
  card.memory_held -= share.memory;
  card.compute_held -= share.guarantee;
  --card.shares;
}

std::optional<std::vector<size_t>> BestFit(std::span<const Card> cards,
                                           const ClaimRequest& request) {
  std::vector<size_t> fitting;
  for (size_t i = 0; i < cards.size(); ++i) {
    if (FitsNow(request, cards[i])) fitting.push_back(i);
  }
  std::ranges::sort(fitting, {}, [&](size_t i) {
    return std::tuple(MemoryFree(cards[i]), cards[i].shares, std::cref(cards[i].gpu->id));
  });
  auto groups = GroupsByNode(cards, fitting, request.count);
  if (groups.empty()) return std::nullopt;
  // The machine of the best first card.
  const auto rank = [&](size_t i) { return std::ranges::find(fitting, i) - fitting.begin(); };
  return *std::ranges::min_element(groups, {}, [&](const auto& group) { return rank(group[0]); });
}

std::vector<size_t> Soonest(std::span<const Card> cards, const ClaimRequest& request) {
  std::vector<size_t> possible;
  for (size_t i = 0; i < cards.size(); ++i) {
    if (cards[i].open && FitsEmpty(request, *cards[i].gpu)) possible.push_back(i);
  }
  std::ranges::sort(possible, {}, [&](size_t i) {
    return std::tuple(Missing(request, cards[i]), cards[i].shares, std::cref(cards[i].gpu->id));
  });
  auto groups = GroupsByNode(cards, possible, request.count);
  if (groups.empty()) return {};
  const auto missing = [&](const std::vector<size_t>& group) {
    Bytes sum;
    for (const size_t i : group) sum += Missing(request, cards[i]);
    return std::tuple(sum, std::cref(cards[group[0]].gpu->id));
  };
  return *std::ranges::min_element(groups, {}, missing);
}

Bytes LargestTogether(std::vector<OnNode> cards, int count) {
  std::ranges::sort(cards, std::greater<>(), &OnNode::memory);
  std::map<NodeId, int> seen;
  for (const OnNode& card : cards) {
    if (++seen[card.node] == count) return card.memory;
  }
  return Bytes(0);
}

}  // namespace sluice::scheduler::internal
