// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/words.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "scheduler/internal/bounds.h"

namespace sluice::scheduler::internal {
namespace {

// Two different amounts never read the same: finer units until they differ.
std::pair<std::string, std::string> TellApart(Bytes a, Bytes b) {
  if (a == b || ToText(a) != ToText(b)) return {ToText(a), ToText(b)};
  const auto mib = [](Bytes bytes) {
    const bool even = bytes.value() % kGiB.value() == 0;
    return even ? ToText(bytes) : std::to_string(bytes.value() >> 20) + " MiB";
  };
  if (mib(a) != mib(b)) return {mib(a), mib(b)};
  return {std::to_string(a.value()) + " B", std::to_string(b.value()) + " B"};
}

// "card", "whole NVIDIA A10 card", "named cards".
std::string Noun(const ClaimRequest& request, bool plural) {
  std::string noun = request.only.empty() ? "" : "named ";
  if (request.whole) noun += "whole ";
  const std::string& kind = request.gpu_model.empty() ? request.vendor : request.gpu_model;
  if (!kind.empty()) noun += kind + " ";
  return noun + (plural ? "cards" : "card");
}

// "one card", "the named card", "2 cards of one machine".
std::string Cards(const ClaimRequest& request) {
  if (request.count != 1) {
    return std::to_string(request.count) + " " + Noun(request, true) + " of one machine";
  }
  return (request.only.size() == 1 ? "the " : "one ") + Noun(request, false);
}

// "needs 8 GiB and 30% of the compute on each of 2 cards of one machine".
std::string Need(const ClaimRequest& request, const std::string& memory) {
  if (request.whole) {
    const bool sized = request.memory > Bytes(0);
    return "needs " + Cards(request) + (sized ? " with " + memory + " or more" : "");
  }
  std::string need = "needs " + memory;
  if (request.guarantee > ComputeMillis(0)) {
    need += " and " + Percent(request.guarantee) + " of the compute";
  }
  return need + (request.count == 1 ? " on " : " on each of ") + Cards(request);
}

std::string Need(const ClaimRequest& request) {
  return Need(request, ToText(request.memory));
}

// The admitted cards that are in service, and why the others are not.
struct Service {
  std::vector<Card> open;
  std::vector<Card> closed_to;             // Of those in service: by the bounds, see ClosedTo.
  std::map<std::string_view, int> closed;  // "stale" → 1.
  int closed_count = 0;
};

Service InService(std::span<const Card> cards, const ClaimRequest& request) {
  Service service;
  const std::vector<bool> closed = ClosedTo(cards, request);
  for (size_t i = 0; i < cards.size(); ++i) {
    const Card& card = cards[i];
    if (!FitsEmpty(request, *card.gpu)) continue;
    if (card.open) {
      (!closed.empty() && closed[i] ? service.closed_to : service.open).push_back(card);
      continue;
    }
    const Gpu& gpu = *card.gpu;
    const bool by_mode = gpu.mode != GpuMode::kShared;
    ++service.closed[by_mode ? ToString(gpu.mode) : ToString(gpu.health)];
    ++service.closed_count;
  }
  return service;
}

// "1 cordoned, 2 stale".
std::string List(const std::map<std::string_view, int>& counts) {
  std::string list;
  for (const auto& [name, count] : counts) {
    list += (list.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(name);
  }
  return list;
}

std::vector<OnNode> FreeOf(std::span<const Card> cards) {
  std::vector<OnNode> free;
  for (const Card& card : cards) free.push_back({card.gpu->node, MemoryFree(card)});
  return free;
}

Bytes LargestFree(std::span<const Card> cards, const ClaimRequest& request) {
  Bytes largest;
  const std::vector<bool> closed = ClosedTo(cards, request);
  for (size_t i = 0; i < cards.size(); ++i) {
    const bool finds = Admits(request, *cards[i].gpu) && (closed.empty() || !closed[i]);
    if (finds) largest = std::max(largest, MemoryFree(cards[i]));
  }
  return largest;
}

// The most unused cards of one machine.
int UnusedTogether(std::span<const Card> cards) {
  std::map<NodeId, int> unused;
  int most = 0;
  for (const Card& card : cards) {
    if (card.shares == 0) most = std::max(most, ++unused[card.gpu->node]);
  }
  return most;
}

// "2 are unused, but kept for shares (floor 3)", "2 cards are kept whole (ceiling 3)".
std::string ClosedText(const ClaimRequest& request, const Service& service) {
  const size_t count = service.closed_to.size();
  const CardBounds& bounds = service.closed_to.front().bounds;
  const std::string are = std::to_string(count) + (count == 1 ? " card is " : " cards are ");
  if (!request.whole) return are + "kept whole (ceiling " + std::to_string(bounds.ceiling) + ")";
  return are + "unused, but kept for shares (floor " + std::to_string(bounds.floor) + ")";
}

std::string WholeWait(const ClaimRequest& request, const Service& service) {
  if (!service.closed_to.empty()) return Need(request) + "; " + ClosedText(request, service);
  const int unused = UnusedTogether(service.open);
  if (request.count == 1) {
    return Need(request) + (service.open.size() == 1 ? "; it is in use" : "; each is in use");
  }
  return Need(request) + "; unused on one machine: " + std::to_string(unused);
}

std::string ShareWait(const ClaimRequest& request, const Service& service) {
  if (service.open.empty()) return Need(request);
  const Bytes free = LargestTogether(FreeOf(service.open), request.count);
  if (free >= request.memory) {
    // Memory would do, so compute is what is missing.
    ComputeMillis most;
    for (const Card& card : service.open) {
      if (MemoryFree(card) >= request.memory) most = std::max(most, ComputeFree(card));
    }
    return Need(request) + "; most compute free where the memory is: " + Percent(most);
  }
  if (free == Bytes(0) && request.count == 1) {
    return Need(request) + (service.open.size() == 1 ? "; it is full" : "; each is full");
  }
  const auto [need, left] = TellApart(request.memory, free);
  if (request.count == 1) return Need(request, need) + "; largest free: " + left;
  return Need(request, need) + "; free on as many at once: " + (free == Bytes(0) ? "none" : left);
}

// "NVIDIA A10, NVIDIA L4".
std::string Known(std::span<const Card> cards, std::string Gpu::*name) {
  std::set<std::string> names;
  for (const Card& card : cards) names.insert(card.gpu->*name);
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  return list;
}

bool NoneHas(std::span<const Card> cards, std::string Gpu::*name, const std::string& wanted) {
  return !wanted.empty() &&
         std::ranges::none_of(cards, [&](const Card& card) { return card.gpu->*name == wanted; });
}

std::string NoneAdmitted(std::span<const Card> cards, const ClaimRequest& request) {
  if (cards.empty()) return "there is no GPU here";
  if (NoneHas(cards, &Gpu::model, request.gpu_model)) {
    return "there is no " + request.gpu_model + " here, only: " + Known(cards, &Gpu::model);
  }
  if (NoneHas(cards, &Gpu::vendor, request.vendor)) {
    return "there is no card of " + request.vendor +
           " here, only of: " + Known(cards, &Gpu::vendor);
  }
  if (!request.only.empty()) return "no named card is here and of the kind that was asked for";
  return "no card here is of both the vendor and the model that were asked for";
}

}  // namespace

std::string Percent(ComputeMillis compute) {
  const int64_t tenths = compute.value() % 10;
  return std::to_string(compute.value() / 10) + (tenths == 0 ? "" : "." + std::to_string(tenths)) +
         "%";
}

WaitFor SayWait(std::span<const Card> cards, const ClaimRequest& request) {
  const Service service = InService(cards, request);
  WaitFor wait;
  wait.largest_free = LargestFree(cards, request);
  if (service.open.empty() && service.closed_to.empty()) {
    wait.reason = Need(request) + "; none is in service now: " + List(service.closed);
    return wait;
  }
  wait.reason = request.whole ? WholeWait(request, service) : ShareWait(request, service);
  if (!request.whole && !service.closed_to.empty()) {
    wait.reason += "; " + ClosedText(request, service);
  }
  if (service.closed_count != 0) wait.reason += "; out of service: " + List(service.closed);
  return wait;
}

namespace {

WaitFor SayFreeBut(std::span<const Card> cards,
                   const ClaimRequest& request,
                   const std::string& why) {
  const Bytes free = LargestFree(cards, request);
  const bool one_figure = request.count == 1 && !request.whole;
  const std::string what = one_figure ? ToText(free) + " are free" : "enough is free";
  return {Need(request) + "; " + what + ", but " + why, free};
}

}  // namespace

WaitFor SayKept(std::span<const Card> cards, const ClaimRequest& request) {
  return SayFreeBut(cards, request, "kept for the first in the queue");
}

WaitFor SayReserved(std::span<const Card> cards, const ClaimRequest& request) {
  return SayFreeBut(cards, request, "reserved for another team");
}

WaitFor SayOverQuota(const Team& team, Bytes held, Bytes more) {
  const Bytes left = std::max(team.memory_max - held, Bytes(0));
  return {"team " + team.name + " holds " + ToText(held) + " of its " + ToText(team.memory_max) +
              "; " + ToText(more) + " more would pass that",
          left};
}

Never SayNeverOfTeam(const Team& team, Bytes more) {
  const auto [asked, most] = TellApart(more, team.memory_max);
  return {"asks for " + asked + "; team " + team.name + " may hold " + most + " in all",
          team.memory_max};
}

namespace {

// Requires: it is the bounds that never leave so many.
Never SayNeverOfBounds(std::span<const Card> cards, const ClaimRequest& request) {
  const int most = BudgetEver(cards, request.whole);
  const std::string at_most = most == 0 ? "none of " : "at most " + std::to_string(most) + " of ";
  const std::string of = at_most + std::to_string(cards.size());
  const CardBounds& bounds = cards[0].bounds;
  const std::string why = request.whole
                              ? " may be given out whole (floor " + std::to_string(bounds.floor)
                              : " may carry shares (ceiling " + std::to_string(bounds.ceiling);
  return {Need(request) + "; " + of + why + ")", Bytes(0)};
}

}  // namespace

Never SayNever(std::span<const Card> cards, const ClaimRequest& request) {
  if (request.count < 1) return {"asks for no card; ask for at least one", Bytes(0)};
  std::vector<OnNode> admitted;
  for (const Card& card : cards) {
    if (Admits(request, *card.gpu)) admitted.push_back({card.gpu->node, card.gpu->memory});
  }
  if (admitted.empty()) return {NoneAdmitted(cards, request), Bytes(0)};

  const Bytes largest = LargestTogether(admitted, request.count);
  if (largest == Bytes(0)) {
    std::map<NodeId, int> per_node;
    int most = 0;
    for (const OnNode& card : admitted) most = std::max(most, ++per_node[card.node]);
    return {"needs " + Cards(request) + "; most on one machine: " + std::to_string(most), Bytes(0)};
  }
  if (request.count > BudgetEver(cards, request.whole)) return SayNeverOfBounds(cards, request);
  if (!request.whole && request.memory <= Bytes(0)) {
    return {"asks for no memory; ask for some", largest};
  }
  if (request.memory <= largest) {
    return {"needs " + Percent(request.guarantee) + " of a card's compute; a card has 100%",
            largest};
  }
  const auto [need, most] = TellApart(request.memory, largest);
  if (request.count == 1) return {Need(request, need) + "; the largest has " + most, largest};
  return {Need(request, need) + "; as many have at most " + most, largest};
}

}  // namespace sluice::scheduler::internal
