// SPDX-License-Identifier: Apache-2.0
// Locks: a flight's, for moments, never while calling the driver or sleeping.
#include "shim/internal/gate.h"

#include <errno.h>
#include <sched.h>

#include "shim/internal/driver.h"
#include "shim/internal/flight.h"
#include "shim/internal/os.h"
#include "shim/internal/wait.h"
#include "shim/internal/watch.h"

namespace sluice::shim {
namespace {

constexpr uint64_t kMicro = 1'000;
constexpr uint64_t kMilli = 1'000'000;

// Credit taken at once. What a thread has launched since its last event is known by estimate only,
// so this bounds the error when it stops there; an event's cost is spread over as much work.
constexpr int64_t kCreditNsMax = 500 * kMicro;
// Through an open gate nobody waits for the end of it.
constexpr int64_t kOpenCreditNs = 2'000 * kMicro;
// At most one timed launch per lane in so long, unknown functions aside.
constexpr uint64_t kSampleEveryNs = 500 * kMicro;
// Between looks at the driver, and at the policy where no change wakes us.
constexpr uint64_t kLookNsMin = 20 * kMicro;
constexpr uint64_t kLookNsMax = 500 * kMicro;
constexpr uint64_t kWaitNsMax = 100 * kMilli;
constexpr uint64_t kExpiredNs = 2 * kMilli;
// Work in flight: what a grant can sensibly allow.
constexpr uint64_t kFlightNsDefault = 2 * kMilli;
constexpr uint64_t kFlightNsMax = 1000 * kMilli;
// Work in flight may wait for work that has yet to be launched. Where nothing moves for this long
// and four times the estimate, the next launch goes on.
constexpr uint64_t kStallNs = 50 * kMilli;
constexpr uint64_t kStallNsMax = 2000 * kMilli;
// Self-pacing: what may run ahead, what is believed of the ledger, and the least share.
constexpr uint64_t kPaceAheadNs = 20 * kMilli;
constexpr uint64_t kPaceDebtNsMax = 10'000 * kMilli;
constexpr uint64_t kBestEffortMillis = 50;
constexpr uint64_t kCostNsBelieved = 10'000 * kMilli;

const region::ComputeGrant& GrantOf(Card card) {
  return AttachedPages().policy->grants[card];
}

uint64_t FlightLimit(const region::ComputeGrant& grant) {
  const uint64_t told = grant.in_flight_ns.load(std::memory_order_relaxed);
  return told == 0 ? kFlightNsDefault : told < kFlightNsMax ? told : kFlightNsMax;
}

// Soon at first, as what was never timed may be short; often enough that the card does not run dry.
uint64_t LookAgainIn(uint64_t flight_limit_ns, int looks) {
  const uint64_t quarter = flight_limit_ns / 4 < kLookNsMax ? flight_limit_ns / 4 : kLookNsMax;
  const uint64_t early = kLookNsMin << (looks < 8 ? looks : 8);
  const uint64_t nap = early < quarter ? early : quarter;
  return nap < kLookNsMin ? kLookNsMin : nap;
}

bool IsAgentSilent(uint64_t now_ns) {
  const uint64_t beat_ms = AttachedPages().policy->heartbeat_ms.load(std::memory_order_relaxed);
  const uint64_t now_ms = now_ns / kMilli;
  return beat_ms + region::kAgentSilentMs < now_ms || beat_ms > now_ms + region::kAgentSilentMs;
}

// Whether the launch is only recorded, or the driver does not serve this thread at all.
bool IsOnlyRecorded(uintptr_t stream) {
  int status = 0;
  const CUresult result =
      Cuda(Call::k_cuStreamIsCapturing, reinterpret_cast<CUstream>(stream), &status);
  // A driver without the call has no captures.
  return result != kNotSupported && (result != kSuccess || status != 0);
}

// The generic cell rate algorithm on the share's own word: all its processes together get the
// guarantee. 0: paid; else how long until it is worth trying again.
uint64_t Pace(Card card, uint64_t cost_ns, uint64_t now_ns) {
  const uint64_t told = Policy(card).guarantee_millis.load(std::memory_order_relaxed);
  const uint64_t millis = told == 0 ? kBestEffortMillis : told < 1000 ? told : 1000;
  const uint64_t span = cost_ns * 1000 / millis;
  const uint64_t paid = span < kPaceDebtNsMax ? span : kPaceDebtNsMax;
  std::atomic<uint64_t>& word = AttachedPages().ledger->devices[card].paced_until_ns;
  uint64_t seen = word.load(std::memory_order_relaxed);
  for (int tries = 0; tries < 64; ++tries) {
    const bool believed = seen > now_ns && seen - now_ns <= 2 * kPaceDebtNsMax;
    const uint64_t base = believed ? seen : now_ns;
    if (base - now_ns > kPaceAheadNs) {
      return base - now_ns - kPaceAheadNs;
    }
    if (word.compare_exchange_weak(seen, base + paid, std::memory_order_relaxed)) {
      return 0;
    }
  }
  return kMilli;
}

// One for all launches that no event stands for: done when they should be.
Burst ByEstimate(const Flight& flight, uintptr_t stream, uint64_t amount_ns, uint64_t now_ns) {
  return {.context = nullptr,
          .begin = nullptr,
          .end = nullptr,
          .due_ns = now_ns + Left(flight, now_ns),
          .amount_ns = amount_ns,
          .key = 0,
          .units = 1,
          .stream = stream};
}

// Counts a thread among those that stand at the gate, from Begin on.
class Standing {
 public:
  explicit Standing(Card card) : card_(card) {}
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;
  ~Standing() {
    if (stands_) {
      thread_lanes->waits.store(0, std::memory_order_relaxed);
      FlightOf(card_).slot.load(std::memory_order_relaxed)->waiting.fetch_sub(1);
    }
  }
  void Begin() {
    if (!stands_) {
      stands_ = true;
      thread_lanes->waits.store(card_ + 1, std::memory_order_relaxed);
      FlightOf(card_).slot.load(std::memory_order_relaxed)->waiting.fetch_add(1);
    }
    Ring();
  }

 private:
  Card card_;
  bool stands_ = false;
};

// The card whose gate the work has to pass; kNotShared: it may go, and nothing is to be counted.
Card CardAtGate(const Work& work) {
  const Pages pages = AttachedPages();
  if (pages.policy == nullptr) {
    only_grant.store(&no_grant, std::memory_order_relaxed);
    return kNotShared;
  }
  Card card = 0;
  if (pages.policy->device_count == 1) {
    only_grant.store(&pages.policy->grants[0].word, std::memory_order_relaxed);
  } else {
    card = CurrentCard();
  }
  if (card < 0 || pages.slot < 0) {
    return kNotShared;
  }
  const uint32_t word = pages.policy->grants[card].word.load(std::memory_order_acquire);
  Lane& lane = LaneFor(*thread_lanes, work.stream);
  if (lane.card.load(std::memory_order_relaxed) == card && Spend(lane, word, work)) {
    return kNotShared;
  }
  if (captures_active.load(std::memory_order_relaxed) > 0 && IsOnlyRecorded(work.stream)) {
    return kNotShared;
  }
  FlightOf(card).slot.store(&pages.ledger->slots[pages.slot].devices[card],
                            std::memory_order_relaxed);
  return card;
}

// The card that this thread's work was on, if it was ever gated.
Card CardOfThread() {
  const Pages pages = AttachedPages();
  if (pages.policy == nullptr) {
    return kNotShared;
  }
  const Card card = pages.policy->device_count == 1 || !HasLanes()
                        ? 0
                        : thread_lanes->lanes[0].card.load(std::memory_order_relaxed);
  return FlightOf(card).slot.load(std::memory_order_relaxed) == nullptr ? kNotShared : card;
}

}  // namespace

constinit std::atomic<const std::atomic<uint32_t>*> only_grant{nullptr};
constinit const std::atomic<uint32_t> no_grant{0};

bool Resume(const Work& work) {
  Lane& lane = LaneFor(*thread_lanes, work.stream);
  const std::atomic<uint32_t>* const word = only_grant.load(std::memory_order_relaxed);
  const auto cost = static_cast<int64_t>(KnownCost(work.key) * work.units);
  return word != nullptr && cost > 0 &&
         lane.stream.load(std::memory_order_relaxed) == work.stream &&
         lane.grant.load(std::memory_order_relaxed) == word->load(std::memory_order_acquire) &&
         captures_active.load(std::memory_order_relaxed) == 0 && Unpark(lane, FlightOf(0), cost);
}

Turn::Turn(const Work& work) : work_(work) {
  const int kept = errno;
  card_ = CardAtGate(work);
  if (card_ >= 0) {
    Admit();
  }
  errno = kept;
}

void Turn::Admit() {
  TakeLanes();
  const uint64_t known = KnownCost(work_.key);
  const uint64_t cost = (known == 0 ? GuessNs() : known) * work_.units;
  cost_ns_ = cost < kCostNsBelieved ? cost : kCostNsBelieved;
  Flight& flight = FlightOf(card_);
  Lane& lane = LaneFor(*thread_lanes, work_.stream);
  since_ns_ = NowNs();
  sampled_ = known == 0 || since_ns_ - lane.sampled_ns >= kSampleEveryNs;
  const region::ComputeGrant& grant = GrantOf(card_);
  if (const uint32_t word = grant.word.load(std::memory_order_acquire);
      region::ModeOf(word) == region::GrantMode::kOpen && (known != 0 || !HasLanes()) &&
      CountLoosely(lane, word)) {
    return;
  }
  EndBefore(lane);
  Watch(card_);
  if (Cuda(Call::k_cuCtxGetCurrent, &context_) != kSuccess) {
    context_ = nullptr;
  }
  Standing standing(card_);
  int looks = 0;
  for (uint64_t now = since_ns_;; now = NowNs()) {
    const uint32_t word = grant.word.load(std::memory_order_acquire);
    const region::GrantMode mode = region::ModeOf(word);
    if (mode == region::GrantMode::kOpen) {
      TakeOpen(lane, word, now);
      break;
    }
    uint64_t nap = kWaitNsMax;
    if (IsAgentSilent(now)) {
      Settle(flight, now);
      nap = Pace(card_, cost_ns_, now);
      if (nap == 0) {
        TakePaced();
        break;
      }
    } else if (mode == region::GrantMode::kRun &&
               now < grant.until_ns.load(std::memory_order_relaxed)) {
      Settle(flight, now);
      if (TryTake(lane, word, now)) {
        break;
      }
      nap = LookAgainIn(FlightLimit(grant), looks++);
    } else {
      standing.Begin();
      // The end of a run may be put off without anybody being woken.
      nap = mode == region::GrantMode::kRun ? kExpiredNs : kWaitNsMax;
    }
    // What we launched before must be seen to end while we stand here.
    PushTail();
    if (IsOnlyRecorded(work_.stream)) {
      TakePaced();
      break;
    }
    waited_ = true;
    AwaitChange(grant.word, word, nap < kWaitNsMax ? nap : kWaitNsMax);
  }
  BeginSample(lane);
}

// Takes back what is left of the lane's credit; what was launched by it is told with this launch,
// or by estimate where that is of another stream.
void Turn::EndBefore(Lane& lane) {
  Flight& flight = FlightOf(card_);
  Flight& before = FlightOf(lane.card.load(std::memory_order_relaxed));
  const uintptr_t stream = lane.stream.load(std::memory_order_relaxed);
  const FlightHold hold(before);
  const uint64_t tail = CloseLane(lane, before, since_ns_);
  if (&before == &flight && stream == work_.stream) {
    tail_ns_ = tail;
    Owe(tail);
  } else if (tail > 0) {
    Burst burst = ByEstimate(before, stream, tail, since_ns_);
    Push(before, burst);
  }
}

// Of one unit that was never timed: so much that only a few of them are in flight before the first
// one tells. Without an agent what is guessed is paid for, so the guess is a fair one then.
uint64_t Turn::GuessNs() const {
  constexpr uint64_t kUnknownInFlight = 4;
  const uint64_t part = FlightLimit(GrantOf(card_)) / kUnknownInFlight / work_.units;
  return IsAgentSilent(NowNs()) || part < work_.guess_ns ? work_.guess_ns : part;
}

// Through an open gate the driver is asked no more often than a timed launch is due: what goes in
// between is known by estimate, if its length is. False: it is due.
bool Turn::CountLoosely(Lane& lane, uint32_t word) {
  const bool elsewhere = lane.reserved_ns > 0 && lane.card.load(std::memory_order_relaxed) != card_;
  if (elsewhere || (HasLanes() && since_ns_ - lane.sampled_ns >= kSampleEveryNs)) {
    return false;
  }
  Flight& flight = FlightOf(card_);
  {
    const FlightHold hold(flight);
    const uintptr_t before = lane.stream.load(std::memory_order_relaxed);
    if (const uint64_t tail = CloseLane(lane, flight, since_ns_); tail > 0) {
      PushLoose(flight, before, tail, since_ns_);
    }
    if (!work_.returns_done) {
      Submit(flight, cost_ns_, since_ns_);
      PushLoose(flight, work_.stream, cost_ns_, since_ns_);
    }
    Reserve(lane, word, kOpenCreditNs, since_ns_);
  }
  Watch(card_);
  card_ = kNotShared;
  return true;
}

void Turn::TakeOpen(Lane& lane, uint32_t word, uint64_t now_ns) {
  Flight& flight = FlightOf(card_);
  Settle(flight, now_ns);
  const FlightHold hold(flight);
  Submit(flight, cost_ns_, now_ns);
  Owe(tail_ns_ + cost_ns_);
  Reserve(lane, word, kOpenCreditNs, now_ns);
}

// Without credit: for one launch.
void Turn::TakePaced() {
  Flight& flight = FlightOf(card_);
  const FlightHold hold(flight);
  Submit(flight, cost_ns_, NowNs());
  Owe(tail_ns_ + cost_ns_);
}

bool Turn::TryTake(Lane& lane, uint32_t word, uint64_t now_ns) {
  const region::ComputeGrant& grant = GrantOf(card_);
  const uint64_t limit = FlightLimit(grant);
  const uint64_t until = grant.until_ns.load(std::memory_order_relaxed);
  Flight& flight = FlightOf(card_);
  const FlightHold hold(flight);
  const uint64_t left = Left(flight, now_ns);
  const uint64_t moved = flight.done_ns > since_ns_ ? flight.done_ns : since_ns_;
  const uint64_t patience = kStallNs + 4 * left < kStallNsMax ? kStallNs + 4 * left : kStallNsMax;
  const bool stalled = now_ns > moved && now_ns - moved > patience;
  const bool room =
      flight.tail - flight.head < kBurstsMax && (left + cost_ns_ <= limit || left <= limit / 2);
  if (!room && !stalled) {
    return false;
  }
  Submit(flight, cost_ns_, now_ns);
  Owe(tail_ns_ + cost_ns_);
  const uint64_t spare = limit > left + cost_ns_ ? (limit - left - cost_ns_) / 2 : 0;
  const uint64_t time = until > now_ns ? until - now_ns : 0;
  const auto credit = static_cast<int64_t>(spare < time ? spare : time);
  Reserve(lane, word, credit < kCreditNsMax ? credit : kCreditNsMax, now_ns);
  return true;
}

// Requires: the flight's lock.
void Turn::Reserve(Lane& lane, uint32_t word, int64_t credit_ns, uint64_t now_ns) {
  if (!HasLanes()) {
    return;
  }
  lane.reserved_ns = credit_ns;
  lane.drained_ns = credit_ns;
  Submit(FlightOf(card_), static_cast<uint64_t>(credit_ns), now_ns);
  lane.seen_credit_ns = -1;
  lane.card.store(card_, std::memory_order_relaxed);
  lane.stream.store(work_.stream, std::memory_order_relaxed);
  lane.credit_ns.store(credit_ns, std::memory_order_relaxed);
  lane.grant.store(word, std::memory_order_relaxed);
}

bool Turn::Record(CUevent event) const {
  return event != nullptr &&
         Cuda(Call::k_cuEventRecord, event, reinterpret_cast<CUstream>(work_.stream)) == kSuccess;
}

// Ends what was launched before this with an event of its own.
void Turn::PushTail() {
  if (tail_ns_ == 0) {
    return;
  }
  const OutsideCaptures outside;
  const uint64_t now = NowNs();
  Flight& flight = FlightOf(card_);
  CUevent end = context_ == nullptr ? nullptr : TakeEvent(context_, false);
  if (end != nullptr && !Record(end)) {
    GiveEvent(context_, end, false);
    end = nullptr;
  }
  Burst burst = {};
  bool kept = false;
  {
    const FlightHold hold(flight);
    burst = ByEstimate(flight, work_.stream, tail_ns_, now);
    burst.context = context_;
    burst.end = end;
    kept = Push(flight, burst);
    tail_ns_ = 0;
    Owe(0);
  }
  if (!kept) {
    GiveEvents(burst);
  }
}

// What is submitted and not told yet, in case that the thread ends before it is. Of a launch on
// several cards it is the last gate's part alone. Requires: the flight's lock.
void Turn::Owe(uint64_t ns) const {
  if (HasLanes()) {
    thread_lanes->owed_card.store(card_, std::memory_order_relaxed);
    thread_lanes->owed_ns.store(ns, std::memory_order_relaxed);
  }
}

void Turn::BeginSample(Lane& lane) {
  const OutsideCaptures outside;
  since_ns_ = waited_ || work_.returns_done ? NowNs() : since_ns_;
  if (!sampled_ || work_.returns_done || context_ == nullptr) {
    return;
  }
  lane.sampled_ns = since_ns_;
  begin_ = TakeEvent(context_, true);
  if (begin_ != nullptr && !Record(begin_)) {
    GiveEvent(context_, begin_, true);
    begin_ = nullptr;
  }
}

CUresult Turn::Finish(CUresult result) {
  if (card_ < 0) {
    return result;
  }
  const int kept = errno;
  const OutsideCaptures outside;
  Flight& flight = FlightOf(card_);
  uint64_t amount = tail_ns_;
  if (result == kSuccess && work_.returns_done) {
    const uint64_t now = NowNs();
    Learn(work_.key, (now - since_ns_) / work_.units);
    const FlightHold hold(flight);
    shim::Finish(flight, cost_ns_, now);
    Owe(amount);
  } else if (result == kSuccess) {
    amount += cost_ns_;
  } else {
    const FlightHold hold(flight);
    Withdraw(flight, cost_ns_);
    Owe(amount);
  }
  const bool timed = begin_ != nullptr;
  CUevent end = amount == 0 || context_ == nullptr ? nullptr : TakeEvent(context_, timed);
  if (end != nullptr && !Record(end)) {
    GiveEvent(context_, end, timed);
    end = nullptr;
  }
  if (timed && end == nullptr) {
    GiveEvent(context_, begin_, true);
    begin_ = nullptr;
  }
  Burst burst = {};
  bool pushed = false;
  {
    const FlightHold hold(flight);
    burst = ByEstimate(flight, work_.stream, amount, end == nullptr ? NowNs() : since_ns_);
    burst.context = context_;
    // A launch that failed between its events teaches nothing, but the end stands for the tail.
    burst.begin = begin_;
    burst.end = end;
    burst.key = result == kSuccess ? work_.key : 0;
    burst.units = work_.units;
    pushed = Push(flight, burst);
    Owe(0);
  }
  if (!pushed) {
    GiveEvents(burst);
  }
  // It may have fallen asleep while we waited.
  Watch(card_);
  errno = kept;
  return result;
}

namespace {

// Who synchronises after each launch must not ring at each: the watch does soon enough.
constexpr uint64_t kRingEveryNs = 500 * kMicro;
constinit std::atomic<uint64_t> rung_ns{0};

// Whether the lane's credit outlives the drain: its grant goes on, and the agent was told lately.
bool MayPark(const Lane& lane, uint64_t now_ns) {
  const region::ComputeGrant& grant = GrantOf(lane.card.load(std::memory_order_relaxed));
  const uint32_t word = grant.word.load(std::memory_order_relaxed);
  return region::ModeOf(word) == region::GrantMode::kRun &&
         word == lane.grant.load(std::memory_order_relaxed) &&
         now_ns < grant.until_ns.load(std::memory_order_relaxed) &&
         now_ns - rung_ns.load(std::memory_order_relaxed) < kRingEveryNs;
}

void AskWhatIsDone(Flight& flight, uint64_t now_ns) {
  constexpr int kAskTries = 10;
  for (int tries = 0; tries < kAskTries && !Settle(flight, now_ns); ++tries) {
    sched_yield();
  }
}

// One stream of a share with one card, its grant going on. False: everything has to be looked at.
bool AfterBriefDrain(uintptr_t stream, uint64_t now_ns) {
  Lane& lane = LaneFor(*thread_lanes, stream);
  if (!HasLanes() || stream == 0 || lane.stream.load(std::memory_order_relaxed) != stream ||
      !MayPark(lane, now_ns)) {
    return false;
  }
  Flight& flight = FlightOf(lane.card.load(std::memory_order_relaxed));
  if (lane.credit_ns.load(std::memory_order_relaxed) == kParked || ParkAlone(lane, flight)) {
    return true;
  }
  {
    const FlightHold hold(flight);
    Park(lane, flight, now_ns);
  }
  AskWhatIsDone(flight, now_ns);
  return true;
}

}  // namespace

void AfterDrain(uintptr_t stream) {
  const uint64_t now = NowNs();
  if (AfterBriefDrain(stream, now)) {
    return;
  }
  const Card card = CardOfThread();
  if (card < 0) {
    return;
  }
  const int kept = errno;
  Flight& flight = FlightOf(card);
  for (Lane& lane : thread_lanes->lanes) {
    if (!HasLanes() || lane.card.load(std::memory_order_relaxed) != card ||
        (stream != 0 && lane.stream.load(std::memory_order_relaxed) != stream)) {
      continue;
    }
    const FlightHold hold(flight);
    if (const uint64_t tail = CloseLane(lane, flight, now); tail > 0) {
      Finish(flight, tail, now);
    }
  }
  AskWhatIsDone(flight, now);
  const uint32_t word = GrantOf(card).word.load(std::memory_order_relaxed);
  if (region::ModeOf(word) == region::GrantMode::kWait ||
      now - rung_ns.load(std::memory_order_relaxed) >= kRingEveryNs) {
    rung_ns.store(now, std::memory_order_relaxed);
    if (TellIfDone(flight, word)) {
      Ring();
    }
  }
  errno = kept;
}

void AfterQuery() {
  const Card card = CardOfThread();
  if (card < 0) {
    return;
  }
  const int kept = errno;
  const OutsideCaptures outside;
  // The default streams are always there to be asked; another handle may be gone by now.
  for (const uintptr_t stream : {kLegacyStream, kPerThreadDefault}) {
    const Lane& lane = LaneFor(*thread_lanes, stream);
    if (lane.stream.load(std::memory_order_relaxed) == stream &&
        lane.grant.load(std::memory_order_relaxed) != kNoGrant &&
        captures_active.load(std::memory_order_relaxed) == 0 &&
        Cuda(Call::k_cuStreamQuery, reinterpret_cast<CUstream>(stream)) == kSuccess) {
      AfterDrain(stream);
    }
  }
  Settle(FlightOf(card), NowNs());
  errno = kept;
}

void ForgetGate() {
  ForgetLanes();
  ForgetMarks();
  only_grant.store(nullptr, std::memory_order_relaxed);
  ForgetFlights();
  ForgetWatch();
}

}  // namespace sluice::shim
