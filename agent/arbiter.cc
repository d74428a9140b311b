// SPDX-License-Identifier: Apache-2.0
#include "agent/arbiter.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agent/internal/seat.h"

namespace sluice::agent {

using region::GrantMode;

namespace {

struct Share {
  ShareId id = 0;
  ShareTerms terms;
  std::map<int, Seat> seats;  // By card.
  // As of this step: the cards that it is to be given together, if there are several, and whether
  // it wants any of them.
  std::vector<int> gang;
  bool wants = false;
  Nanos gang_virtual{0};  // Its turns among those who need several cards.

  // Among gangs.
  SeatClass rank() const { return seats.begin()->second.rank; }
  bool IsGang(int card) const {
    return gang.size() > 1 && std::ranges::find(gang, card) != gang.end();
  }
};

struct Card {
  int index = 0;
  std::map<ShareId, Seat*> seats;
  std::optional<ShareId> runner;
  std::optional<ShareId> reserved;  // Nobody else is given the card before this one had it.
  std::optional<Nanos> end;         // Of the runner's quantum; none: nobody else wants the card.
  bool woken = false;               // Somebody began to want it since the last step.
  std::map<SeatClass, Nanos> progress;  // Virtual time of each class: never goes back.
  Nanos overrun_virtual{0};             // The longest recent overrun, in its owner's virtual time.
};

// Virtual times are counted from anew long before they overflow.
constexpr Nanos kRebase{int64_t{1} << 60};

}  // namespace

class Arbiter::Core {
 public:
  explicit Core(const ArbiterOptions& options) : options_(options) {}

  void Join(ShareId id, const ShareTerms& terms, Nanos now);
  void Leave(ShareId id, Nanos now);
  void Observe(SeatId id, const Observation& seen, Nanos now);
  Nanos Correct(SeatId id, Nanos busy, Nanos window, Nanos now);
  Decision Step(Nanos now);
  Seat* Find(SeatId id);

 private:
  Seat& SeatOf(const Card& card, ShareId share) { return *card.seats.at(share); }
  Card& CardOf(const Seat& seat) { return cards_.at(seat.id.card); }
  void Drop(Share& share, int card);
  void AddSeat(Share& share, const CardTerms& terms);
  void LimitCredit(Card& card, Seat& seat);
  void EndHold(Seat& seat);

  void RefreshShare(Share& share, Nanos passed);
  void DrainTogether(Share& share);
  void RefreshCard(Card& card);
  void RefreshGangs();

  bool Wants(const Seat& seat) const;
  bool MayRun(const Seat& seat) const;
  bool IsEligible(const Seat& seat) const;
  static bool IsBefore(const Seat& a, const Seat& b);
  bool IsEntitled(const Seat& other, const Seat& runner) const;
  bool IsAheadOfSingles(const Share& gang) const;
  bool IsReady(const Share& gang) const;
  Seat* Candidate(const Card& card, std::optional<ShareId> except) const;
  Nanos Quantum(const Card& card, const Seat& seat) const;
  Nanos InFlight(const Seat& seat, bool contended) const;
  Nanos DrainEnd(const Seat& seat) const;

  void Decide(Card& card);
  bool DecideOpen(Card& card);
  void DecideRunner(Card& card);
  void DecideIdle(Card& card, Seat& runner, const Seat* other);
  void DecideAlone(Card& card, Seat& runner);
  bool IsWanted(const Card& card, ShareId except) const;
  void DecideContended(Card& card, Seat& runner, const Seat& other);
  bool IsFutile(Seat& runner);
  void Pick(Card& card);
  void Reserve(Share& share);
  void TryGang(Share& share);
  void Unreserve(ShareId share);
  bool IsBlocked(const Card& card, ShareId except);
  void Give(Card& card, Seat& seat);
  void Revoke(Card& card);
  void AlarmForIneligible(const Card& card);
  void Alarm(Nanos at) { wake_ = wake_ ? std::min(*wake_, at) : at; }

  ArbiterOptions options_;
  std::map<ShareId, Share> shares_;
  std::map<int, Card> cards_;
  Nanos now_{0};
  Nanos stepped_{0};
  Nanos gang_progress_{0};
  std::optional<Nanos> wake_;
};

Seat* Arbiter::Core::Find(SeatId id) {
  const auto share = shares_.find(id.share);
  if (share == shares_.end()) {
    return nullptr;
  }
  const auto seat = share->second.seats.find(id.card);
  return seat == share->second.seats.end() ? nullptr : &seat->second;
}

void Arbiter::Core::AddSeat(Share& share, const CardTerms& terms) {
  Seat& seat = share.seats[terms.card];
  Card& card = cards_[terms.card];
  card.index = terms.card;
  card.seats[share.id] = &seat;
  seat.id = {share.id, terms.card};
  seat.terms = terms;
  seat.rank = {terms.guarantee_millis > 0, share.terms.priority};
  seat.accrued_at = now_;
  seat.virtual_time = card.progress[seat.rank];
  seat.tokens = seat.Burst(options_);
  if (terms.found == GrantMode::kRun && !card.runner) {
    card.runner = share.id;
    seat.TellRun(now_, options_.in_flight, now_);
  } else if (terms.found == GrantMode::kOpen) {
    seat.mode = GrantMode::kOpen;
  } else {
    seat.mode = GrantMode::kRun;
    seat.TellWait(now_);
  }
}

void Arbiter::Core::Drop(Share& share, int index) {
  Card& card = cards_.at(index);
  if (card.runner == share.id) {
    card.runner.reset();
    card.end.reset();
  }
  Unreserve(share.id);
  card.seats.erase(share.id);
  share.seats.erase(index);
  if (card.seats.empty()) {
    cards_.erase(index);
  }
}

void Arbiter::Core::Join(ShareId id, const ShareTerms& terms, Nanos now) {
  now_ = std::max(now_, now);
  Share& share = shares_[id];
  share.id = id;
  share.terms = terms;
  std::vector<int> gone;
  for (const auto& entry : share.seats) {
    const int card = entry.first;
    if (std::ranges::none_of(terms.cards, [&](const CardTerms& t) { return t.card == card; })) {
      gone.push_back(card);
    }
  }
  for (const int card : gone) {
    Drop(share, card);
  }
  for (const CardTerms& wanted : terms.cards) {
    const auto found = share.seats.find(wanted.card);
    if (found == share.seats.end()) {
      AddSeat(share, wanted);
      continue;
    }
    Seat& seat = found->second;
    seat.Accrue(now_, options_);
    seat.terms = wanted;
    const SeatClass rank = {wanted.guarantee_millis > 0, terms.priority};
    if (seat.rank != rank) {
      seat.rank = rank;
      seat.virtual_time = cards_.at(wanted.card).progress[rank];
    }
    seat.tokens = std::min(seat.tokens, seat.Burst(options_));
  }
}

void Arbiter::Core::Leave(ShareId id, Nanos now) {
  now_ = std::max(now_, now);
  const auto found = shares_.find(id);
  if (found == shares_.end()) {
    return;
  }
  while (!found->second.seats.empty()) {
    Drop(found->second, found->second.seats.begin()->first);
  }
  shares_.erase(found);
}

void Arbiter::Core::Unreserve(ShareId share) {
  for (auto& [index, card] : cards_) {
    if (card.reserved == share) {
      card.reserved.reset();
    }
  }
}

// Who wakes is owed at most the credit: what it did not want is not saved up.
void Arbiter::Core::LimitCredit(Card& card, Seat& seat) {
  const Nanos owed = std::min(std::max(seat.Virtual(options_.credit), card.overrun_virtual * 2),
                              seat.Virtual(options_.credit_max));
  seat.virtual_time = std::max(seat.virtual_time, card.progress[seat.rank] - owed);
  Share& share = shares_.at(seat.id.share);
  share.gang_virtual = std::max(share.gang_virtual, gang_progress_ - owed);
}

void Arbiter::Core::EndHold(Seat& seat) {
  Nanos& longest = CardOf(seat).overrun_virtual;
  longest = std::max(seat.Virtual(now_ - seat.revoked), longest * 7 / 8);
}

void Arbiter::Core::Observe(SeatId id, const Observation& seen, Nanos now) {
  now_ = std::max(now_, now);
  Seat* const seat = Find(id);
  if (seat == nullptr) {
    return;
  }
  const bool blocked = seat->blocking;
  seat->Accrue(now_, options_);
  seat->Take(seen, now_);
  if (blocked && !seat->blocking) {
    EndHold(*seat);
  }
}

Nanos Arbiter::Core::Correct(SeatId id, Nanos busy, Nanos window, Nanos now) {
  now_ = std::max(now_, now);
  Seat* const seat = Find(id);
  if (seat == nullptr) {
    return Nanos(0);
  }
  seat->Accrue(now_, options_);
  // The driver's samples lag and are coarse: a tenth of the window is noise, and what is so once
  // may have been the window before's.
  const Nanos excess =
      std::clamp(busy, Nanos(0), window) - (seat->held - seat->held_at_look) - window / 10;
  const bool gated = seat->mode != GrantMode::kOpen;
  const Nanos certain = gated ? std::max(Nanos(0), std::min(excess, seat->excess)) : Nanos(0);
  seat->Charge(certain);
  seat->excess = excess;
  seat->held_at_look = seat->held;
  return certain;
}

void Arbiter::Core::RefreshShare(Share& share, Nanos passed) {
  share.gang.clear();
  share.wants = false;
  bool runs = false;
  for (auto& [index, seat] : share.seats) {
    seat.Accrue(now_, options_);
    if (seat.mode != GrantMode::kOpen && seat.unused < options_.gang_trial) {
      share.gang.push_back(index);
    }
    share.wants = share.wants || seat.wants();
    runs = runs || (seat.mode == GrantMode::kRun && seat.wall);
  }
  const auto stands = std::ranges::count_if(share.seats, [](const auto& entry) {
    return entry.second.mode == GrantMode::kWait && entry.second.seen.waiting;
  });
  for (auto& [index, seat] : share.seats) {
    seat.stuck = seat.mode == GrantMode::kWait && !seat.blocking && seat.seen.busy &&
                 stands > (seat.seen.waiting ? 1 : 0);
  }
  if (runs && share.gang.size() > 1) {
    share.gang_virtual += share.seats.begin()->second.Virtual(passed);
  }
}

// Of work that is on several cards at once, one card's part may already run while the other's
// stands at the gate. Nothing drains until that is let through, and nothing else.
void Arbiter::Core::DrainTogether(Share& share) {
  const bool busy = std::ranges::any_of(share.seats, [](const auto& entry) {
    return entry.second.together && entry.second.seen.busy;
  });
  for (auto& [index, seat] : share.seats) {
    if (!seat.together) {
      continue;
    }
    const bool over = now_ >= DrainEnd(seat);
    if (seat.finishing()) {
      if (seat.seen.busy || !busy || over) {
        seat.StopFinish(now_);
        Alarm(now_);
      }
    } else if (seat.blocking && !busy) {
      EndHold(seat);
      seat.blocking = false;
    } else if (seat.blocking && !seat.seen.busy && seat.seen.waiting && !over) {
      seat.TellFinish(now_ + options_.drain);
    }
    seat.together = seat.blocking;
  }
}

void Arbiter::Core::RefreshGangs() {
  std::optional<Nanos> least;
  for (const auto& [id, share] : shares_) {
    const bool woke =
        std::ranges::any_of(share.seats, [](const auto& entry) { return entry.second.woke; });
    if (share.wants && !woke && share.gang.size() > 1) {
      least = least ? std::min(*least, share.gang_virtual) : share.gang_virtual;
    }
  }
  gang_progress_ = std::max(gang_progress_, least.value_or(gang_progress_));
}

void Arbiter::Core::RefreshCard(Card& card) {
  std::map<SeatClass, Nanos> least;
  for (const auto& [id, seat] : card.seats) {
    if (seat->blocking && !seat->finishing() && now_ >= DrainEnd(*seat)) {
      EndHold(*seat);
      seat->blocking = false;
    }
    const bool lingers = seat->mode == GrantMode::kRun && seat->wall;
    if (!seat->woke && (Wants(*seat) || seat->blocking || lingers)) {
      const auto [place, first] = least.try_emplace(seat->rank, seat->virtual_time);
      place->second = std::min(place->second, seat->virtual_time);
    }
  }
  for (const auto& [rank, time] : least) {
    card.progress[rank] = std::max(card.progress[rank], time);
  }
  for (const auto& [id, seat] : card.seats) {
    if (seat->woke) {
      LimitCredit(card, *seat);
      seat->woke = false;
      card.woken = true;
    }
    seat->tokens = std::max(seat->tokens, -options_.debt_max);
    seat->virtual_time =
        std::min(seat->virtual_time, card.progress[seat->rank] + seat->Virtual(options_.debt_max));
  }
  for (auto& [rank, time] : card.progress) {
    if (time > kRebase) {
      for (const auto& [id, seat] : card.seats) {
        seat->virtual_time -= seat->rank == rank ? time : Nanos(0);
      }
      time = Nanos(0);
    }
  }
}

// A gang's card is wanted as soon as any of its cards is.
bool Arbiter::Core::Wants(const Seat& seat) const {
  const Share& share = shares_.at(seat.id.share);
  return seat.wants() || (share.wants && share.IsGang(seat.id.card));
}

bool Arbiter::Core::MayRun(const Seat& seat) const {
  if (seat.mode == GrantMode::kRun) {
    return !seat.capped() || seat.tokens > Nanos(0);
  }
  return now_ >= seat.not_before && seat.CapDelay(seat.Burst(options_) / 2) == Nanos(0);
}

bool Arbiter::Core::IsEligible(const Seat& seat) const {
  return Wants(seat) && MayRun(seat);
}

bool Arbiter::Core::IsBefore(const Seat& a, const Seat& b) {
  if (a.rank != b.rank) {
    return a.rank > b.rank;
  }
  return a.virtual_time != b.virtual_time ? a.virtual_time < b.virtual_time
                                          : a.id.share < b.id.share;
}

// Whether the runner stops for it before its quantum ends.
bool Arbiter::Core::IsEntitled(const Seat& other, const Seat& runner) const {
  return other.rank != runner.rank
             ? other.rank > runner.rank
             : other.virtual_time + other.Virtual(options_.slice_min / 2) < runner.virtual_time;
}

bool Arbiter::Core::IsAheadOfSingles(const Share& gang) const {
  for (const int index : gang.gang) {
    const Card& card = cards_.at(index);
    const Seat& mine = gang.seats.at(index);
    if (!MayRun(mine)) {
      return false;
    }
    for (const auto& [id, seat] : card.seats) {
      if (id != gang.id && !shares_.at(id).IsGang(index) && IsEligible(*seat) &&
          IsBefore(*seat, mine)) {
        return false;
      }
    }
  }
  return true;
}

// Those who need several cards take them all at once or none. Among them the order is one for all
// cards, so that two can never stand in each other's way.
bool Arbiter::Core::IsReady(const Share& gang) const {
  if (!gang.wants || !IsAheadOfSingles(gang)) {
    return false;
  }
  for (const int index : gang.gang) {
    const Card& card = cards_.at(index);
    if (card.reserved && card.reserved != gang.id) {
      return false;
    }
    if (card.runner && card.runner != gang.id) {
      const Seat& runner = *card.seats.at(*card.runner);
      const Share& holder = shares_.at(*card.runner);
      const bool whole = holder.IsGang(index) && holder.rank() == gang.rank();
      const Nanos least = whole ? options_.quantum_min : options_.slice_min;
      if (Wants(runner) && now_ < runner.granted + least) {
        return false;
      }
    }
    for (const auto& [id, unused] : card.seats) {
      const Share& rival = shares_.at(id);
      const bool earlier = rival.rank() != gang.rank() ? rival.rank() > gang.rank()
                                                       : std::pair(rival.gang_virtual, id) <
                                                             std::pair(gang.gang_virtual, gang.id);
      if (id != gang.id && rival.IsGang(index) && rival.wants && earlier &&
          IsAheadOfSingles(rival)) {
        return false;
      }
    }
  }
  return true;
}

Seat* Arbiter::Core::Candidate(const Card& card, std::optional<ShareId> except) const {
  Seat* best = nullptr;
  for (const auto& [id, seat] : card.seats) {
    if (id == except || !IsEligible(*seat)) {
      continue;
    }
    const Share& share = shares_.at(id);
    if (share.IsGang(card.index) && !IsReady(share)) {
      continue;
    }
    if (best == nullptr || IsBefore(*seat, *best)) {
      best = seat;
    }
  }
  return best;
}

Nanos Arbiter::Core::Quantum(const Card& card, const Seat& seat) const {
  int64_t wanting = 0;
  Nanos dearest = seat.Virtual(Nanos(1000));
  Nanos cheapest = dearest;
  for (const auto& [id, other] : card.seats) {
    if (other->rank == seat.rank && Wants(*other)) {
      ++wanting;
      cheapest = std::min(cheapest, other->Virtual(Nanos(1000)));
    }
  }
  const Nanos turn = std::clamp(
      options_.round / std::max<int64_t>(wanting, 1), options_.quantum_min, options_.quantum_max);
  // A small share's turns are short rather than rare.
  const Nanos scaled = turn * cheapest.count() / std::max<int64_t>(dearest.count(), 1);
  return std::clamp(
      std::max(scaled, seat.seen.launch * 4), options_.quantum_min, options_.quantum_max);
}

Nanos Arbiter::Core::InFlight(const Seat& seat, bool contended) const {
  return contended ? std::clamp(seat.seen.launch * 2, options_.in_flight, options_.in_flight_lone)
                   : options_.in_flight_lone;
}

Nanos Arbiter::Core::DrainEnd(const Seat& seat) const {
  return seat.revoked + std::min(std::max(options_.drain, seat.seen.launch), options_.drain_max);
}

Decision Arbiter::Core::Step(Nanos now) {
  now_ = std::max(now_, now);
  wake_.reset();
  for (auto& [id, share] : shares_) {
    RefreshShare(share, now_ - stepped_);
    DrainTogether(share);
  }
  stepped_ = now_;
  RefreshGangs();
  for (auto& [index, card] : cards_) {
    RefreshCard(card);
  }
  for (auto& [index, card] : cards_) {
    Decide(card);
  }
  Decision decision;
  decision.wake = wake_;
  for (auto& [id, share] : shares_) {
    for (auto& [index, seat] : share.seats) {
      if (seat.fresh || seat.changed) {
        decision.grants.push_back({seat.id, seat.mode, seat.until, seat.in_flight, seat.fresh});
      }
      seat.fresh = false;
      seat.changed = false;
    }
  }
  return decision;
}

void Arbiter::Core::Decide(Card& card) {
  if (DecideOpen(card)) {
    return;
  }
  if (card.reserved) {
    TryGang(shares_.at(*card.reserved));
  }
  if (card.runner) {
    DecideRunner(card);
  }
  if (!card.runner && !card.reserved) {
    Pick(card);
  }
  card.woken = false;
  AlarmForIneligible(card);
}

// Alone on the card and without a cap there is nothing to decide.
bool Arbiter::Core::DecideOpen(Card& card) {
  if (options_.open || (card.seats.size() == 1 && !card.seats.begin()->second->capped())) {
    for (const auto& [id, seat] : card.seats) {
      seat->TellOpen();
    }
    card.runner.reset();
    card.reserved.reset();
    card.end.reset();
    return true;
  }
  for (const auto& [id, seat] : card.seats) {
    if (seat->mode == GrantMode::kOpen) {
      if (!card.runner && !card.reserved && seat->wants()) {
        card.runner = id;
        seat->TellRun(now_ + options_.far, options_.in_flight_lone, now_);
      } else {
        seat->TellWait(now_);
        Alarm(now_);
      }
    }
  }
  return false;
}

void Arbiter::Core::DecideRunner(Card& card) {
  Seat& runner = SeatOf(card, *card.runner);
  if (card.reserved == runner.id.share) {
    // It keeps this card while its others are being freed.
    Alarm(now_ + options_.poll);
    return;
  }
  const Seat* const other = Candidate(card, runner.id.share);
  runner.wall = runner.capped() || IsWanted(card, runner.id.share);
  if (!Wants(runner)) {
    DecideIdle(card, runner, other);
  } else if (!MayRun(runner)) {
    Revoke(card);
  } else if (other == nullptr) {
    DecideAlone(card, runner);
  } else {
    DecideContended(card, runner, *other);
  }
}

void Arbiter::Core::DecideIdle(Card& card, Seat& runner, const Seat* other) {
  if (other == nullptr && !runner.capped()) {
    // It may begin again without asking, until its end passes.
    card.end.reset();
    return;
  }
  Nanos stays = runner.idle_since;
  if (runner.seen.submitted_ns == runner.submitted_at_grant) {
    stays = runner.granted + options_.linger;  // It is only just waking.
  } else if (other == nullptr || (IsBefore(runner, *other) && runner.think <= options_.linger)) {
    stays = runner.idle_since + options_.linger;
  }
  if (now_ < stays) {
    Alarm(std::min(stays, now_ + options_.drain_poll));
    return;
  }
  Revoke(card);
}

// By anybody, even those who cannot have it before their other cards are free.
bool Arbiter::Core::IsWanted(const Card& card, ShareId except) const {
  return std::ranges::any_of(card.seats, [&](const auto& entry) {
    return entry.first != except && IsEligible(*entry.second);
  });
}

void Arbiter::Core::DecideAlone(Card& card, Seat& runner) {
  card.end.reset();
  const bool wanted = IsWanted(card, runner.id.share);
  const Nanos bound = InFlight(runner, wanted);
  if (wanted) {
    Alarm(now_ + options_.poll);
  }
  if (runner.capped()) {
    if (runner.until <= now_ + options_.poll) {
      runner.TellRun(now_ + runner.tokens, std::min(bound, runner.tokens), now_);
    }
    Alarm(std::min(std::max(runner.until, now_ + options_.drain_poll), now_ + options_.poll));
    return;
  }
  if (runner.until < now_ + options_.far / 2 || runner.in_flight != bound) {
    runner.TellRun(now_ + options_.far, bound, now_);
  }
  Alarm(runner.until - options_.far / 2);
}

bool Arbiter::Core::IsFutile(Seat& runner) {
  if (runner.seen.busy || runner.seen.submitted_ns != runner.submitted_at_grant ||
      now_ < runner.granted + options_.futile) {
    return false;
  }
  runner.not_before =
      now_ + std::min(options_.futile * (int64_t{1} << runner.futile), options_.backoff_max);
  runner.futile = std::min(runner.futile + 1, 8);
  return true;
}

void Arbiter::Core::DecideContended(Card& card, Seat& runner, const Seat& other) {
  const Nanos quantum = Quantum(card, runner);
  const Nanos soon = std::max(now_, runner.granted + options_.slice_min);
  const bool began = !card.end;
  Nanos end = card.end.value_or(now_ + quantum);
  if ((began || card.woken || other.rank > runner.rank) && IsEntitled(other, runner)) {
    end = std::min(end, soon);
  }
  if (IsFutile(runner) || (now_ >= end && !IsBefore(runner, other))) {
    Revoke(card);
    return;
  }
  if (now_ >= end) {
    // Still owed time: another turn, but not beyond what it is owed.
    const Nanos owed = other.rank == runner.rank
                           ? runner.Service(other.virtual_time - runner.virtual_time)
                           : quantum;
    end = now_ + std::clamp(owed, options_.slice_min, quantum);
  }
  card.end = end;
  const Nanos paid = runner.capped() ? std::min(end, now_ + runner.tokens) : end;
  const Nanos bound = InFlight(runner, true);
  // The end of a capped grant moves with every look: told only when it matters.
  const bool near = runner.until <= now_ + options_.poll || runner.until > end;
  if (runner.capped() ? near : runner.until != paid || runner.in_flight != bound) {
    runner.TellRun(paid, bound, now_);
  }
  Alarm(std::min(end, now_ + options_.poll));
}

void Arbiter::Core::Pick(Card& card) {
  Seat* const best = Candidate(card, std::nullopt);
  if (best == nullptr) {
    return;
  }
  Share& share = shares_.at(best->id.share);
  if (share.IsGang(card.index)) {
    Reserve(share);
    TryGang(share);
  } else if (!IsBlocked(card, share.id)) {
    Give(card, *best);
  }
}

void Arbiter::Core::Reserve(Share& share) {
  for (const int index : share.gang) {
    Card& card = cards_.at(index);
    if (card.runner && card.runner != share.id) {
      Revoke(card);
    }
    card.reserved = share.id;
  }
}

void Arbiter::Core::TryGang(Share& share) {
  if (!share.wants) {
    Unreserve(share.id);
    return;
  }
  std::vector<Card*> mine;
  bool blocked = false;
  for (auto& [index, card] : cards_) {
    if (card.reserved == share.id) {
      mine.push_back(&card);
      blocked = IsBlocked(card, share.id) || blocked;
    }
  }
  if (blocked) {
    return;
  }
  Unreserve(share.id);
  Nanos end = now_;
  for (Card* const card : mine) {
    end = std::max(end, now_ + Quantum(*card, SeatOf(*card, share.id)));
  }
  for (Card* const card : mine) {
    Seat& seat = SeatOf(*card, share.id);
    Give(*card, seat);
    if (card->end) {
      card->end = end;
      seat.TellRun(end, seat.in_flight, now_);
    }
  }
}

// Whether somebody else's work may still be on the card.
bool Arbiter::Core::IsBlocked(const Card& card, ShareId except) {
  bool blocked = false;
  for (const auto& [id, seat] : card.seats) {
    if (id == except || !seat->blocking) {
      continue;
    }
    blocked = true;
    const bool recent = now_ - seat->revoked < options_.quantum_min;
    const Nanos look = now_ + (recent ? options_.drain_poll : options_.poll);
    Alarm(std::min(look, DrainEnd(*seat)));
  }
  return blocked;
}

void Arbiter::Core::Give(Card& card, Seat& seat) {
  card.runner = seat.id.share;
  const bool contended = IsWanted(card, seat.id.share);
  seat.wall = contended || seat.capped();
  card.end.reset();
  if (contended) {
    card.end = now_ + Quantum(card, seat);
  }
  Nanos until = card.end.value_or(now_ + options_.far);
  if (seat.capped()) {
    until = std::min(until, now_ + std::max(seat.tokens, options_.drain_poll));
  }
  seat.TellRun(until, InFlight(seat, contended), now_);
  Alarm(contended || seat.capped() ? std::min(until, now_ + options_.poll)
                                   : until - options_.far / 2);
}

// Takes the card from its runner; from a gang all its cards. What it has there must drain.
void Arbiter::Core::Revoke(Card& card) {
  const Share& share = shares_.at(*card.runner);
  const bool all = share.IsGang(card.index);
  for (auto& [index, other] : cards_) {
    if (other.runner == share.id && (all || index == card.index)) {
      Seat& seat = SeatOf(other, share.id);
      seat.TellWait(now_);
      seat.together = all;
      other.runner.reset();
      other.end.reset();
    }
  }
  // What was seen of it was seen before it knew.
  Alarm(now_);
}

// Caps and back-offs end by time alone.
void Arbiter::Core::AlarmForIneligible(const Card& card) {
  for (const auto& [id, seat] : card.seats) {
    if (seat->mode != GrantMode::kWait || !Wants(*seat) || MayRun(*seat)) {
      continue;
    }
    const Nanos paid = now_ + seat->CapDelay(seat->Burst(options_) / 2);
    Alarm(std::max({paid, seat->not_before, now_ + options_.drain_poll}));
  }
}

Arbiter::Arbiter(const ArbiterOptions& options) : core_(std::make_unique<Core>(options)) {}
Arbiter::Arbiter(Arbiter&&) noexcept = default;
Arbiter::~Arbiter() = default;

void Arbiter::Join(ShareId share, const ShareTerms& terms, Nanos now) {
  core_->Join(share, terms, now);
}

void Arbiter::Leave(ShareId share, Nanos now) {
  core_->Leave(share, now);
}

void Arbiter::Observe(SeatId seat, const Observation& seen, Nanos now) {
  core_->Observe(seat, seen, now);
}

Nanos Arbiter::Correct(SeatId seat, Nanos busy, Nanos window, Nanos now) {
  return core_->Correct(seat, busy, window, now);
}

Decision Arbiter::Step(Nanos now) {
  return core_->Step(now);
}

std::optional<SeatAccount> Arbiter::AccountOf(SeatId id) const {
  const Seat* const seat = core_->Find(id);
  return seat == nullptr ? std::nullopt
                         : std::optional(SeatAccount{seat->held, seat->waited, seat->mode});
}

}  // namespace sluice::agent
