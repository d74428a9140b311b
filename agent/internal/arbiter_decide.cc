// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "agent/internal/arbiter_core.h"

namespace sluice::agent {

using region::GrantMode;

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
    const auto lead = LeadFrom(*seat);
    if (id == except || !seat->blocking || (lead && now_ >= *lead)) {
      continue;
    }
    if (lead) {
      Alarm(*lead);
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
    Alarm(std::max({paid, seat->Earliest(), now_ + options_.drain_poll}));
  }
}

}  // namespace sluice::agent
