// SPDX-License-Identifier: Apache-2.0
#include "shim/region.h"

#include <fcntl.h>

#include "shim/internal/points.h"

// Of <fcntl.h> under _GNU_SOURCE only.
#ifndef F_OFD_SETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

namespace sluice::region {
namespace {

// Marks the operation that the word names as applied, if nobody has yet. Everybody does this
// before changing the word, so the named slot's next operation cannot have begun.
void Finish(LedgerPage& page, int device, uint64_t word) {
  std::atomic<uint64_t>& applied = page.slots[WordSlot(word)].devices[device].applied;
  uint64_t before = applied.load(std::memory_order_acquire);
  if (((before + 1) & 0x1fff) != WordOperation(word)) {
    return;
  }
  // `before` was read before this look at the word. While the word stands, that operation is the
  // card's last one; if it moved on, whoever moved it has finished this one.
  if (page.devices[device].word.load(std::memory_order_acquire) != word) {
    return;
  }
  applied.compare_exchange_strong(before, before + 1, std::memory_order_acq_rel);
}

struct Change {
  uint64_t add;
  uint64_t take;
  uint64_t room;
};

// One operation. Returns false, with nothing changed, when the total would pass the room.
bool Operate(const Account& account, const Change& change) {
  LedgerPage& page = *account.page;
  std::atomic<uint64_t>& word = page.devices[account.device].word;
  SlotDevice& mine = page.slots[account.slot].devices[account.device];
  // The own last operation may still be unmarked: its process may have died just then.
  uint64_t seen = word.load(std::memory_order_acquire);
  Finish(page, account.device, seen);

  const uint64_t applied = mine.applied.load(std::memory_order_acquire);
  const uint64_t held = mine.charged[applied & 1].load(std::memory_order_acquire);
  const uint64_t take = change.take < held ? change.take : held;
  mine.charged[(applied + 1) & 1].store(held + change.add - take, std::memory_order_release);
  SLUICE_POINT("cell");

  seen = word.load(std::memory_order_acquire);
  uint64_t wanted = 0;
  do {
    Finish(page, account.device, seen);
    const uint64_t bytes = WordBytes(seen);
    if (change.add > 0 && (change.add > change.room || bytes > change.room - change.add)) {
      return false;
    }
    const uint64_t after = bytes + change.add - (take < bytes ? take : bytes);
    wanted = Pack(
        after < kBytesMax ? after : kBytesMax, static_cast<uint32_t>(account.slot), applied + 1);
  } while (!word.compare_exchange_weak(
      seen, wanted, std::memory_order_acq_rel, std::memory_order_acquire));
  SLUICE_POINT("word");
  Finish(page, account.device, wanted);
  return true;
}

struct flock ByteLock(int kind, int byte) {
  struct flock lock = {};
  lock.l_type = static_cast<short>(kind);
  lock.l_whence = 0;  // From the start of the file.
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool LockByte(int file, int slot) {
  struct flock lock = ByteLock(F_WRLCK, slot);
  return fcntl(file, F_OFD_SETLK, &lock) == 0;
}

// Requires: the slot's lock is held.
void Empty(LedgerPage& page, int slot) {
  Slot& dead = page.slots[slot];
  for (int device = 0; device < kDevicesMax; ++device) {
    const uint64_t held = Held(page, device, slot);
    if (held > 0) {
      Return({&page, device, slot}, held);
    }
    SlotDevice& work = dead.devices[device];
    work.context_bytes.store(0, std::memory_order_relaxed);
    work.waiting.store(0, std::memory_order_relaxed);
    work.submitted_ns.store(0, std::memory_order_relaxed);
    work.finished_ns.store(0, std::memory_order_relaxed);
    work.launch_ns.store(0, std::memory_order_relaxed);
  }
  SLUICE_POINT("emptied");
  dead.host_pid.store(0, std::memory_order_relaxed);
  dead.generation.fetch_add(1, std::memory_order_acq_rel);
  dead.pid.store(0, std::memory_order_release);
  page.taken[slot / 64].fetch_and(~(uint64_t{1} << slot % 64), std::memory_order_release);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

bool IsReadable(const PolicyPage& page) {
  return page.magic == kPolicyMagic && page.version == kVersion && page.device_count <= kDevicesMax;
}

bool IsReadable(const LedgerPage& page) {
  return page.magic == kLedgerMagic && page.version == kVersion && page.slot_count == kSlotCount;
}

int FindDevice(const PolicyPage& page, const uint8_t* uuid) {
  const uint32_t count = page.device_count < kDevicesMax ? page.device_count : kDevicesMax;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t same = 0;
    while (same < 16 && page.devices[i].uuid[same] == uuid[same]) {
      ++same;
    }
    if (same == 16) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

bool ParseUuid(const char* text, uint8_t* raw) {
  static constexpr char kShape[] = "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  int digits = 0;
  for (int i = 0; kShape[i] != '\0'; ++i) {
    if (kShape[i] != 'x') {
      if (text[i] != kShape[i]) {
        return false;
      }
      continue;
    }
    const int digit = HexDigit(text[i]);
    if (digit < 0) {
      return false;
    }
    const int high = digits % 2 == 0 ? digit << 4 : raw[digits / 2] | digit;
    raw[digits / 2] = static_cast<uint8_t>(high);
    ++digits;
  }
  return text[sizeof(kShape) - 1] == '\0';
}

uint64_t Room(const PolicyDevice& device) {
  if ((device.flags.load(std::memory_order_acquire) & kFlagRevoked) != 0) {
    return 0;
  }
  const uint64_t limit = device.memory_limit_bytes.load(std::memory_order_relaxed);
  const uint64_t overhead = device.overhead_bytes.load(std::memory_order_relaxed);
  const uint64_t room = limit > overhead ? limit - overhead : 0;
  return room < kBytesMax ? room : kBytesMax;
}

uint64_t Total(const LedgerPage& page, int device) {
  return WordBytes(page.devices[device].word.load(std::memory_order_acquire));
}

uint64_t Used(const PolicyDevice& policy, const LedgerPage& page, int device) {
  const uint64_t limit = policy.memory_limit_bytes.load(std::memory_order_relaxed);
  const uint64_t overhead = policy.overhead_bytes.load(std::memory_order_relaxed);
  const uint64_t total = Total(page, device);
  return overhead >= limit || total >= limit - overhead ? limit : total + overhead;
}

uint64_t Held(LedgerPage& page, int device, int slot) {
  Finish(page, device, page.devices[device].word.load(std::memory_order_acquire));
  const SlotDevice& mine = page.slots[slot].devices[device];
  return mine.charged[mine.applied.load(std::memory_order_acquire) & 1].load(
      std::memory_order_acquire);
}

bool Charge(const Account& account, uint64_t bytes, uint64_t room) {
  if (bytes == 0) {
    return true;
  }
  if (!Operate(account, {.add = bytes, .take = 0, .room = room < kBytesMax ? room : kBytesMax})) {
    return false;
  }
  LedgerDevice& card = account.page->devices[account.device];
  const uint64_t total = WordBytes(card.word.load(std::memory_order_relaxed));
  uint64_t peak = card.peak_bytes.load(std::memory_order_relaxed);
  while (total > peak &&
         !card.peak_bytes.compare_exchange_weak(peak, total, std::memory_order_relaxed)) {
  }
  return true;
}

void Return(const Account& account, uint64_t bytes) {
  if (bytes > 0) {
    Operate(account, {.add = 0, .take = bytes, .room = 0});
  }
}

void CountRefusal(LedgerPage& page, int device) {
  page.devices[device].refused.fetch_add(1, std::memory_order_relaxed);
}

int TakeSlot(LedgerPage& page, int file, uint32_t start, uint32_t pid) {
  for (uint32_t i = 0; i < kSlotCount; ++i) {
    const int slot = static_cast<int>((start + i) % kSlotCount);
    if (!LockByte(file, slot)) {
      continue;
    }
    SLUICE_POINT("slot");
    Empty(page, slot);
    page.taken[slot / 64].fetch_or(uint64_t{1} << slot % 64, std::memory_order_release);
    page.slots[slot].pid.store(pid, std::memory_order_release);
    struct flock lock = ByteLock(F_WRLCK, kSlotCount + slot);
    fcntl(file, F_SETLK, &lock);
    return slot;
  }
  page.turned_away.fetch_add(1, std::memory_order_relaxed);
  return -1;
}

bool ReclaimIfDead(LedgerPage& page, int file, int slot) {
  if (!LockByte(file, slot)) {
    return false;
  }
  Empty(page, slot);
  struct flock lock = ByteLock(F_UNLCK, slot);
  fcntl(file, F_OFD_SETLK, &lock);
  return true;
}

bool IsAlive(int file, int slot) {
  struct flock lock = ByteLock(F_WRLCK, slot);
  return fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int OwnerPid(int file, int slot) {
  struct flock lock = ByteLock(F_WRLCK, kSlotCount + slot);
  return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0 ? lock.l_pid
                                                                                      : 0;
}

int NextTaken(const LedgerPage& page, int from) {
  for (int slot = from; slot < kSlotCount; ++slot) {
    const uint64_t left = page.taken[slot / 64].load(std::memory_order_acquire) >> slot % 64;
    if (left == 0) {
      slot |= 63;
      continue;
    }
    return slot + __builtin_ctzll(left);
  }
  return -1;
}

}  // namespace sluice::region
