// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/device_map.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::simgpu {
namespace {

struct flock SlotLock(short type, int slot) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = slot;
  lock.l_len = 1;
  return lock;
}

void ReadOwnName(char (&name)[16]) {
  std::memset(name, 0, sizeof(name));
  FILE* file = std::fopen("/proc/self/comm", "re");
  if (file == nullptr) return;
  size_t got = std::fread(name, 1, sizeof(name) - 1, file);
  std::fclose(file);
  if (got > 0 && name[got - 1] == '\n') name[got - 1] = '\0';
}

}  // namespace

Result<DeviceMap> DeviceMap::Map(const std::string& folder) {
  std::string path = folder + "/" + kMapFile;
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  struct stat found {};
  // Growing an already full-size file changes nothing, so racing makers do no harm.
  bool ok = fd >= 0 && ::fstat(fd, &found) == 0 &&
            (found.st_size >= static_cast<off_t>(sizeof(MapFile)) ||
             ::ftruncate(fd, sizeof(MapFile)) == 0);
  void* memory =
      ok ? ::mmap(nullptr, sizeof(MapFile), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (memory == MAP_FAILED) {
    std::string why = std::strerror(errno);
    if (fd >= 0) ::close(fd);
    return Fail(Code::kUnavailable, "cannot map " + path + ": " + why);
  }
  auto* file = static_cast<MapFile*>(memory);
  uint64_t version = 0;
  if (!file->version.compare_exchange_strong(version, kMapVersion) && version != kMapVersion) {
    ::munmap(memory, sizeof(MapFile));
    ::close(fd);
    return Fail(Code::kUnavailable, path + " was made by another version of Sluice");
  }
  return DeviceMap(fd, file);
}

Result<DeviceMap> DeviceMap::Open(const std::string& folder) {
  auto map = Map(folder);
  if (map && !map->TakeSlot()) {
    return Fail(Code::kResourceExhausted,
                folder + "/" + kMapFile + ": more than 1024 processes use the cards");
  }
  return map;
}

Result<DeviceMap> DeviceMap::Watch(const std::string& folder) {
  return Map(folder);
}

bool DeviceMap::TakeSlot() {
  for (int slot = 0; slot < kSlots; ++slot) {
    struct flock lock = SlotLock(F_WRLCK, slot);
    if (::fcntl(fd_, F_SETLK, &lock) != 0) continue;
    slot_ = slot;
    ClearSlot(slot);
    SlotInfo& info = file_->slots[slot];
    ReadOwnName(info.name);
    info.start_ticks.store(OwnStartTicks());
    info.generation.fetch_add(1);
    info.pid.store(static_cast<uint32_t>(::getpid()));
    auto wanted = static_cast<uint32_t>(slot) + 1;
    uint32_t used = file_->slots_used.load();
    while (used < wanted && !file_->slots_used.compare_exchange_weak(used, wanted)) {
    }
    return true;
  }
  return false;
}

void DeviceMap::ClearSlot(int slot) {
  for (CardUse& card : file_->cards) {
    card.memory[slot].store(0);
    card.contexts[slot].store(0);
    card.saved[slot].store(0);
    card.saved_contexts[slot].store(0);
    for (LaneUse& work : card.work[slot]) {
      // Unused ones are not written, so that their pages never come into being.
      if (work.demand_ns.load() == 0 && work.served_ns.load() == 0) continue;
      work.demand_ns.store(0);
      work.served_ns.store(0);
      work.span_count = 0;
      work.span_taken = 0;
    }
    for (auto& sample : card.samples[slot]) sample.store(0);
  }
  file_->slots[slot].checkpoint.store(kCheckpointRunning);
  file_->slots[slot].hindrances.store(0);
  file_->slots[slot].pid.store(0);
}

int DeviceMap::SlotsUsed() const {
  return static_cast<int>(std::min<uint32_t>(file_->slots_used.load(), kSlots));
}

uint64_t DeviceMap::Sum(int card) const {
  uint64_t sum = 0;
  int used = SlotsUsed();
  for (int slot = 0; slot < used; ++slot) sum += file_->cards[card].memory[slot].load();
  return sum;
}

// Whoever clears a dead one's slot holds its lock, too.
bool DeviceMap::IsAlive(int slot) const {
  struct flock lock = SlotLock(F_WRLCK, slot);
  return slot == slot_ || (::fcntl(fd_, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
                           static_cast<uint32_t>(lock.l_pid) == file_->slots[slot].pid.load());
}

// The slots are read one by one: what two readings agree on was so at an instant between them, and
// whoever lives after that lived then.
void DeviceMap::RaisePeak(int card) {
  const std::atomic<uint64_t>(&memory)[kSlots] = file_->cards[card].memory;
  constexpr int kTries = 16;
  for (int tries = 0; tries < kTries; ++tries) {
    std::array<uint64_t, kSlots> seen{};
    const int used = SlotsUsed();
    for (int slot = 0; slot < used; ++slot) seen[static_cast<size_t>(slot)] = memory[slot].load();
    uint64_t sum = 0;
    bool same = true;
    for (int slot = 0; slot < used; ++slot) {
      same = same && memory[slot].load() == seen[static_cast<size_t>(slot)];
      sum += seen[static_cast<size_t>(slot)];
    }
    std::atomic<uint64_t>& peak = file_->cards[card].memory_peak;
    uint64_t before = peak.load();
    if (sum <= before) return;
    for (int slot = 0; slot < used && same; ++slot) {
      same = seen[static_cast<size_t>(slot)] == 0 || IsAlive(slot);
    }
    if (!same) {
      ReclaimDead();
      continue;
    }
    while (before < sum && !peak.compare_exchange_weak(before, sum)) {
    }
    return;
  }
}

int64_t DeviceMap::Peak(int card) const {
  return static_cast<int64_t>(file_->cards[card].memory_peak.load());
}

bool DeviceMap::TryCharge(int card, uint64_t bytes, uint64_t capacity) {
  std::atomic<uint64_t>& own = file_->cards[card].memory[slot_];
  // Add first, then look: of two that race for the last bytes the later one sees both, so the card
  // is never overfull.
  own.fetch_add(bytes);
  const uint64_t sum = Sum(card);
  if (sum <= capacity) {
    if (sum > file_->cards[card].memory_peak.load()) RaisePeak(card);
    return true;
  }
  own.fetch_sub(bytes);
  return false;
}

bool DeviceMap::Charge(int card, int64_t bytes, int64_t capacity) {
  auto wanted = static_cast<uint64_t>(bytes);
  auto most = static_cast<uint64_t>(capacity);
  if (TryCharge(card, wanted, most)) return true;
  // Full, or full of what the dead left, or of what another process is about to take back: one
  // process at a time looks closer. The lock is the kernel's, so it ends with its holder.
  static std::mutex threads;
  std::lock_guard lock(threads);
  struct flock arbiter = SlotLock(F_WRLCK, kSlots);
  if (::fcntl(fd_, F_SETLKW, &arbiter) != 0) return false;
  ReclaimDead();
  constexpr int kTries = 16;
  bool charged = false;
  for (int tries = 0; tries < kTries && !charged; ++tries) {
    charged = TryCharge(card, wanted, most);
    if (!charged) ::sched_yield();
  }
  arbiter = SlotLock(F_UNLCK, kSlots);
  ::fcntl(fd_, F_SETLK, &arbiter);
  return charged;
}

void DeviceMap::Uncharge(int card, int64_t bytes) {
  file_->cards[card].memory[slot_].fetch_sub(static_cast<uint64_t>(bytes));
}

int64_t DeviceMap::Used(int card, int64_t capacity) {
  ReclaimDead();
  return static_cast<int64_t>(std::min(Sum(card), static_cast<uint64_t>(capacity)));
}

void DeviceMap::AddContexts(int card, int change) {
  file_->cards[card].contexts[slot_].fetch_add(static_cast<uint32_t>(change));
}

bool DeviceMap::ReclaimIfDead(int slot) {
  struct flock lock = SlotLock(F_WRLCK, slot);
  if (::fcntl(fd_, F_SETLK, &lock) != 0) return false;  // Alive.
  ClearSlot(slot);
  lock = SlotLock(F_UNLCK, slot);
  ::fcntl(fd_, F_SETLK, &lock);
  return true;
}

void DeviceMap::ReclaimDead() {
  int used = SlotsUsed();
  for (int slot = 0; slot < used; ++slot) {
    if (slot != slot_ && file_->slots[slot].pid.load() != 0) ReclaimIfDead(slot);
  }
}

}  // namespace sluice::simgpu
