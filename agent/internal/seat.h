// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "agent/arbiter.h"

// One share on one card: what it was told, what it says, and what it is charged.
namespace sluice::agent {

// Who comes before whom, whatever their virtual times: guaranteed before best effort, then
// priority.
struct SeatClass {
  bool guaranteed = false;
  int priority = 0;

  friend auto operator<=>(const SeatClass&, const SeatClass&) = default;
};

// A longer word of a tenant's is not believed.
inline constexpr Nanos kLaunchMax{1'000'000'000};

struct Seat {
  SeatId id;
  CardTerms terms;
  SeatClass rank;

  // What it was told.
  region::GrantMode mode = region::GrantMode::kWait;
  Nanos until{0};
  Nanos in_flight{0};
  bool fresh = false;     // To be told, as a new grant.
  bool changed = false;   // To be told, as the same one.
  bool extended = false;  // The end moved since the last new grant: who waits does not know.

  // What it says.
  Observation seen;
  Nanos last_wanted{-1};  // -1: never.
  Nanos unused{0};        // So long it was held for nothing since it was last wanted.
  Nanos idle_since{0};
  bool woke = false;  // Began to want the card since the last step.
  Nanos think{0};     // Moving mean of its pauses.

  // Its hold of the card.
  Nanos granted{0};
  Nanos revoked{0};
  bool blocking = false;  // Told to wait, not drained, and still waited for.
  // Taken back together with the share's other cards: drained when all of them are.
  bool together = false;
  Nanos drains_at{0};  // As told to wait: when it should be drained, by its own word.
  bool stuck = false;  // Its work waits for other work of the share that we hold back.
  uint64_t submitted_at_grant = 0;
  bool wall = false;  // Others want the card: charged by the clock, not by its own word.

  // A share that does nothing with its turns.
  int futile = 0;
  Nanos not_before{0};
  // After work that kept those of a higher class waiting; whatever it says.
  Nanos held_back_until{0};

  // Its account.
  Nanos accrued_at{0};
  Nanos held{0};
  Nanos waited{0};
  Nanos virtual_time{0};
  Nanos tokens{0};  // Of a cap.
  Nanos room{0};    // Time in which its own word may place use.
  Nanos excess{0};  // What the driver saw beyond the account, at the last look.
  Nanos held_at_look{0};
  bool open_since_look = false;  // At some time, at least.

  bool wants() const { return seen.waiting || (mode != region::GrantMode::kWait && seen.busy); }
  bool capped() const { return terms.cap_millis > 0 && terms.cap_millis < 1000; }
  // Virtual time for so much of the card.
  Nanos Virtual(Nanos time) const;
  // The card's time for so much virtual time.
  Nanos Service(Nanos virtual_span) const;
  // The most that a cap lets it save up.
  Nanos Burst(const ArbiterOptions& options) const;
  // When it may run again, but for its cap.
  Nanos Earliest() const { return std::max(not_before, held_back_until); }
  // Until it may run again by its cap; 0: now.
  Nanos CapDelay(Nanos wanted_tokens) const;

  // Charges what has passed since the last time.
  void Accrue(Nanos now, const ArbiterOptions& options);
  void Charge(Nanos time);
  // Takes what it says. `now` as accrued.
  void Take(const Observation& said, Nanos now);

  void TellRun(Nanos end, Nanos bound, Nanos now);
  void TellWait(Nanos now);
  // Lets through, one by one, launches without which those on the share's other cards cannot end.
  void TellFinish(Nanos end);
  void StopFinish(Nanos now);
  bool finishing() const { return blocking && mode == region::GrantMode::kRun; }
  void TellOpen();
};

}  // namespace sluice::agent
