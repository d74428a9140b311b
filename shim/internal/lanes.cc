// SPDX-License-Identifier: Apache-2.0
// Locks: a flight's, or that of the rows, never both.
#include "shim/internal/lanes.h"

#include "shim/internal/os.h"
#include "shim/internal/points.h"
#include "shim/internal/wait.h"

namespace sluice::shim {
namespace {

constexpr int kThreadsMax = 256;
constinit ThreadLanes all_lanes[kThreadsMax] = {};
constinit std::atomic<int> lanes_used{0};  // Never lowered: how far to look.
// Of threads without lanes of their own: never any credit.
constinit ThreadLanes no_lanes = {};
constinit Lock lanes_lock;

// A row of lanes for this thread: one of an ended thread, a free one, or none. Whoever had the row
// before may have ended inside a launch or at the gate.
ThreadLanes* TakeRow() {
  const uint32_t me = ThreadNumber();
  const Hold hold(lanes_lock);
  const int used = lanes_used.load(std::memory_order_relaxed);
  for (int i = 0; i < used; ++i) {
    // A row with this thread's number is of one that ended and had it before.
    if (all_lanes[i].owner.load(std::memory_order_relaxed) == me) {
      return &all_lanes[i];
    }
  }
  for (int i = 0; used == kThreadsMax && i < used; ++i) {
    if (!ThreadLives(all_lanes[i].owner.load(std::memory_order_relaxed))) {
      all_lanes[i].owner.store(me, std::memory_order_relaxed);
      return &all_lanes[i];
    }
  }
  if (used == kThreadsMax) {
    return &no_lanes;
  }
  all_lanes[used].owner.store(me, std::memory_order_relaxed);
  SLUICE_POINT("row");
  lanes_used.store(used + 1, std::memory_order_release);
  return &all_lanes[used];
}

// A thread that ended inside a launch will not tell what became of it. Requires: the flight's lock.
void SettleDebt(ThreadLanes& row, Card card, uint64_t now_ns) {
  const uint64_t owed = row.owed_ns.load(std::memory_order_relaxed);
  if (owed > 0 && row.owed_card.load(std::memory_order_relaxed) == card &&
      !ThreadLives(row.owner.load(std::memory_order_relaxed))) {
    row.owed_ns.store(0, std::memory_order_relaxed);
    Finish(FlightOf(card), owed, now_ns);
  }
}

int64_t Within(int64_t value, int64_t least, int64_t most) {
  return value < least ? least : value < most ? value : most;
}

// What the owner may still launch.
int64_t Rest(const Lane& lane) {
  const int64_t credit = lane.credit_ns.load(std::memory_order_relaxed);
  return Within(credit == kParked ? lane.drained_ns : credit, 0, lane.reserved_ns);
}

}  // namespace

constinit thread_local ThreadLanes* thread_lanes = &no_lanes;

bool HasLanes() {
  return thread_lanes != &no_lanes;
}

void TakeLanes() {
  if (HasLanes()) {
    return;
  }
  ThreadLanes* const row = TakeRow();
  if (row == &no_lanes) {
    return;
  }
  const int32_t waited = row->waits.exchange(0);
  if (waited > 0) {
    FlightOf(waited - 1).slot.load(std::memory_order_relaxed)->waiting.fetch_sub(1);
  }
  Flight& flight = FlightOf(row->owed_card.load(std::memory_order_relaxed));
  const FlightHold hold(flight);
  if (const uint64_t owed = row->owed_ns.exchange(0); owed > 0) {
    Finish(flight, owed, NowNs());
  }
  thread_lanes = row;
}

uint64_t CloseLane(Lane& lane, Flight& flight, uint64_t now_ns) {
  const int64_t reserved = lane.reserved_ns;
  const int64_t rest = Rest(lane);
  const int64_t drained = Within(lane.drained_ns, rest, reserved);
  lane.grant.store(kNoGrant, std::memory_order_relaxed);
  lane.reserved_ns = 0;
  if (reserved == 0) {
    return 0;
  }
  Withdraw(flight, static_cast<uint64_t>(rest));
  if (reserved > drained) {
    Finish(flight, static_cast<uint64_t>(reserved - drained), now_ns);
  }
  return static_cast<uint64_t>(drained - rest);
}

bool ParkAlone(Lane& lane, Flight& flight) {
  const int64_t reserved = lane.reserved_ns;
  const auto in_flight = static_cast<int64_t>(flight.submitted_ns - flight.finished_ns);
  if (flight.head != flight.tail || in_flight != reserved || reserved == 0) {
    return false;
  }
  const int64_t rest = Rest(lane);
  lane.drained_ns = rest;
  lane.credit_ns.store(kParked, std::memory_order_relaxed);
  region::SlotDevice* const slot = flight.slot.load(std::memory_order_relaxed);
  const uint64_t done = flight.submitted_ns - static_cast<uint64_t>(rest);
  slot->finished_ns.store(done, std::memory_order_relaxed);
  slot->submitted_ns.store(done, std::memory_order_release);
  return true;
}

void Park(Lane& lane, Flight& flight, uint64_t now_ns) {
  if (lane.reserved_ns == 0) {
    return;
  }
  const int64_t rest = Rest(lane);
  const int64_t spent = lane.reserved_ns - rest;
  lane.reserved_ns = rest;
  lane.drained_ns = rest;
  lane.credit_ns.store(kParked, std::memory_order_relaxed);
  if (spent > 0) {
    Finish(flight, static_cast<uint64_t>(spent), now_ns);
  }
}

bool Unpark(Lane& lane, Flight& flight, int64_t cost_ns) {
  const int64_t rest = lane.drained_ns;
  if (lane.credit_ns.load(std::memory_order_relaxed) != kParked || rest < cost_ns) {
    return false;
  }
  region::SlotDevice* const slot = flight.slot.load(std::memory_order_relaxed);
  slot->submitted_ns.store(flight.submitted_ns, std::memory_order_release);
  lane.credit_ns.store(rest - cost_ns, std::memory_order_relaxed);
  return true;
}

// What is open is what bursts, credits and threads between a launch's start and its end stand for.
void Mend(Flight& flight) {
  const uint64_t now = NowNs();
  uint64_t open = 0;
  for (uint64_t i = flight.head; i < flight.tail && i < flight.head + kBurstsMax; ++i) {
    Burst& burst = flight.bursts[i % kBurstsMax];
    open += burst.amount_ns;
    burst.begin = burst.end = nullptr;
    burst.context = nullptr;
    burst.due_ns = now + open;
  }
  const int used = lanes_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    const ThreadLanes& row = all_lanes[i];
    for (const Lane& lane : row.lanes) {
      const Card card = lane.card.load(std::memory_order_relaxed);
      open += &FlightOf(card) == &flight ? static_cast<uint64_t>(lane.reserved_ns) : 0;
    }
    const Card card = row.owed_card.load(std::memory_order_relaxed);
    open += &FlightOf(card) == &flight ? row.owed_ns.load(std::memory_order_relaxed) : 0;
  }
  if (open <= flight.submitted_ns) {
    flight.finished_ns = flight.submitted_ns - open;
  } else {
    flight.submitted_ns = flight.finished_ns + open;
  }
  flight.front_since_ns = flight.done_ns = now;
  flight.told = false;
  Publish(flight);
}

void SettleLanes(Card card, bool closed, uint64_t now_ns) {
  // A thread that has launched nothing for so long is taken as idle.
  constexpr uint64_t kIdleNs = 500'000;
  Flight& flight = FlightOf(card);
  const int used = lanes_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    const FlightHold hold(flight);
    SettleDebt(all_lanes[i], card, now_ns);
    for (Lane& lane : all_lanes[i].lanes) {
      if (lane.card.load(std::memory_order_relaxed) != card || lane.reserved_ns == 0) {
        continue;
      }
      const int64_t credit = Rest(lane);
      if (credit != lane.seen_credit_ns) {
        lane.seen_credit_ns = credit;
        lane.seen_ns = now_ns;
      }
      const auto tail =
          static_cast<uint64_t>(Within(lane.drained_ns, credit, lane.reserved_ns) - credit);
      const uint64_t from = lane.seen_ns > flight.done_ns ? lane.seen_ns : flight.done_ns;
      const uint64_t idle = now_ns > from ? now_ns - from : 0;
      const bool busy = HasBursts(flight, lane.stream.load(std::memory_order_relaxed));
      if ((tail > 0 && busy) || idle < tail || (!closed && idle < kIdleNs)) {
        continue;
      }
      if (const uint64_t rest = CloseLane(lane, flight, now_ns); rest > 0) {
        Finish(flight, rest, now_ns);
      }
    }
  }
}

int CountWaiting(Card card) {
  region::SlotDevice* const slot = FlightOf(card).slot.load(std::memory_order_relaxed);
  int stand = 0;
  const int used = lanes_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    std::atomic<int32_t>& waits = all_lanes[i].waits;
    int32_t mark = card + 1;
    if (waits.load(std::memory_order_relaxed) != mark) {
      continue;
    }
    if (ThreadLives(all_lanes[i].owner.load(std::memory_order_relaxed))) {
      ++stand;
    } else if (waits.compare_exchange_strong(mark, 0)) {
      slot->waiting.fetch_sub(1);
    }
  }
  return stand;
}

void ForgetLanes() {
  const int used = lanes_used.load(std::memory_order_relaxed);
  for (int i = 0; i < used; ++i) {
    for (Lane& lane : all_lanes[i].lanes) {
      lane.grant.store(kNoGrant, std::memory_order_relaxed);
      lane.reserved_ns = 0;
      lane.card.store(0, std::memory_order_relaxed);
    }
    all_lanes[i].owner.store(0, std::memory_order_relaxed);
    all_lanes[i].waits.store(0, std::memory_order_relaxed);
    all_lanes[i].owed_ns.store(0, std::memory_order_relaxed);
  }
  lanes_used.store(0, std::memory_order_relaxed);
  lanes_lock.Reset();
  thread_lanes = &no_lanes;
}

}  // namespace sluice::shim
