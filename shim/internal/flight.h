// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/internal/abi.h"
#include "shim/internal/os.h"
#include "shim/internal/process.h"
#include "shim/region.h"

// What this process has handed to the driver and the driver has not finished, card by card, in
// nanoseconds by the meter's estimate. Launches are told in bursts, each with an event after it on
// its stream; what no event stands for is taken as done when its estimate has passed.
namespace sluice::shim {

struct Burst {
  CUcontext context;
  CUevent begin;    // Of a sampled launch, else nullptr. With it, both events have times.
  CUevent end;      // nullptr: done at due_ns.
  uint64_t due_ns;  // CLOCK_MONOTONIC.
  uint64_t amount_ns;
  uint64_t key;      // Of the sampled launch: whose cost is learnt,
  uint64_t units;    // and how many of it that was.
  uintptr_t stream;  // Only compared, never given to the driver.
};

inline constexpr uint64_t kBurstsMax = 64;

// Changed under a lock, and looked at without it, too.
template <typename T>
class Looked {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): it is read as what it holds.
  operator T() const { return value_.load(std::memory_order_relaxed); }
  T operator=(T value) {
    value_.store(value, std::memory_order_relaxed);
    return value;
  }

 private:
  std::atomic<T> value_;
};

struct Flight {
  Lock lock;
  // Under the lock; the slot's figures repeat the first two.
  Looked<uint64_t> submitted_ns;
  Looked<uint64_t> finished_ns;
  uint64_t front_since_ns;  // Since when the oldest has been at work, as far as is known.
  uint64_t done_ns;         // When something was last found done.
  uint64_t launch_ns;       // Moving mean of the samples.
  bool told;                // That all is done.
  Looked<uint64_t> head;    // bursts[i % kBurstsMax], head ≤ i < tail.
  Looked<uint64_t> tail;
  Burst bursts[kBurstsMax];  // amount_ns 0: done, and taken out when those before it are.
  // The thread that asks the driver, which is never done under the lock: it alone takes out.
  std::atomic<uint32_t> asker;
  // Set once, before all else.
  std::atomic<region::SlotDevice*> slot;
};

Flight& FlightOf(Card card);

// After a thread ended while it held the lock: what is in flight is put together again from what is
// known of it, without its events.
void Mend(Flight& flight);

struct FlightHold : Hold {
  explicit FlightHold(Flight& flight) : Hold(flight.lock) {
    if (Inherited()) {
      Mend(flight);
    }
  }
};

// All of these require the flight's lock.
bool IsEmpty(const Flight& flight);
// What is still to be done, the part of the oldest burst that must have passed taken off.
uint64_t Left(const Flight& flight, uint64_t now_ns);
void Publish(const Flight& flight);  // In the slot.
void Submit(Flight& flight, uint64_t ns, uint64_t now_ns);
void Withdraw(Flight& flight, uint64_t ns);  // Submitted and not launched after all.
void Finish(Flight& flight, uint64_t ns, uint64_t now_ns);
// It joins the stream's last one if no event stands for that, or where many are in flight. Without
// room, or for nothing, it is taken as done at once. False: the events that `burst` has then are
// the caller's.
bool Push(Flight& flight, Burst& burst);
// What no event stands for: done when it should be, or with the stream's next burst.
void PushLoose(Flight& flight, uintptr_t stream, uint64_t ns, uint64_t now_ns);
bool HasBursts(const Flight& flight, uintptr_t stream);

// Asks the driver what is done, and learns from the samples. Takes the lock for moments. Returns
// false, with nothing done, where another thread does the same now.
bool Settle(Flight& flight, uint64_t now_ns);

// Tells in the slot that all is done, if it is. Returns whether the bell should be rung: once each
// time that it becomes so.
bool TellIfDone(Flight& flight, uint32_t grant_word);

// Of a burst that is over: may be recorded again.
void GiveEvents(const Burst& burst);

// Events of the calling thread's context; nullptr: none to be had.
CUevent TakeEvent(CUcontext context, bool timed);
void GiveEvent(CUcontext context, CUevent event, bool timed);

// Before what may be a context's end: its events go; what is in flight in it is known by estimate.
void ForgetContextFlight(CUcontext context);
// In a forked child.
void ForgetFlights();

// Streams that are being captured, in the whole process; raised and lowered around captures.
extern constinit std::atomic<int> captures_active;

// While it lives, calls that a capture elsewhere would forbid are allowed to this thread.
class OutsideCaptures {
 public:
  OutsideCaptures();
  OutsideCaptures(const OutsideCaptures&) = delete;
  OutsideCaptures& operator=(const OutsideCaptures&) = delete;
  ~OutsideCaptures();

 private:
  int mode_ = -1;  // The thread's own, to be put back; -1: unchanged.
};

}  // namespace sluice::shim
