// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "scheduler/internal/bounds.h"
#include "scheduler/internal/gang.h"
#include "scheduler/internal/holdings.h"
#include "scheduler/internal/reserved.h"
#include "scheduler/internal/words.h"

namespace sluice::scheduler {
namespace {

using internal::Card;
using internal::Moment;
using internal::Reserved;
using internal::Seat;
using internal::Use;

// When and on what a claim fits first, if it is known.
struct Promise {
  TimePoint at;
  std::vector<Card> cards;  // As they will be then.
  std::vector<Seat> seats;
};

// Room that the reservations leave; or nothing.
std::optional<std::vector<Seat>> SeatBeside(const Reserved& reserved,
                                            const Moment& moment,
                                            const Waiting& one) {
  auto seats = internal::SeatAll(moment.cards, one);
  if (!seats || reserved.empty() || reserved.Leaves(moment, one, *seats)) return seats;
  std::vector<Card> others(moment.cards.begin(), moment.cards.end());
  for (const size_t card : reserved.CardsFor(moment.cards, one.team)) others[card].kept = true;
  seats = internal::SeatAll(others, one);
  if (seats && !reserved.Leaves(moment, one, *seats)) return std::nullopt;
  return seats;
}

std::optional<Promise> PromiseOf(const Reserved& reserved,
                                 std::vector<Card> cards,
                                 const Waiting& one,
                                 std::span<const Holder> holders) {
  if (one.request.count < 1) return std::nullopt;
  const internal::Holdings holdings = internal::HoldingsOf(cards);
  std::map<TimePoint, std::vector<ClaimId>> due;
  for (const Holder& holder : holders) {
    if (holder.ends_at != TimePoint()) due[holder.ends_at].push_back(holder.claim);
  }
  for (const auto& [time, claims] : due) {
    for (const ClaimId& claim : claims) internal::GiveBackAll(cards, holdings, claim);
    if (auto seats = SeatBeside(reserved, {cards, time, true}, one)) {
      return Promise{time, std::move(cards), std::move(*seats)};
    }
  }
  return std::nullopt;
}

int64_t PriorityAt(const Waiting& one, const QueueInput& input) {
  const int64_t named = one.request.priority;
  if (input.rules.aging <= Duration(0) || one.queued_since >= input.now) return named;
  return named + (input.now - one.queued_since) / input.rules.aging;
}

// One team's claims in their order, and what it holds.
struct Line {
  const Team* team = nullptr;  // Null: of nobody's team.
  Bytes held;
  std::vector<const Waiting*> waiting;
  size_t next = 0;

  bool Done() const { return next == waiting.size(); }
  bool Borrows(const Waiting& one) const {
    return team == nullptr || held + internal::MemoryAskedByAll(one) > team->memory_guaranteed;
  }
  bool Passes(Bytes more) const {
    return team != nullptr && team->memory_max > Bytes(0) && held + more > team->memory_max;
  }
};

class Walk {
 public:
  explicit Walk(const QueueInput& input)
      : input_(input), cards_(internal::ToCards(input.snapshot)), reserved_(input) {
    for (const Team& team : input.teams) lines_[team.id].team = &team;
    for (const auto& [team, held] : internal::HeldByTeam(input)) lines_[team].held = held;
    for (const Waiting& one : input.waiting) lines_[one.team].waiting.push_back(&one);
    for (auto& [id, line] : lines_) {
      std::ranges::sort(line.waiting, {}, [&](const Waiting* one) { return KeyOf(*one); });
    }
  }

  std::vector<QueueAnswer> Run() {
    std::vector<QueueAnswer> answers;
    answers.reserve(input_.waiting.size());
    while (Line* line = NextLine()) answers.push_back(Answer(*line, *line->waiting[line->next++]));
    return answers;
  }

 private:
  std::tuple<int64_t, TimePoint, ClaimId> KeyOf(const Waiting& one) const {
    return {-PriorityAt(one, input_), one.queued_since, one.id};
  }

  Line* NextLine() {
    Line* best = nullptr;
    std::tuple<bool, std::tuple<int64_t, TimePoint, ClaimId>> best_key;
    for (auto& [id, line] : lines_) {
      if (line.Done()) continue;
      const Waiting& one = *line.waiting[line.next];
      std::tuple key(line.Borrows(one), KeyOf(one));
      if (best != nullptr && best_key <= key) continue;
      best = &line;
      best_key = std::move(key);
    }
    return best;
  }

  QueueAnswer Answer(Line& line, const Waiting& one) {
    QueueAnswer answer{.id = one.id, .decision = DecideFor(one)};
    if (std::holds_alternative<Never>(answer.decision)) return answer;
    const auto* const placed = std::get_if<Placed>(&answer.decision);
    const Bytes more = placed != nullptr ? internal::MemoryOf(placed->allocations)
                                         : internal::MemoryAskedByAll(one);
    if (line.Passes(more)) {
      answer.over_quota = true;
      if (more > line.team->memory_max) {
        answer.decision = internal::SayNeverOfTeam(*line.team, more);
      } else {
        answer.decision = internal::SayOverQuota(*line.team, line.held, more);
        answer.position = ++waiting_;
      }
      return answer;
    }
    line.held += more;
    if (placed != nullptr) {
      internal::TakeAll(cards_, placed->allocations);
      reserved_.Took(one, placed->allocations, !promise_ || !EndsBeforePromise(one));
      said_.clear();
      if (promise_) TakeUntilPromise(one, *placed);
      return answer;
    }
    answer.position = ++waiting_;
    if (head_ == nullptr) answer.promised = MakeHead(one);
    return answer;
  }

  // From here on nobody may pass `one` in a way that makes it wait longer.
  std::optional<TimePoint> MakeHead(const Waiting& one) {
    head_ = &one;
    said_.clear();
    promise_ = PromiseOf(reserved_, cards_, one, input_.holders);
    kept_.assign(cards_.size(), {});
    if (promise_) {
      for (const Seat& seat : promise_->seats) {
        kept_[seat.card] = {true, seat.allocation.whole ? Use::kWhole : Use::kShares};
      }
      KeepWhatComesFree();
    } else {
      for (const auto& [card, use] : internal::SoonestAll(cards_, one)) kept_[card] = {true, use};
      KeepWhatMustComeFree();
    }
    return promise_ ? std::optional(promise_->at) : std::nullopt;
  }

  // Below the ceiling there may be room for the first only because other cards carry no shares any
  // more by then.
  void KeepWhatComesFree() {
    if (input_.snapshot.rules.bounds.ceiling == 0) return;
    for (size_t i = 0; i < cards_.size(); ++i) {
      if (cards_[i].shares > 0 && promise_->cards[i].shares == 0) kept_[i].kept = true;
    }
  }

  // Where more cards carry shares, with those that are kept, than the ceiling allows, so many of
  // them are left to run empty.
  void KeepWhatMustComeFree() {
    std::vector<Card> all = cards_;
    for (size_t i = 0; i < all.size(); ++i) all[i].kept_as = kept_[i].as;
    int beyond = internal::CountsOf(all).carrying - input_.snapshot.rules.bounds.ceiling;
    if (input_.snapshot.rules.bounds.ceiling == 0 || beyond <= 0) return;
    std::vector<size_t> others;
    for (size_t i = 0; i < cards_.size(); ++i) {
      if (cards_[i].shares > cards_[i].wholes && !kept_[i].kept) others.push_back(i);
    }
    std::ranges::sort(others, {}, [&](size_t i) {
      return std::tuple(cards_[i].shares, cards_[i].memory_held, std::cref(cards_[i].gpu->id));
    });
    for (const size_t i : others) {
      if (beyond-- > 0) kept_[i].kept = true;
    }
  }

  bool EndsBeforePromise(const Waiting& one) const {
    return one.run_for > Duration(0) && input_.now + one.run_for <= promise_->at;
  }

  void TakeUntilPromise(const Waiting& one, const Placed& placed) {
    if (!EndsBeforePromise(one)) internal::TakeAll(promise_->cards, placed.allocations);
  }

  bool HoldsPromise(const Waiting& one, const Placed& placed) const {
    if (!promise_) return false;
    if (EndsBeforePromise(one)) return true;
    std::vector<Card> then = promise_->cards;
    internal::TakeAll(then, placed.allocations);
    return SeatBeside(reserved_, {then, promise_->at, true}, *head_).has_value();
  }

  // What the claim's team has reserved for now, if that is enough: nobody else may have it.
  std::optional<Placed> OnReserved(const Waiting& one) const {
    if (reserved_.empty()) return std::nullopt;
    const std::map<size_t, Bytes> left = reserved_.LeftFor(cards_, one.team);
    std::vector<Card> own = cards_;
    for (size_t i = 0; i < own.size(); ++i) own[i].kept = !left.contains(i);
    const auto seats = internal::SeatAll(own, one);
    const bool within = seats && std::ranges::all_of(*seats, [&](const Seat& seat) {
                          return seat.allocation.memory <= left.at(seat.card);
                        });
    return within ? std::optional(internal::PlacedOn(*seats)) : std::nullopt;
  }

  Decision DecideBesideReserved(const std::vector<Card>& cards, const Waiting& one) const {
    Decision decision = internal::DecideAll(cards, one, input_.words);
    if (reserved_.empty() || !std::holds_alternative<Placed>(decision)) return decision;
    if (const auto seats = SeatBeside(reserved_, {cards, input_.now}, one)) {
      return internal::PlacedOn(*seats);
    }
    return internal::SayReserved(cards, one.request);
  }

  // Equal requests are told the same until something changes.
  Decision DecideFor(const Waiting& one) {
    const bool passes = promise_ && EndsBeforePromise(one);
    for (const Said& said : said_) {
      if (said.passes == passes && AsksAlike(*said.of, one)) return said.decision;
    }
    Decision decision = DecideAnew(one);
    if (!std::holds_alternative<Placed>(decision)) said_.push_back({&one, passes, decision});
    return decision;
  }

  // Whether both get the same answer. Reservations look at the team and at the time, too.
  bool AsksAlike(const Waiting& one, const Waiting& other) const {
    const bool alike = one.request == other.request && one.more == other.more;
    return alike && (reserved_.empty() || (one.team == other.team && one.run_for == other.run_for));
  }

  Decision DecideAnew(const Waiting& one) {
    if (const auto placed = OnReserved(one)) return *placed;
    Decision decision = DecideBesideReserved(cards_, one);
    const auto* const placed = std::get_if<Placed>(&decision);
    if (head_ == nullptr || placed == nullptr || HoldsPromise(one, *placed)) return decision;
    std::vector<Card> others = cards_;
    for (size_t i = 0; i < others.size(); ++i) {
      others[i].kept = kept_[i].kept;
      others[i].kept_as = kept_[i].as;
    }
    Decision beside = DecideBesideReserved(others, one);
    if (std::holds_alternative<Placed>(beside)) return beside;
    return input_.words ? internal::SayKept(cards_, one.request) : WaitFor{};
  }

  const QueueInput& input_;
  std::vector<Card> cards_;
  Reserved reserved_;
  std::map<TeamId, Line> lines_;
  int waiting_ = 0;
  const Waiting* head_ = nullptr;
  std::optional<Promise> promise_;
  struct Kept {
    bool kept = false;
    Use as = Use::kIdle;  // What it is kept for.
  };
  std::vector<Kept> kept_;
  struct Said {
    const Waiting* of = nullptr;
    bool passes = false;  // It ends before the promise.
    Decision decision;
  };
  std::vector<Said> said_;  // To requests that were not placed, since anything changed.
};

}  // namespace

std::vector<QueueAnswer> WalkQueue(const QueueInput& input) {
  return Walk(input).Run();
}

std::optional<TimePoint> NextLikely(const Snapshot& snapshot,
                                    const ClaimRequest& request,
                                    std::span<const Holder> holders) {
  return NextLikely({.snapshot = snapshot, .holders = holders}, {.request = request});
}

std::optional<TimePoint> NextLikely(const QueueInput& input, const Waiting& one) {
  const std::vector<Card> cards = internal::ToCards(input.snapshot);
  const Reserved reserved(input);
  if (SeatBeside(reserved, {cards, input.now}, one)) return std::nullopt;
  const auto promise = PromiseOf(reserved, cards, one, input.holders);
  return promise ? std::optional(promise->at) : std::nullopt;
}

int RoomFor(const QueueInput& input, const Reservation& reservation) {
  QueueInput with = input;
  std::vector<Reservation> all(input.reservations.begin(), input.reservations.end());
  if (std::ranges::find(all, reservation.id, &Reservation::id) == all.end()) {
    all.push_back(reservation);
  }
  with.reservations = all;
  return Reserved(with).RoomFor(internal::ToCards(input.snapshot), reservation);
}

}  // namespace sluice::scheduler
