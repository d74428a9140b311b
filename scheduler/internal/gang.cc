// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/gang.h"

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <utility>

#include "scheduler/internal/decide.h"
#include "scheduler/internal/holdings.h"

namespace sluice::scheduler::internal {
namespace {

// Looks for room, of all parts together.
constexpr int kTriesMax = 200;

std::vector<const ClaimRequest*> PartsOf(const Waiting& one) {
  std::vector<const ClaimRequest*> parts{&one.request};
  for (const ClaimRequest& part : one.more) parts.push_back(&part);
  return parts;
}

class Seating {
 public:
  Seating(std::span<const Card> cards, const Waiting& one)
      : cards_(cards.begin(), cards.end()), parts_(PartsOf(one)), seats_(parts_.size()) {
    for (size_t i = 0; i < parts_.size(); ++i) order_.push_back(i);
    std::ranges::stable_sort(order_, std::greater<>(), [&](size_t i) {
      return std::tuple(parts_[i]->whole, parts_[i]->count, parts_[i]->memory);
    });
  }

  std::optional<std::vector<Seat>> Run() {
    // Without room for one of them alone, no order of the others helps.
    const bool each = std::ranges::all_of(
        parts_, [&](const ClaimRequest* part) { return BestFit(cards_, *part).has_value(); });
    if (!each || !SeatFrom(0)) return std::nullopt;
    std::vector<Seat> all;
    for (const std::vector<Seat>& part : seats_) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

 private:
  bool SeatFrom(size_t next) {
    if (next == order_.size()) return true;
    const size_t part = order_[next];
    std::vector<size_t> tried;
    while (tries_left_-- > 0) {
      for (const size_t card : tried) cards_[card].kept = true;
      const auto chosen = BestFit(cards_, *parts_[part]);
      for (const size_t card : tried) cards_[card].kept = false;
      if (!chosen) return false;
      std::vector<Card> before;
      for (const size_t card : *chosen) {
        before.push_back(cards_[card]);
        seats_[part].push_back({card, AllocationOn(*parts_[part], cards_[card])});
        Take(cards_[card], seats_[part].back().allocation);
        cards_[card].kept = true;  // For this part; no other part of the claim sits there.
      }
      if (SeatFrom(next + 1)) return true;
      for (size_t i = 0; i < chosen->size(); ++i) cards_[(*chosen)[i]] = before[i];
      seats_[part].clear();
      tried.push_back(chosen->front());
    }
    return false;
  }

  std::vector<Card> cards_;
  std::vector<const ClaimRequest*> parts_;
  std::vector<size_t> order_;             // Of the parts, the hardest first.
  std::vector<std::vector<Seat>> seats_;  // By part.
  int tries_left_ = kTriesMax;
};

// As if nobody held any, and all were in service.
std::vector<Card> Emptied(std::span<const Card> cards) {
  std::vector<Card> empty(cards.begin(), cards.end());
  for (Card& card : empty) {
    card.memory_held = Bytes(0);
    card.compute_held = ComputeMillis(0);
    card.shares = 0;
    card.wholes = 0;
    card.open = true;
    card.kept = false;
    card.kept_as = Use::kIdle;
  }
  return empty;
}

Never NeverAll(std::vector<Card> empty, const Waiting& one, const std::string& all) {
  for (Card& card : empty) card.bounds = {};
  if (!SeatAll(empty, one)) return {all + "; there are not so many cards for them", Bytes(0)};
  return {all + "; the pool's floor and ceiling never leave so many at once", Bytes(0)};
}

std::string InOne(const std::string& reason, size_t parts) {
  return reason + " (one of " + std::to_string(parts) + " that start together)";
}

}  // namespace

std::optional<std::vector<Seat>> SeatAll(std::span<const Card> cards, const Waiting& one) {
  if (!one.more.empty()) return Seating(cards, one).Run();
  const auto chosen = BestFit(cards, one.request);
  if (!chosen) return std::nullopt;
  std::vector<Seat> seats;
  for (const size_t card : *chosen) {
    seats.push_back({card, AllocationOn(one.request, cards[card])});
  }
  return seats;
}

Decision DecideAll(std::span<const Card> cards, const Waiting& one, bool words) {
  if (one.more.empty()) return DecideOn(cards, one.request, words);
  const std::vector<const ClaimRequest*> parts = PartsOf(one);
  std::optional<WaitFor> wait;
  for (const ClaimRequest* part : parts) {
    Decision alone = DecideOn(cards, *part);
    if (auto* never = std::get_if<Never>(&alone)) {
      return Never{InOne(never->reason, parts.size()), never->largest_possible};
    }
    if (auto* waits = std::get_if<WaitFor>(&alone); waits != nullptr && !wait) {
      wait = WaitFor{InOne(waits->reason, parts.size()), waits->largest_free};
    }
  }
  if (const auto seats = SeatAll(cards, one)) return PlacedOn(*seats);
  const std::vector<Card> empty = Emptied(cards);
  const std::string all = "needs " + std::to_string(parts.size()) + " shares on different cards";
  if (!SeatAll(empty, one)) return NeverAll(empty, one, all);
  if (wait) return *wait;
  return WaitFor{all + " at once; there is room for some of them", Bytes(0)};
}

std::vector<std::pair<size_t, Use>> SoonestAll(std::span<const Card> cards, const Waiting& one) {
  std::vector<Card> left(cards.begin(), cards.end());
  std::vector<std::pair<size_t, Use>> all;
  for (const ClaimRequest* part : PartsOf(one)) {
    const Use use = part->whole ? Use::kWhole : Use::kShares;
    for (const size_t card : Soonest(left, *part)) {
      all.emplace_back(card, use);
      left[card].kept = true;
      left[card].kept_as = use;
    }
  }
  return all;
}

Bytes MemoryAskedByAll(const Waiting& one) {
  constexpr int64_t kMost = int64_t{1} << 62;
  int64_t sum = 0;
  for (const ClaimRequest* part : PartsOf(one)) {
    sum = std::min(sum, kMost - 1) + std::min(MemoryAsked(*part).value(), kMost - 1);
  }
  return Bytes(std::min(sum, kMost));
}

Placed PlacedOn(std::span<const Seat> seats) {
  Placed placed;
  for (const Seat& seat : seats) placed.allocations.push_back(seat.allocation);
  return placed;
}

}  // namespace sluice::scheduler::internal
