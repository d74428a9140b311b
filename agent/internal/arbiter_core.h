// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "agent/arbiter.h"
#include "agent/internal/seat.h"

// The arbiter's state and its questions and decisions about it; see agent/arbiter.h.
namespace sluice::agent {

struct ArbiterShare {
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

struct ArbiterCard {
  int index = 0;
  std::map<ShareId, Seat*> seats;
  std::optional<ShareId> runner;
  std::optional<ShareId> reserved;  // Nobody else is given the card before this one had it.
  std::optional<Nanos> end;         // Of the runner's quantum; none: nobody else wants the card.
  bool woken = false;               // Somebody began to want it since the last step.
  std::map<SeatClass, Nanos> progress;  // Virtual time of each class: never goes back.
  Nanos overrun_virtual{0};             // The longest recent overrun, in its owner's virtual time.
};

class Arbiter::Core {
  using Share = ArbiterShare;
  using Card = ArbiterCard;

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
  std::optional<Nanos> LeadFrom(const Seat& seat) const;

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

}  // namespace sluice::agent
