// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "simgpu/internal/device_map.h"

// The run queues in the map: each lane's schedule is moved up to now by whoever needs to know, so
// nobody has to be awake for a card to work. What a process wrote there is bounded when read.
namespace sluice::simgpu {
namespace {

constexpr int64_t kSliceNs = 1'000'000;
constexpr int64_t kBacklogNsMax = int64_t{86'400} * 1'000'000'000;
constexpr int64_t kFarNs = 10'000'000'000;  // A schedule that is ahead by more is noise.
constexpr int kStretchesMax = 20'000;       // In one move, so that a long gap is not a long wait.

void AddSample(std::atomic<uint64_t>& word, int64_t bucket, int64_t busy_ns) {
  auto number = static_cast<uint32_t>(bucket);
  uint64_t old = word.load(std::memory_order_relaxed);
  uint64_t now = 0;
  do {
    uint64_t busy = (old >> 32) == number ? (old & 0xffffffff) : 0;
    now = (uint64_t{number} << 32) |
          std::min<uint64_t>(busy + static_cast<uint64_t>(busy_ns), 0xffffffff);
  } while (!word.compare_exchange_weak(old, now, std::memory_order_relaxed));
}

// Appends to the ring; joins with the last one when they touch or there is no room.
void AddSpan(LaneUse& work, const Stretch& stretch) {
  int64_t run_ns = stretch.to_ns - stretch.from_ns;
  uint32_t waiting = work.span_count - work.span_taken;
  if (waiting > kSpans) {  // Noise.
    work.span_taken = work.span_count;
    waiting = 0;
  }
  if (waiting > 0) {
    Span& last = work.spans[(work.span_count - 1) % kSpans];
    bool touches = last.to_ns == stretch.from_ns && last.served_ns == last.to_ns - last.from_ns;
    if (touches || waiting == kSpans) {
      last.to_ns = stretch.to_ns;
      last.served_ns += run_ns;
      return;
    }
  }
  work.spans[work.span_count % kSpans] = {stretch.from_ns, stretch.to_ns, run_ns};
  ++work.span_count;
}

}  // namespace

int64_t DeviceMap::Now() const {
  return virtual_clock_ ? file_->clock_ns.load() : MonotonicNs();
}

void DeviceMap::AdvanceClockTo(int64_t now_ns) {
  int64_t old = file_->clock_ns.load();
  while (old < now_ns && !file_->clock_ns.compare_exchange_weak(old, now_ns)) {
  }
}

LaneUse& DeviceMap::WorkOf(LaneId lane, int slot) const {
  return file_->cards[lane.card].work[slot][static_cast<int>(lane.lane)];
}

LaneState& DeviceMap::StateOf(LaneId lane) const {
  return file_->cards[lane.card].lanes[static_cast<int>(lane.lane)];
}

void DeviceMap::LockLane(LaneId lane, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = kSlots + 1 + lane.card * kLanes + static_cast<int>(lane.lane);
  lock.l_len = 1;
  // A caller without signals blocked may be interrupted. Any other failure (no locks left in the
  // kernel) is borne: wrong numbers rather than a card that stands still.
  while (::fcntl(fd_, F_SETLKW, &lock) != 0 && errno == EINTR) {
  }
}

std::vector<Party> DeviceMap::PartiesOf(LaneId lane) {
  std::vector<Party> parties;
  int used = SlotsUsed();
  for (int slot = 0; slot < used; ++slot) {
    const LaneUse& work = WorkOf(lane, slot);
    int64_t served = work.served_ns.load();
    int64_t demand = work.demand_ns.load();
    if (demand <= served || served < 0) continue;
    if (slot != slot_ && ReclaimIfDead(slot)) continue;
    parties.push_back({slot, std::min(demand - served, kBacklogNsMax)});
  }
  return parties;
}

void DeviceMap::AddBusy(int card, const Stretch& stretch) {
  int64_t from_ns = stretch.from_ns;
  CardUse& use = file_->cards[card];
  while (from_ns < stretch.to_ns) {
    int64_t bucket = from_ns / kSampleNs;
    int64_t end_ns = std::min(stretch.to_ns, (bucket + 1) * kSampleNs);
    auto number = static_cast<uint32_t>(bucket);
    AddSample(use.samples[stretch.slot][number % kSamples], bucket, end_ns - from_ns);
    AddSample(use.card_samples[number % kCardSamples], bucket, end_ns - from_ns);
    from_ns = end_ns;
  }
}

void DeviceMap::Serve(LaneId lane, const Stretch& stretch) {
  LaneUse& work = WorkOf(lane, stretch.slot);
  AddSpan(work, stretch);
  work.served_ns.fetch_add(stretch.to_ns - stretch.from_ns);
  if (lane.lane != Lane::kKernel) return;
  // Only what readers can still see.
  constexpr int64_t kSeenNs = kSampleNs * kCardSamples;
  AddBusy(lane.card,
          {stretch.slot, std::max(stretch.from_ns, stretch.to_ns - kSeenNs), stretch.to_ns});
}

void DeviceMap::Move(LaneId lane, int64_t now_ns) {
  LaneState& state = StateOf(lane);
  int64_t at = state.fixed_ns.load();
  if (at > now_ns + kFarNs || at < 0) at = now_ns;
  std::vector<Party> parties = PartiesOf(lane);
  state.parties = static_cast<int32_t>(parties.size());
  if (!parties.empty()) {
    int64_t slice_ns = std::max(kSliceNs, (now_ns - at) / kStretchesMax);
    int64_t left_ns = std::clamp<int64_t>(state.turn_left_ns, 0, slice_ns);
    RunQueue queue(std::move(parties), {state.turn_slot - 1, left_ns}, slice_ns);
    Stretch stretch;
    while (queue.Next(at, now_ns, stretch)) {
      Serve(lane, stretch);
      state.busy_ns.fetch_add(stretch.to_ns - stretch.from_ns);
      at = stretch.to_ns;
      state.fixed_ns.store(at);
      state.idle_from_ns.store(at);
    }
    state.turn_slot = queue.turn().slot + 1;
    state.turn_left_ns = queue.turn().left_ns;
  }
  state.fixed_ns.store(std::max(at, now_ns));
}

void DeviceMap::AddWork(LaneId lane, int64_t work_ns, int64_t ready_ns) {
  LaneUse& own = WorkOf(lane, slot_);
  LaneState& state = StateOf(lane);
  // Work that surely continues work needs no lock. Read in this order, the difference is at most
  // what is really left.
  int64_t fixed_ns = state.fixed_ns.load();
  int64_t left_ns = own.demand_ns.load() - own.served_ns.load() - (Now() - fixed_ns);
  if (left_ns > 0) {
    own.demand_ns.fetch_add(work_ns);
    return;
  }
  LockLane(lane, F_WRLCK);
  int64_t now_ns = Now();
  Move(lane, now_ns);
  bool idle = PartiesOf(lane).empty();
  own.demand_ns.fetch_add(work_ns);
  if (idle) {
    int64_t begin_ns = std::clamp(ready_ns, std::min(state.idle_from_ns.load(), now_ns), now_ns);
    state.fixed_ns.store(begin_ns);
    state.idle_from_ns.store(begin_ns);
    Move(lane, now_ns);
  }
  LockLane(lane, F_UNLCK);
}

int DeviceMap::TakeSpans(LaneId lane, std::deque<Span>& spans) {
  LaneUse& own = WorkOf(lane, slot_);
  LockLane(lane, F_WRLCK);
  Move(lane, Now());
  uint32_t count = own.span_count;
  if (count - own.span_taken > kSpans) own.span_taken = count;  // Noise.
  for (uint32_t i = own.span_taken; i != count; ++i) spans.push_back(own.spans[i % kSpans]);
  own.span_taken = count;
  int parties = StateOf(lane).parties;
  LockLane(lane, F_UNLCK);
  return parties;
}

int64_t DeviceMap::Forecast(LaneId lane, int64_t ahead_ns, int64_t until_ns) {
  LockLane(lane, F_WRLCK);
  const LaneState& state = StateOf(lane);
  int64_t at = state.fixed_ns.load();
  RunQueue queue(PartiesOf(lane), {state.turn_slot - 1, state.turn_left_ns}, kSliceNs);
  LockLane(lane, F_UNLCK);
  Stretch stretch;
  while (ahead_ns > 0 && queue.Next(at, until_ns, stretch)) {
    at = stretch.to_ns;
    if (stretch.slot != slot_) continue;
    int64_t run_ns = stretch.to_ns - stretch.from_ns;
    if (run_ns >= ahead_ns) return stretch.from_ns + ahead_ns;
    ahead_ns -= run_ns;
  }
  return ahead_ns <= 0 ? at : until_ns;
}

int64_t DeviceMap::BusyNs(LaneId lane,
                          const std::vector<int>& slots,
                          std::vector<int64_t>& busy_ns) {
  LockLane(lane, F_WRLCK);
  Move(lane, Now());
  for (int slot : slots) busy_ns.push_back(WorkOf(lane, slot).served_ns.load());
  int64_t all_ns = StateOf(lane).busy_ns.load();
  LockLane(lane, F_UNLCK);
  return all_ns;
}

}  // namespace sluice::simgpu
