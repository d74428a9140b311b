// SPDX-License-Identifier: Apache-2.0
// Locks: a flight's or a shelf's, never two at once, never while calling the driver.
#include "shim/internal/flight.h"

#include "shim/internal/driver.h"
#include "shim/internal/meter.h"
#include "shim/internal/points.h"
#include "shim/internal/wait.h"

namespace sluice::shim {

constinit std::atomic<int> captures_active{0};

namespace {

constexpr CUresult kNotReady = 600;
// cudaErrorStreamCapture…: the driver would not say now.
constexpr CUresult kCaptureFirst = 900;
constexpr CUresult kCaptureLast = 910;
constexpr CUresult kCapturedEvent = 907;
constexpr unsigned kEventTimed = 0;
constexpr unsigned kEventUntimed = 2;
constexpr int kCaptureRelaxed = 2;

constinit Flight flights[region::kDevicesMax] = {};

// Events that may be recorded again, of one context.
constexpr int kShelves = 8;
constexpr int kShelfEvents = 32;
struct Shelf {
  Lock lock;
  CUcontext context;
  CUevent events[2][kShelfEvents];  // Untimed, timed.
  int count[2];
};
constinit Shelf shelves[kShelves] = {};

// Of a thread that ended here, the shelf's events are left to the context's end.
struct ShelfHold : Hold {
  explicit ShelfHold(Shelf& shelf) : Hold(shelf.lock) {
    if (Inherited()) {
      shelf.context = nullptr;
      shelf.count[0] = shelf.count[1] = 0;
    }
  }
};

// An event that a capture has taken in meanwhile will never say more.
bool IsCaptureError(CUresult result) {
  return result >= kCaptureFirst && result <= kCaptureLast && result != kCapturedEvent;
}

// One asker at a time. A thread may have died as asker: then another takes its place.
bool BecomeAsker(Flight& flight) {
  const uint32_t me = ThreadNumber();
  uint32_t other = 0;
  if (flight.asker.compare_exchange_strong(other, me, std::memory_order_acquire)) {
    return true;
  }
  return !ThreadLives(other) &&
         flight.asker.compare_exchange_strong(other, me, std::memory_order_acquire);
}

void LearnFrom(Flight& flight, const Burst& burst) {
  float ms = 0;
  if (burst.begin == nullptr ||
      Cuda(Call::k_cuEventElapsedTime, &ms, burst.begin, burst.end) != kSuccess || !(ms >= 0)) {
    return;
  }
  const auto ns = static_cast<uint64_t>(static_cast<double>(ms < 1e6F ? ms : 1e6F) * 1e6);
  Learn(burst.key, ns / burst.units);
  const FlightHold hold(flight);
  flight.launch_ns = flight.launch_ns == 0 ? ns : (flight.launch_ns * 7 + ns) / 8;
}

bool IsDone(const Burst& burst, uint64_t now_ns) {
  if (burst.end == nullptr) {
    return now_ns >= burst.due_ns;
  }
  const CUresult result = Cuda(Call::k_cuEventQuery, burst.end);
  return result != kNotReady && !IsCaptureError(result);
}

void DropDone(Flight& flight) {
  while (flight.head < flight.tail && flight.bursts[flight.head % kBurstsMax].amount_ns == 0) {
    flight.head = flight.head + 1;
  }
}

// Takes the burst at `index` out, and all done ones from the head on. False: what was `asked` for
// has been joined by later work meanwhile. Requires: the lock.
bool TakeOut(Flight& flight, uint64_t index, const Burst& asked, uint64_t now_ns) {
  Burst& burst = flight.bursts[index % kBurstsMax];
  if (index < flight.head || burst.end != asked.end || burst.due_ns != asked.due_ns) {
    return false;
  }
  const uint64_t amount = burst.amount_ns;
  burst.amount_ns = 0;
  DropDone(flight);
  Finish(flight, amount, now_ns);
  return true;
}

// The stream's last burst, or null.
Burst* LastOf(Flight& flight, uintptr_t stream) {
  for (uint64_t i = flight.tail; i-- > flight.head;) {
    Burst& burst = flight.bursts[i % kBurstsMax];
    if (burst.stream == stream && burst.amount_ns > 0) {
      return &burst;
    }
  }
  return nullptr;
}

// The stream's last burst ends with the given one from now on; the given one takes its events.
void Join(Burst& last, Burst& burst) {
  const Burst before = last;
  last = burst;
  SLUICE_POINT("join");
  last.amount_ns += before.amount_ns;
  burst.begin = before.begin;
  burst.end = before.end;
}

// The bursts of a context lose their events: from now on they are taken as done when they should
// be. The context may live on, so what is in flight is not over yet.
void DropEvents(Flight& flight, CUcontext context) {
  for (uint64_t i = 0; i < kBurstsMax; ++i) {
    Burst dropped = {};
    {
      const FlightHold hold(flight);
      const uint64_t index = flight.head + i;
      if (index >= flight.tail) {
        return;
      }
      Burst& burst = flight.bursts[index % kBurstsMax];
      if (burst.context != context || burst.amount_ns == 0) {
        continue;
      }
      dropped = burst;
      const uint64_t now = NowNs();
      burst.begin = burst.end = nullptr;
      burst.context = nullptr;
      burst.due_ns = now + Left(flight, now);
    }
    for (const CUevent event : {dropped.begin, dropped.end}) {
      if (event != nullptr) {
        Cuda(Call::k_cuEventDestroy_v2, event);
      }
    }
  }
}

}  // namespace

Flight& FlightOf(Card card) {
  return flights[card];
}

bool IsEmpty(const Flight& flight) {
  return flight.submitted_ns == flight.finished_ns;
}

uint64_t Left(const Flight& flight, uint64_t now_ns) {
  const uint64_t whole = flight.submitted_ns - flight.finished_ns;
  const uint64_t front =
      flight.head == flight.tail ? 0 : flight.bursts[flight.head % kBurstsMax].amount_ns;
  const uint64_t passed = now_ns > flight.front_since_ns ? now_ns - flight.front_since_ns : 0;
  const uint64_t off = passed < front ? passed : front;
  return whole > off ? whole - off : 0;
}

void Publish(const Flight& flight) {
  region::SlotDevice* const slot = flight.slot.load(std::memory_order_relaxed);
  SLUICE_POINT("flight");
  if (slot != nullptr) {
    slot->finished_ns.store(flight.finished_ns, std::memory_order_relaxed);
    slot->launch_ns.store(flight.launch_ns, std::memory_order_relaxed);
    slot->submitted_ns.store(flight.submitted_ns, std::memory_order_release);
  }
}

void Submit(Flight& flight, uint64_t ns, uint64_t now_ns) {
  if (IsEmpty(flight)) {
    flight.front_since_ns = now_ns;
    flight.told = false;
  }
  flight.submitted_ns = flight.submitted_ns + ns;
  Publish(flight);
}

void Withdraw(Flight& flight, uint64_t ns) {
  const uint64_t open = flight.submitted_ns - flight.finished_ns;
  flight.submitted_ns = flight.submitted_ns - (ns < open ? ns : open);
  Publish(flight);
}

void Finish(Flight& flight, uint64_t ns, uint64_t now_ns) {
  const uint64_t open = flight.submitted_ns - flight.finished_ns;
  flight.finished_ns = flight.finished_ns + (ns < open ? ns : open);
  flight.front_since_ns = flight.done_ns = now_ns;
  Publish(flight);
}

bool Push(Flight& flight, Burst& burst) {
  if (burst.amount_ns == 0) {
    return false;
  }
  const uint64_t count = flight.tail - flight.head;
  Burst* const last = LastOf(flight, burst.stream);
  // What is joined is done later: the first one never, or none would be for as long as more comes.
  const bool many = count >= kBurstsMax / 2 && last != &flight.bursts[flight.head % kBurstsMax];
  if (last != nullptr && last->end == nullptr) {
    Join(*last, burst);
    return true;
  }
  if (many && last != nullptr && burst.end != nullptr && last->context == burst.context) {
    Join(*last, burst);
    return false;
  }
  if (count == kBurstsMax) {
    Finish(flight, burst.amount_ns, NowNs());
    return false;
  }
  if (count == 0) {
    flight.front_since_ns = NowNs();
  }
  flight.bursts[flight.tail % kBurstsMax] = burst;
  SLUICE_POINT("burst");
  KeepOrder();
  flight.tail = flight.tail + 1;
  return true;
}

void PushLoose(Flight& flight, uintptr_t stream, uint64_t ns, uint64_t now_ns) {
  Burst burst = {.context = nullptr,
                 .begin = nullptr,
                 .end = nullptr,
                 .due_ns = now_ns + Left(flight, now_ns),
                 .amount_ns = ns,
                 .key = 0,
                 .units = 1,
                 .stream = stream};
  Push(flight, burst);
}

bool HasBursts(const Flight& flight, uintptr_t stream) {
  for (uint64_t i = flight.head; i < flight.tail; ++i) {
    const Burst& burst = flight.bursts[i % kBurstsMax];
    if (burst.stream == stream && burst.amount_ns > 0) {
      return true;
    }
  }
  return false;
}

bool Settle(Flight& flight, uint64_t now_ns) {
  if (!BecomeAsker(flight)) {
    return false;
  }
  const OutsideCaptures outside;
  uint64_t index = 0;
  {
    const FlightHold hold(flight);
    index = flight.head;
  }
  // A stream is in order: what comes after its first unfinished burst need not be asked for.
  constexpr int kUnfinishedMax = 8;
  uintptr_t unfinished[kUnfinishedMax] = {};
  int unfinished_count = 0;
  for (; unfinished_count < kUnfinishedMax; ++index) {
    Burst burst = {};
    {
      const FlightHold hold(flight);
      if (index >= flight.tail) {
        break;
      }
      burst = flight.bursts[index % kBurstsMax];
    }
    bool skip = burst.amount_ns == 0;
    for (int i = 0; i < unfinished_count; ++i) {
      skip = skip || unfinished[i] == burst.stream;
    }
    if (skip) {
      continue;
    }
    if (!IsDone(burst, now_ns)) {
      unfinished[unfinished_count++] = burst.stream;
      continue;
    }
    {
      const FlightHold hold(flight);
      if (!TakeOut(flight, index, burst, now_ns)) {
        unfinished[unfinished_count++] = burst.stream;
        continue;
      }
    }
    LearnFrom(flight, burst);
    GiveEvents(burst);
  }
  flight.asker.store(0, std::memory_order_release);
  return true;
}

bool TellIfDone(Flight& flight, uint32_t grant_word) {
  const FlightHold hold(flight);
  region::SlotDevice* const slot = flight.slot.load(std::memory_order_relaxed);
  if (!IsEmpty(flight) || slot == nullptr) {
    return false;
  }
  if (region::ModeOf(grant_word) == region::GrantMode::kWait) {
    slot->drained.store(region::SequenceOf(grant_word), std::memory_order_release);
  }
  const bool news = !flight.told;
  flight.told = true;
  return news;
}

void GiveEvents(const Burst& burst) {
  const bool timed = burst.begin != nullptr;
  if (timed) {
    GiveEvent(burst.context, burst.begin, true);
  }
  if (burst.end != nullptr) {
    GiveEvent(burst.context, burst.end, timed);
  }
}

CUevent TakeEvent(CUcontext context, bool timed) {
  for (Shelf& shelf : shelves) {
    const ShelfHold hold(shelf);
    if (shelf.context == context && shelf.count[timed] > 0) {
      --shelf.count[timed];
      SLUICE_POINT("shelf");
      return shelf.events[timed][shelf.count[timed]];
    }
  }
  CUevent made = nullptr;
  const CUresult result = Cuda(Call::k_cuEventCreate, &made, timed ? kEventTimed : kEventUntimed);
  return result == kSuccess ? made : nullptr;
}

void GiveEvent(CUcontext context, CUevent event, bool timed) {
  for (Shelf& shelf : shelves) {
    const ShelfHold hold(shelf);
    if (shelf.context == nullptr) {
      shelf.context = context;
    }
    if (shelf.context == context && shelf.count[timed] < kShelfEvents) {
      shelf.events[timed][shelf.count[timed]++] = event;
      return;
    }
  }
  Cuda(Call::k_cuEventDestroy_v2, event);
}

void ForgetContextFlight(CUcontext context) {
  for (Flight& flight : flights) {
    if (flight.slot.load(std::memory_order_relaxed) == nullptr) {
      continue;
    }
    // Whoever asks the driver now must be through before the events go.
    constexpr int kTries = 1000;
    bool asker = false;
    for (int i = 0; i < kTries && !(asker = BecomeAsker(flight)); ++i) {
      Nap(100);
    }
    DropEvents(flight, context);
    if (asker) {
      flight.asker.store(0, std::memory_order_release);
    }
  }
  for (Shelf& shelf : shelves) {
    Shelf gone = {};
    {
      const ShelfHold hold(shelf);
      if (shelf.context == nullptr || shelf.context != context) {
        continue;
      }
      for (const int timed : {0, 1}) {
        gone.count[timed] = shelf.count[timed];
        for (int i = 0; i < shelf.count[timed]; ++i) {
          gone.events[timed][i] = shelf.events[timed][i];
        }
        shelf.count[timed] = 0;
      }
      shelf.context = nullptr;
    }
    for (const int timed : {0, 1}) {
      for (int i = 0; i < gone.count[timed]; ++i) {
        Cuda(Call::k_cuEventDestroy_v2, gone.events[timed][i]);
      }
    }
  }
}

void ForgetFlights() {
  for (Flight& flight : flights) {
    // Taken for a card that was never gated, too: a new row of lanes is said to be of card 0.
    flight.lock.Reset();
    if (flight.slot.load(std::memory_order_relaxed) == nullptr) {
      continue;
    }
    flight.submitted_ns = flight.finished_ns = 0;
    flight.launch_ns = 0;
    flight.head = flight.tail = 0;
    flight.asker.store(0, std::memory_order_relaxed);
    flight.slot.store(nullptr, std::memory_order_relaxed);
  }
  for (Shelf& shelf : shelves) {
    shelf.lock.Reset();
    if (shelf.context != nullptr) {
      shelf.context = nullptr;
      shelf.count[0] = shelf.count[1] = 0;
    }
  }
  captures_active.store(0, std::memory_order_relaxed);
}

OutsideCaptures::OutsideCaptures() {
  // What a driver lacks is looked for at each call.
  static constinit std::atomic<bool> missing{false};
  if (missing.load(std::memory_order_relaxed)) {
    return;
  }
  // Without asking whether there is a capture: another thread may begin one right now.
  int mode = kCaptureRelaxed;
  const CUresult result = Cuda(Call::k_cuThreadExchangeStreamCaptureMode, &mode);
  if (result == kSuccess) {
    mode_ = mode;
  } else if (result == kNotSupported) {
    missing.store(true, std::memory_order_relaxed);
  }
}

OutsideCaptures::~OutsideCaptures() {
  if (mode_ >= 0) {
    Cuda(Call::k_cuThreadExchangeStreamCaptureMode, &mode_);
  }
}

}  // namespace sluice::shim
