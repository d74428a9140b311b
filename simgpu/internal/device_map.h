// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string>

#include "simgpu/internal/machine.h"
#include "simgpu/internal/run_queue.h"

namespace sluice::simgpu {

struct LaneId {
  int card = 0;
  Lane lane = Lane::kKernel;
};

// The map as a process with a slot of its own sees it. Thread-safe after Open; lives until the
// process ends (its descriptor holds the slot's lock).
// Except: the calls about a lane, one thread at a time.
class DeviceMap {
 public:
  // Maps the file (made if missing) and takes a free slot. Fails with kUnavailable, or
  // kResourceExhausted when kSlots processes are alive.
  static Result<DeviceMap> Open(const std::string& folder);

  // The same without a slot, to look at the work of others: AddWork, TakeSpans and Charge are not
  // for it. Requires: nothing in this process uses the cards otherwise.
  static Result<DeviceMap> Watch(const std::string& folder);

  // Adds `bytes` to this process's use unless the card would then hold more than `capacity`; dead
  // processes' memory is taken back before that is concluded. Returns whether it was added.
  bool Charge(int card, int64_t bytes, int64_t capacity);
  void Uncharge(int card, int64_t bytes);

  // Bytes that living processes hold on the card, at most `capacity`.
  int64_t Used(int card, int64_t capacity);

  // The most that living processes ever held on the card together.
  int64_t Peak(int card) const;

  void AddContexts(int card, int change);

  // Hands `work_ns` more to a lane. It begins when this process's turn comes; on an idle lane at
  // `ready_ns`, or when the lane became idle if that was later, even if that is past.
  void AddWork(LaneId lane, int64_t work_ns, int64_t ready_ns);
  // Moves the lane's schedule up to now and appends what this process got since the last call.
  // Returns how many processes have work in it.
  int TakeSpans(LaneId lane, std::deque<Span>& spans);
  // When this process will have got `ahead_ns` more than the schedule shows, if nobody else comes
  // or goes; `until_ns` if that is not before then.
  int64_t Forecast(LaneId lane, int64_t ahead_ns, int64_t until_ns);
  // Time that the processes in these slots had the lane, up to now and all at one instant. Returns
  // that of all processes, the dead too.
  int64_t BusyNs(LaneId lane, const std::vector<int>& slots, std::vector<int64_t>& busy_ns);

  // The machine's clock, or the one that only AdvanceClock moves.
  int64_t Now() const;
  void UseVirtualClock() { virtual_clock_ = true; }
  bool has_virtual_clock() const { return virtual_clock_; }
  // Never moves it back.
  void AdvanceClockTo(int64_t now_ns);

  // This process's own state as others set it, and what stands in the way of a checkpoint of it.
  CheckpointState checkpoint() const;
  void AddHindrances(int change);
  // The slot of a living process; -1: it uses no card.
  int SlotOf(int64_t pid);
  CheckpointState CheckpointOf(int slot) const;
  uint32_t HindrancesOf(int slot) const;
  // Whether all work that the process handed in is done, on all cards.
  bool IsDrained(int slot);
  void SetCheckpoint(int slot, CheckpointState state);
  // Takes a process off all cards, or puts it back; false: there is no room.
  void SaveSlot(int slot);
  bool RestoreSlot(int slot, const std::vector<int64_t>& capacities);

  // Frees the slots of dead processes.
  void ReclaimDead();

  int slot() const { return slot_; }

 private:
  DeviceMap(int fd, MapFile* file) : fd_(fd), file_(file) {}

  static Result<DeviceMap> Map(const std::string& folder);
  void LockLane(LaneId lane, short type);
  // All under the lane's lock.
  std::vector<Party> PartiesOf(LaneId lane);
  void Move(LaneId lane, int64_t now_ns);
  void Serve(LaneId lane, const Stretch& stretch);
  void AddBusy(int card, const Stretch& stretch);
  bool ReclaimIfDead(int slot);
  LaneUse& WorkOf(LaneId lane, int slot) const;
  LaneState& StateOf(LaneId lane) const;
  bool TryCharge(int card, uint64_t bytes, uint64_t capacity);
  bool TakeSlot();
  void ClearSlot(int slot);
  uint64_t Sum(int card) const;
  void RaisePeak(int card);
  bool IsAlive(int slot) const;
  int SlotsUsed() const;

  int fd_;
  MapFile* file_;
  int slot_ = -1;
  bool virtual_clock_ = false;
};

}  // namespace sluice::simgpu
