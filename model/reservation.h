// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

using ReservationId = Id<struct ReservationIdTag>;  // "rsv_…"

// Room that is kept for a team from one time to another: so many cards with so much memory each.
// What the team's claims hold there at the time counts as part of it.
struct Reservation {
  ReservationId id;
  std::string name;       // What for: for people.
  TeamId team;            // Who may use it.
  PoolId pool;            // Of the cards; empty: any.
  std::string gpu_model;  // Empty: any.
  int count = 1;          // Cards.
  Bytes memory;           // On each; 0: the whole card.
  TimePoint starts_at;
  TimePoint ends_at;  // Later than `starts_at`.
  TimePoint created_at;
  TimePoint removed_at;  // Of a past one: when it was taken back; 0: it was not.

  friend bool operator==(const Reservation&, const Reservation&) = default;
};

}  // namespace sluice
