// SPDX-License-Identifier: Apache-2.0
#include "agent/arbiter.h"

#include <algorithm>
#include <utility>

#include "agent/internal/arbiter_core.h"

namespace sluice::agent {

using region::GrantMode;

namespace {

// Virtual times are counted from anew long before they overflow.
constexpr Nanos kRebase{int64_t{1} << 60};

}  // namespace

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
    seat.TellOpen();
    seat.fresh = false;  // Its page says so.
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
  // Perhaps for the one that goes.
  for (const auto& [id, seat] : card.seats) {
    seat->held_back_until = Nanos(0);
  }
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
    const bool was_capped = seat.capped();
    seat.terms = wanted;
    const SeatClass rank = {wanted.guarantee_millis > 0, terms.priority};
    if (seat.rank != rank) {
      seat.rank = rank;
      seat.held_back_until = Nanos(0);
      seat.virtual_time = cards_.at(wanted.card).progress[rank];
    }
    // What it used before there was a cap is not owed to it.
    const Nanos burst = seat.Burst(options_);
    seat.tokens = was_capped ? std::min(seat.tokens, burst) : burst;
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
  const Card& card = CardOf(seat);
  const Nanos over = now_ - seat.revoked;
  Nanos& longest = CardOf(seat).overrun_virtual;
  longest = std::max(seat.Virtual(over), longest * 7 / 8);
  // Among equals it is the virtual time that makes up for it; those who come first have no such
  // account with it.
  const bool kept_others = std::ranges::any_of(card.seats, [&](const auto& entry) {
    return entry.second->rank > seat.rank && Wants(*entry.second);
  });
  if (over >= options_.drain && kept_others) {
    seat.held_back_until = now_ + over * options_.overrun_pause;
  }
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
  // Through an open gate nothing is held: such a window says nothing, not even of the next.
  const bool gated = !seat->open_since_look;
  const Nanos certain = gated ? std::max(Nanos(0), std::min(excess, seat->excess)) : Nanos(0);
  seat->Charge(certain);
  seat->excess = gated ? excess : Nanos(0);
  seat->open_since_look = seat->mode == GrantMode::kOpen;
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
  return now_ >= seat.Earliest() && seat.CapDelay(seat.Burst(options_) / 2) == Nanos(0);
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

// From when on the next share may have the card although this one's work is still there; none: not
// before it has drained. What never was timed says nothing, and a gang's cards drain together.
std::optional<Nanos> Arbiter::Core::LeadFrom(const Seat& seat) const {
  if (seat.together || seat.mode != GrantMode::kWait || seat.seen.launch <= Nanos(0) ||
      seat.seen.in_flight > options_.in_flight_lone) {
    return std::nullopt;
  }
  return seat.drains_at - options_.lead;
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
