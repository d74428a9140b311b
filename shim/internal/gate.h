// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/internal/abi.h"
#include "shim/internal/driver.h"
#include "shim/internal/lanes.h"
#include "shim/internal/meter.h"
#include "shim/internal/process.h"
#include "shim/region.h"

// The compute gate: what a launch passes before it goes to the driver. The agent's arbiter says in
// the policy whether the card is this share's now (a grant); a thread takes credit in nanoseconds
// of work from what the grant allows to be in flight, and then spends it launch by launch without
// touching anything that is shared. Without credit it asks the driver what is done, waits for its
// turn, and takes new credit. Through an open gate it is the same without the waiting, so that it
// is known what is in flight when the gate closes.
//
// A launch never waits while its stream is captured, where the driver does not serve the thread (a
// host callback), or under a lock of ours; and never for ever: without a sign of the agent for
// region::kAgentSilentMs the share paces itself to its own guarantee by the ledger. A grant that
// was open stays open then: nobody can have been placed on the card since.
namespace sluice::shim {

// Streams as the gate tells them apart: the handle, where 1 is the legacy default stream and 2 the
// thread's own one, as the driver's API numbers them.
inline constexpr uintptr_t kLegacyStream = 1;
inline constexpr uintptr_t kPerThreadDefault = 2;

struct Work {
  uintptr_t stream;
  uint64_t key;  // What it is: see meter.h.
  uint64_t units = 1;
  uint64_t guess_ns = kUnknownLaunchNs;  // Of one unit, until the meter knows better.
  bool returns_done = false;             // The driver's call comes back when the work is done.
};

// Card 0's grant when the share has one card; no_grant outside a share; nullptr: not known yet, or
// several cards.
extern constinit std::atomic<const std::atomic<uint32_t>*> only_grant;
extern constinit const std::atomic<uint32_t> no_grant;

[[gnu::always_inline]] inline bool Spend(Lane& lane, uint32_t word, const Work& work) {
  if (lane.grant.load(std::memory_order_relaxed) != word ||
      lane.stream.load(std::memory_order_relaxed) != work.stream ||
      captures_active.load(std::memory_order_relaxed) != 0) {
    return false;
  }
  const auto cost = static_cast<int64_t>(KnownCost(work.key) * work.units);
  const int64_t credit = lane.credit_ns.load(std::memory_order_relaxed);
  if (cost == 0 || credit < cost) {
    return false;
  }
  lane.credit_ns.store(credit - cost, std::memory_order_relaxed);
  return true;
}

// The fast path: whether the work may go to the driver with nothing more to do.
[[gnu::always_inline]] inline bool MayGo(const Work& work) {
  const std::atomic<uint32_t>* const grant = only_grant.load(std::memory_order_relaxed);
  if (grant == nullptr) {
    return false;
  }
  return grant == &no_grant ||
         Spend(LaneFor(*thread_lanes, work.stream), grant->load(std::memory_order_acquire), work);
}

// The same a little later: with the credit that was left when the stream was drained.
bool Resume(const Work& work);

// The slow path: waits for the turn, and after the driver's call says what was launched.
class Turn {
 public:
  explicit Turn(const Work& work);
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  CUresult Finish(CUresult result);

 private:
  void Admit();
  void EndBefore(Lane& lane);
  uint64_t GuessNs() const;
  void Owe(uint64_t ns) const;
  bool CountLoosely(Lane& lane, uint32_t word);
  void TakeOpen(Lane& lane, uint32_t word, uint64_t now_ns);
  bool TryTake(Lane& lane, uint32_t word, uint64_t now_ns);
  void Reserve(Lane& lane, uint32_t word, int64_t credit_ns, uint64_t now_ns);
  void TakePaced();
  void PushTail();
  void BeginSample(Lane& lane);
  bool Record(CUevent event) const;

  Work work_;
  Card card_ = kNotShared;  // ≥ 0: there is something to say afterwards.
  uint64_t cost_ns_ = 0;
  uint64_t tail_ns_ = 0;  // Launched before on this stream, with no event after it yet.
  uint64_t since_ns_ = 0;
  bool sampled_ = false;
  bool waited_ = false;
  CUcontext context_ = nullptr;
  CUevent begin_ = nullptr;
};

// Makes the driver's call, or what stands for it, with the vendor's arguments.
struct CallDriver {
  template <typename... A>
  static CUresult Do(Call call, A... a) {
    return Cuda(call, a...);
  }
};

// Apart, and with everything by value, so that the fast path below keeps nothing on its stack and
// ends in a jump to the driver.
template <typename Launch, typename... A>
[[gnu::noinline]] CUresult TakeTurn(Work work, Call call, A... a) {
  if (Resume(work)) {
    return Launch::Do(call, a...);
  }
  Turn turn(work);
  return turn.Finish(Launch::Do(call, a...));
}

template <typename Launch = CallDriver, typename... A>
[[gnu::always_inline]] inline CUresult Gated(const Work& work, Call call, A... a) {
  return MayGo(work) ? Launch::Do(call, a...) : TakeTurn<Launch>(work, call, a...);
}

// After the driver said that all work of the stream (0: of the thread's context) is done.
void AfterDrain(uintptr_t stream);
// The same where it is only worth a look.
void AfterQuery();

// Whether a gate may be closed to this process: what is drained is told at once then, and otherwise
// seen when the gate closes.
inline bool IsGated() {
  const std::atomic<uint32_t>* const grant = only_grant.load(std::memory_order_relaxed);
  return grant == nullptr ||
         region::ModeOf(grant->load(std::memory_order_relaxed)) != region::GrantMode::kOpen;
}

// In a forked child.
void ForgetGate();

}  // namespace sluice::shim
