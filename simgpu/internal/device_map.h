// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "simgpu/internal/machine.h"

namespace sluice::simgpu {

// The map as a process with a slot of its own sees it. Thread-safe after Open; lives until the
// process ends (its descriptor holds the slot's lock).
class DeviceMap {
 public:
  // Maps the file (made if missing) and takes a free slot. Fails with kUnavailable, or
  // kResourceExhausted when kSlots processes are alive.
  static Result<DeviceMap> Open(const std::string& folder);

  // Adds `bytes` to this process's use unless the card would then hold more than `capacity`; dead
  // processes' memory is taken back before that is concluded. Returns whether it was added.
  bool Charge(int card, int64_t bytes, int64_t capacity);
  void Uncharge(int card, int64_t bytes);

  // Bytes that living processes hold on the card, at most `capacity`.
  int64_t Used(int card, int64_t capacity);

  void AddContexts(int card, int change);

  void SetRunning(int card, bool running);
  // Living or not yet reclaimed processes with work on the card, this one included if it has.
  int RunningCount(int card) const;
  // Adds a busy span, split over the sample buckets it touches.
  void AddBusy(int card, int64_t from_ns, int64_t to_ns);

  // Frees the slots of dead processes.
  void ReclaimDead();

  int slot() const { return slot_; }

 private:
  DeviceMap(int fd, MapFile* file) : fd_(fd), file_(file) {}

  bool TryCharge(int card, uint64_t bytes, uint64_t capacity);
  bool TakeSlot();
  void ClearSlot(int slot);
  uint64_t Sum(int card) const;
  int SlotsUsed() const;

  int fd_;
  MapFile* file_;
  int slot_ = -1;
};

}  // namespace sluice::simgpu
