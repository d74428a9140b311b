// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/reserved.h"

#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>

namespace sluice::scheduler::internal {
namespace {

bool IsDue(const Holder& holder, TimePoint by) {
  return holder.ends_at != TimePoint() && holder.ends_at <= by;
}

bool Admits(const Reservation& reservation, const Card& card) {
  return card.open && (reservation.pool.empty() || reservation.pool == card.gpu->pool) &&
         (reservation.gpu_model.empty() || reservation.gpu_model == card.gpu->model);
}

}  // namespace

Reserved::Reserved(const QueueInput& input) : input_(input) {
  if (!empty()) holdings_ = HoldingsOf(ToCards(input.snapshot));
}

void Reserved::Took(const Waiting& one, std::span<const Allocation> allocations, bool promised) {
  if (empty()) return;
  for (const Allocation& allocation : allocations) took_.push_back({&one, allocation, promised});
}

std::vector<Reserved::Room> Reserved::RoomsAt(const Moment& moment, TimePoint then) const {
  std::vector<Room> rooms;
  for (const Card& card : moment.cards) {
    rooms.push_back({card.gpu->memory - card.memory_held, card.shares, card.wholes, {}});
  }
  const auto own = [&](const TeamId& team, size_t card, Bytes memory) {
    if (team.empty()) return;
    rooms[card].own[team].memory += memory;
    ++rooms[card].own[team].shares;
  };
  for (const Holder& holder : input_.holders) {
    const auto parts = holdings_.find(holder.claim);
    if (parts == holdings_.end() || (moment.promised && IsDue(holder, moment.at))) continue;
    for (const Part& part : parts->second) {
      if (then > moment.at && IsDue(holder, then)) {
        rooms[part.card].free += part.share.memory;
        --rooms[part.card].shares;
        rooms[part.card].wholes -= part.share.whole ? 1 : 0;
      } else {
        own(holder.team, part.card, part.share.memory);
      }
    }
  }
  for (const Taken& taken : took_) {
    if (moment.promised && !taken.promised) continue;
    const Duration run_for = taken.by->run_for;
    const bool over = then > moment.at && run_for > Duration(0) && input_.now + run_for <= then;
    for (size_t i = 0; i < rooms.size(); ++i) {
      if (moment.cards[i].gpu->id != taken.allocation.gpu) continue;
      if (over) {
        rooms[i].free += taken.allocation.memory;
        --rooms[i].shares;
        rooms[i].wholes -= taken.allocation.whole ? 1 : 0;
      } else {
        own(taken.by->team, i, taken.allocation.memory);
      }
    }
  }
  return rooms;
}

CardCounts Reserved::CountsIn(std::span<const Card> cards, std::span<const Room> rooms) {
  std::vector<Card> then(cards.begin(), cards.end());
  for (size_t i = 0; i < then.size(); ++i) {
    then[i].shares = rooms[i].shares;
    then[i].wholes = rooms[i].wholes;
  }
  return CountsOf(then);
}

bool Reserved::TakeOfBudget(const Card& card, Room& room, bool whole, CardCounts& counts) {
  const bool is_whole = room.wholes > 0;
  const bool carries = room.shares > room.wholes;
  if (whole ? is_whole : carries) return true;
  if (BudgetOf(card.bounds, counts, whole) < 1) return false;
  if (whole) {
    --counts.left;
    ++room.wholes;
  } else {
    ++counts.carrying;
    ++room.shares;
  }
  return true;
}

std::vector<Reserved::Given> Reserved::Give(std::span<const Card> cards,
                                            std::vector<Room> rooms,
                                            std::vector<const Reservation*> reservations) {
  std::ranges::sort(reservations, {}, [](const Reservation* one) {
    return std::tuple(one->memory > Bytes(0), -one->memory.value(), std::cref(one->id));
  });
  std::vector<Given> given;
  CardCounts counts = CountsIn(cards, rooms);
  for (const Reservation* one : reservations) {
    const bool whole = one->memory == Bytes(0);
    // What the team holds already first, then the tightest.
    std::vector<std::tuple<int64_t, Bytes, GpuId, size_t>> fitting;
    for (size_t i = 0; i < rooms.size(); ++i) {
      if (!Admits(*one, cards[i])) continue;
      const Own own = rooms[i].own[one->team];
      const bool fits =
          whole ? rooms[i].shares == own.shares : rooms[i].free + own.memory >= one->memory;
      if (fits) fitting.emplace_back(-own.memory.value(), rooms[i].free, cards[i].gpu->id, i);
    }
    std::ranges::sort(fitting);
    int left = one->count;
    for (const auto& [own_less, free, id, i] : fitting) {
      Room& room = rooms[i];
      if (left == 0) break;
      if (!TakeOfBudget(cards[i], room, whole, counts)) continue;
      --left;
      Own& own = room.own[one->team];
      const Bytes all = whole ? room.free + own.memory : one->memory;
      given.push_back({i, one, std::max(all - own.memory, Bytes(0))});
      room.free -= std::max(all - own.memory, Bytes(0));
      if (whole) ++room.shares;  // Nobody else's whole card.
      own.memory -= std::min(own.memory, all);
    }
  }
  return given;
}

std::vector<const Reservation*> Reserved::ActiveAt(TimePoint time) const {
  std::vector<const Reservation*> active;
  for (const Reservation& one : input_.reservations) {
    if (one.starts_at <= time && time < one.ends_at) active.push_back(&one);
  }
  return active;
}

std::map<TimePoint, std::vector<const Reservation*>> Reserved::TimesOf(const Moment& moment,
                                                                       Duration run_for) const {
  std::map<TimePoint, std::vector<const Reservation*>> times;
  const bool ends = run_for > Duration(0);
  for (const Reservation& one : input_.reservations) {
    if (ends && moment.at + run_for <= one.starts_at) continue;
    if (moment.promised) {
      if (one.ends_at > input_.now) times[moment.at].push_back(&one);
    } else if (one.ends_at > moment.at) {
      times[std::max(moment.at, one.starts_at)];
    }
  }
  if (!moment.promised) {
    for (auto& [time, active] : times) active = ActiveAt(time);
  }
  return times;
}

bool Reserved::Leaves(const Moment& moment, const Waiting& one, std::span<const Seat> seats) const {
  for (const auto& [time, active] : TimesOf(moment, one.run_for)) {
    std::vector<Room> rooms = RoomsAt(moment, time);
    const size_t without = Give(moment.cards, rooms, active).size();
    for (const Seat& seat : seats) {
      Room& room = rooms[seat.card];
      room.free -= seat.allocation.memory;
      ++room.shares;
      room.wholes += seat.allocation.whole ? 1 : 0;
      if (one.team.empty()) continue;
      room.own[one.team].memory += seat.allocation.memory;
      ++room.own[one.team].shares;
    }
    if (Give(moment.cards, std::move(rooms), active).size() < without) return false;
  }
  return true;
}

std::vector<size_t> Reserved::CardsFor(std::span<const Card> cards, const TeamId& except) const {
  std::vector<size_t> kept;
  const Moment now{cards, input_.now, false};
  for (const auto& [time, active] : TimesOf(now, Duration(0))) {
    for (const Given& given : Give(cards, RoomsAt(now, time), active)) {
      if (given.to->team != except) kept.push_back(given.card);
    }
  }
  return kept;
}

std::map<size_t, Bytes> Reserved::LeftFor(std::span<const Card> cards, const TeamId& team) const {
  std::map<size_t, Bytes> left;
  if (team.empty()) return left;
  const Moment now{cards, input_.now, false};
  for (const Given& given : Give(cards, RoomsAt(now, input_.now), ActiveAt(input_.now))) {
    if (given.to->team == team && given.left > Bytes(0)) left[given.card] += given.left;
  }
  return left;
}

int Reserved::RoomFor(std::span<const Card> cards, const Reservation& reservation) const {
  const Moment now{cards, input_.now, false};
  const TimePoint start = std::max(input_.now, reservation.starts_at);
  std::vector<const Reservation*> active = ActiveAt(start);
  if (std::ranges::find(active, reservation.id, [](const auto* one) { return one->id; }) ==
      active.end()) {
    active.push_back(&reservation);
  }
  const std::vector<Given> given = Give(cards, RoomsAt(now, start), active);
  return static_cast<int>(
      std::ranges::count(given, reservation.id, [](const Given& one) { return one.to->id; }));
}

}  // namespace sluice::scheduler::internal
