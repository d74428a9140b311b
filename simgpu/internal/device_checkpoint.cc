// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include "simgpu/internal/device_map.h"

// Processes that are taken off the cards and put back.
namespace sluice::simgpu {

CheckpointState DeviceMap::CheckpointOf(int slot) const {
  return static_cast<CheckpointState>(file_->slots[slot].checkpoint.load());
}

CheckpointState DeviceMap::checkpoint() const {
  return CheckpointOf(slot_);
}

uint32_t DeviceMap::HindrancesOf(int slot) const {
  return file_->slots[slot].hindrances.load();
}

void DeviceMap::AddHindrances(int change) {
  file_->slots[slot_].hindrances.fetch_add(static_cast<uint32_t>(change));
}

void DeviceMap::SetCheckpoint(int slot, CheckpointState state) {
  file_->slots[slot].checkpoint.store(state);
}

int DeviceMap::SlotOf(int64_t pid) {
  if (pid == ::getpid()) return slot_;
  int used = SlotsUsed();
  for (int slot = 0; slot < used; ++slot) {
    if (file_->slots[slot].pid.load() == 0) continue;
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = slot;
    lock.l_len = 1;
    bool held = ::fcntl(fd_, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (held && lock.l_pid == pid) return slot;
  }
  return -1;
}

bool DeviceMap::IsDrained(int slot) {
  for (int card = 0; card < kUnits; ++card) {
    for (int number = 0; number < kLanes; ++number) {
      LaneId lane{card, static_cast<Lane>(number)};
      const LaneUse& work = WorkOf(lane, slot);
      if (work.demand_ns.load() <= work.served_ns.load()) continue;
      LockLane(lane, F_WRLCK);
      Move(lane, Now());
      LockLane(lane, F_UNLCK);
      if (work.demand_ns.load() > work.served_ns.load()) return false;
    }
  }
  return true;
}

void DeviceMap::SaveSlot(int slot) {
  for (CardUse& card : file_->cards) {
    if (card.memory[slot].load() == 0 && card.contexts[slot].load() == 0) continue;
    card.saved[slot].store(card.memory[slot].exchange(0));
    card.saved_contexts[slot].store(card.contexts[slot].exchange(0));
  }
}

bool DeviceMap::RestoreSlot(int slot, const std::vector<int64_t>& capacities) {
  ReclaimDead();
  for (size_t i = 0; i < capacities.size(); ++i) {
    auto card = static_cast<int>(i);
    CardUse& use = file_->cards[card];
    uint64_t wanted = use.saved[slot].load();
    use.memory[slot].fetch_add(wanted);
    if (Sum(card) <= static_cast<uint64_t>(capacities[i])) continue;
    for (size_t undo = 0; undo <= i; ++undo) {
      CardUse& back = file_->cards[undo];
      back.memory[slot].fetch_sub(back.saved[slot].load());
    }
    return false;
  }
  for (CardUse& use : file_->cards) {
    if (use.saved_contexts[slot].load() == 0) continue;
    use.contexts[slot].store(use.saved_contexts[slot].exchange(0));
    use.saved[slot].store(0);
  }
  return true;
}

}  // namespace sluice::simgpu
