// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "simgpu/scene.h"

// The layout of `device.map`: the cards as all processes of the machine share them. A file of
// zeroes is a valid empty map. There is no total and no lock word in it: a process writes only into
// its own slot, a card's use is the sum over slots, and so a process that dies at any instruction
// leaves nothing half done. Who is alive is known by a POSIX record lock on the slot's own byte,
// which the kernel drops with the process (and whose holder it names in the asker's pid namespace).
namespace sluice::simgpu {

inline constexpr uint64_t kMapVersion = 0x534c4d4150303032;  // "SLMAP002"
inline constexpr int kSlots = 1024;
inline constexpr int kSamples = 8;                 // Ring per process and card.
inline constexpr int kCardSamples = 128;           // Ring per card.
inline constexpr int64_t kSampleNs = 166'666'667;  // One bucket, a sixth of a second.

struct alignas(64) SlotInfo {
  std::atomic<uint32_t> pid;          // As its own namespace numbers it; 0: free.
  std::atomic<uint32_t> generation;   // Raised by every taker.
  std::atomic<uint64_t> start_ticks;  // Field 22 of /proc/self/stat: tells a reused pid.
  char name[16];                      // comm; may be torn, readers bound it.
};

// One sample: bucket number in the high 32 bits, busy microseconds in the low.
struct CardUse {
  std::atomic<uint64_t> memory[kSlots];  // Bytes, contexts included.
  std::atomic<uint32_t> contexts[kSlots];
  std::atomic<uint64_t> running[kSlots];  // 1 while the process has work on the card.
  std::atomic<uint64_t> samples[kSlots][kSamples];
  std::atomic<uint64_t> card_samples[kCardSamples];
};

struct MapFile {
  std::atomic<uint64_t> version;     // 0 in a fresh file, then kMapVersion.
  std::atomic<uint32_t> slots_used;  // Highest slot ever taken + 1.
  char pad[4096 - 12];
  SlotInfo slots[kSlots];
  CardUse cards[kCardsMax];
};

static_assert(sizeof(SlotInfo) == 64);
static_assert(sizeof(std::atomic<uint64_t>) == 8 && std::atomic<uint64_t>::is_always_lock_free);
static_assert(offsetof(MapFile, slots) == 4096);
static_assert(offsetof(MapFile, cards) == 4096 + 64 * 1024);

}  // namespace sluice::simgpu
