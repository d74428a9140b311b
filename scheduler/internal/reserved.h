// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <vector>

#include "scheduler/internal/bounds.h"
#include "scheduler/internal/fleet.h"
#include "scheduler/internal/gang.h"
#include "scheduler/internal/holdings.h"
#include "scheduler/queue.h"

// What is kept for teams from one time to another, and whether a placement leaves it.
namespace sluice::scheduler::internal {

// Cards as they are or will be.
struct Moment {
  std::span<const Card> cards;
  TimePoint at;
  // True: who is due by `at` has given back, and no reservation that is not over yet ends: what is
  // promised now must not count on a reserved card becoming free.
  bool promised = false;
};

// Of one walk of the queue.
class Reserved {
 public:
  explicit Reserved(const QueueInput& input);

  bool empty() const { return input_.reservations.empty(); }

  // What this walk has placed counts for its team, until it ends. `promised`: also in what is
  // promised.
  void Took(const Waiting& one, std::span<const Allocation> allocations, bool promised);

  // Whether as many reserved cards can be given to their teams with `one` on its seats as without
  // it, at each time at which it is there.
  bool Leaves(const Moment& moment, const Waiting& one, std::span<const Seat> seats) const;

  // The cards that would be given to the teams of the reservations now, those of `except` apart.
  std::vector<size_t> CardsFor(std::span<const Card> cards, const TeamId& except) const;
  // What of the cards is reserved for the team now, beyond what it holds of it already.
  std::map<size_t, Bytes> LeftFor(std::span<const Card> cards, const TeamId& team) const;

  // How many of the reservation's cards can be given to its team at its start.
  int RoomFor(std::span<const Card> cards, const Reservation& reservation) const;

 private:
  struct Own {
    Bytes memory;
    size_t shares = 0;
  };
  struct Room {
    Bytes free;
    size_t shares = 0;
    size_t wholes = 0;  // Of these.
    std::map<TeamId, Own> own;
  };
  struct Given {
    size_t card = 0;
    const Reservation* to = nullptr;
    Bytes left;  // Of it, beyond what its team holds there already.
  };

  static CardCounts CountsIn(std::span<const Card> cards, std::span<const Room> rooms);
  // False: the bounds leave no card more for such a reservation.
  static bool TakeOfBudget(const Card& card, Room& room, bool whole, CardCounts& counts);
  std::vector<Room> RoomsAt(const Moment& moment, TimePoint then) const;
  static std::vector<Given> Give(std::span<const Card> cards,
                                 std::vector<Room> rooms,
                                 std::vector<const Reservation*> reservations);
  std::vector<const Reservation*> ActiveAt(TimePoint time) const;
  // The times at which the reservations have to be looked at for a claim that is there from `from`
  // for so long (0: for ever), and which of them count then.
  std::map<TimePoint, std::vector<const Reservation*>> TimesOf(const Moment& moment,
                                                               Duration run_for) const;

  const QueueInput& input_;
  Holdings holdings_;
  struct Taken {
    const Waiting* by = nullptr;
    Allocation allocation;
    bool promised = false;
  };
  std::vector<Taken> took_;
};

}  // namespace sluice::scheduler::internal
