// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/internal/flight.h"
#include "shim/internal/process.h"

// What each thread may launch without asking. The rows lie in static memory and outlive their
// threads, so that the watch can read them and settle what an ended thread left.
namespace sluice::shim {

// What one thread may launch into one stream without asking.
inline constexpr uint32_t kNoGrant = UINT32_MAX;
inline constexpr int64_t kParked = -1;
struct alignas(64) Lane {
  std::atomic<uint32_t> grant;  // The grant's word that the credit belongs to.
  std::atomic<int32_t> card;
  std::atomic<uintptr_t> stream;
  // Changed by the owner alone; kParked: all that was launched is done, `drained_ns` is left.
  std::atomic<int64_t> credit_ns;
  // Under the flight's lock: the credit as it was taken, counted as submitted.
  Looked<int64_t> reserved_ns;
  // The credit that was left when the stream was last known to be drained.
  Looked<int64_t> drained_ns;
  // What the watch saw last, and since when.
  int64_t seen_credit_ns;
  uint64_t seen_ns;
  uint64_t sampled_ns;  // The owner's: when it last timed a launch.
};
static_assert(sizeof(Lane) == 64);

inline constexpr int kLanesPerThread = 4;
struct ThreadLanes {
  Lane lanes[kLanesPerThread];
  std::atomic<uint32_t> owner;  // The thread's number; 0: free.
  std::atomic<int32_t> waits;   // Card + 1 whose `waiting` counts this thread.
  // Between a launch's start and its end: what is counted as submitted and nobody else knows of.
  std::atomic<int32_t> owed_card;
  std::atomic<uint64_t> owed_ns;
};

// At start a row of lanes without credit.
extern constinit thread_local ThreadLanes* thread_lanes;

inline Lane& LaneFor(ThreadLanes& own, uintptr_t stream) {
  return own.lanes[(stream ^ stream >> 6 ^ stream >> 12) % kLanesPerThread];
}

// A row for the calling thread, if it has none yet and there is one: another thread's that has
// ended, too.
void TakeLanes();
bool HasLanes();

// What the lane launched since its last event, or since it was drained; the rest of its credit is
// given back. Requires: the lock of the card's flight.
uint64_t CloseLane(Lane& lane, Flight& flight, uint64_t now_ns);

// All that was launched is done: it counts as finished, and what is left of the credit as not
// submitted, until the owner takes it up again. Require: the calling thread is the lane's. The
// first needs no lock, and answers false, with nothing done, where anything else may be in flight.
bool ParkAlone(Lane& lane, Flight& flight);
void Park(Lane& lane, Flight& flight, uint64_t now_ns);
// Goes on with a parked lane. False: there is too little left.
bool Unpark(Lane& lane, Flight& flight, int64_t cost_ns);

// Takes what idle or ended threads left of their credit back, and counts their last launches as
// done after as long as they should take. `closed`: no credit can be spent now.
void SettleLanes(Card card, bool closed, uint64_t now_ns);
// Corrects `waiting` by threads that ended while they stood at the gate. Returns how many stand.
int CountWaiting(Card card);

// In a forked child.
void ForgetLanes();

}  // namespace sluice::shim
