// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "simgpu/scene.h"

// The layout of `device.map`: the cards as all processes of the machine share them. A file of
// zeroes is a valid empty map. There is no total and no lock word in it. Memory: a process writes
// only into its own slot, a card's use is the sum over slots, and so a process that dies at any
// instruction leaves nothing half done. Work: whoever wants to know how far a lane is moves its
// schedule up to now, under a POSIX record lock on the lane's byte; who dies in the middle leaves
// at most one stretch counted twice. Who is alive is known by such a lock on the slot's own byte.
// The kernel drops these locks with the process (and names their holder in the asker's pid
// namespace).
namespace sluice::simgpu {

inline constexpr uint64_t kMapVersion = 0x534c4d4150303035;  // "SLMAP005"
inline constexpr int kSlots = 1024;
// What has memory and work of its own: the whole cards by their position in the scene, then the
// parts of all cards in order.
inline constexpr int kUnits = kCardsMax + kPartsMax;
inline constexpr int kSamples = 8;        // Ring per process and card.
inline constexpr int kCardSamples = 128;  // Ring per card.
enum CheckpointState : uint32_t { kCheckpointRunning, kCheckpointLocked, kCheckpointed, kFailed };

// The parts of a card that work side by side.
enum class Lane : int { kKernel, kCopyIn, kCopyOut };
inline constexpr int kLanes = 3;
inline constexpr int kSpans = 16;                  // Ring per process and lane.
inline constexpr int64_t kSampleNs = 166'666'667;  // One bucket, a sixth of a second.

struct alignas(64) SlotInfo {
  std::atomic<uint32_t> pid;          // As its own namespace numbers it; 0: free.
  std::atomic<uint32_t> generation;   // Raised by every taker.
  std::atomic<uint64_t> start_ticks;  // Field 22 of /proc/self/stat: tells a reused pid.
  char name[16];                      // comm; may be torn, readers bound it.
  std::atomic<uint32_t> checkpoint;   // A CheckpointState, set by whoever suspends the process.
  std::atomic<uint32_t> hindrances;   // Blocks that forbid a checkpoint: managed, shared.
};

// A while in which a process had a lane. `served_ns` is less than the while's length only when the
// ring was full and stretches had to be joined.
struct Span {
  int64_t from_ns;
  int64_t to_ns;
  int64_t served_ns;
};

// A process's work in one lane. `demand_ns` is its owner's to write; the rest is whose lock it is.
struct LaneUse {
  std::atomic<int64_t> demand_ns;  // Handed in since the process began…
  std::atomic<int64_t> served_ns;  // …and of this done: for kernels the process's true busy time.
  uint32_t span_count;             // Ever written to the ring…
  uint32_t span_taken;             // …and taken by the owner.
  Span spans[kSpans];
};

// How far a lane's schedule was moved.
struct LaneState {
  std::atomic<int64_t> fixed_ns;
  std::atomic<int64_t> idle_from_ns;  // Since when nobody has work, up to `fixed_ns`.
  std::atomic<int64_t> busy_ns;       // Of all processes, also of dead ones.
  int32_t turn_slot;                  // Plus 1, so that zeroes mean nobody.
  int32_t parties;                    // With work when it was moved last.
  int64_t turn_left_ns;
};

// One sample: bucket number in the high 32 bits, busy microseconds in the low.
struct CardUse {
  std::atomic<uint64_t> memory[kSlots];  // Bytes, contexts included.
  std::atomic<uint32_t> contexts[kSlots];
  std::atomic<uint64_t> saved[kSlots];           // What a checkpoint took off the card…
  std::atomic<uint32_t> saved_contexts[kSlots];  // …and a restore puts back.
  std::atomic<uint64_t> samples[kSlots][kSamples];
  std::atomic<uint64_t> card_samples[kCardSamples];
  LaneState lanes[kLanes];
  LaneUse work[kSlots][kLanes];
  std::atomic<uint64_t> memory_peak;  // The most that living processes ever held together.
};

struct MapFile {
  std::atomic<uint64_t> version;     // 0 in a fresh file, then kMapVersion.
  std::atomic<uint32_t> slots_used;  // Highest slot ever taken + 1.
  std::atomic<int64_t> clock_ns;     // Of a scene with a virtual clock.
  char pad[4096 - 24];
  SlotInfo slots[kSlots];
  CardUse cards[kUnits];
};

static_assert(sizeof(SlotInfo) == 64);
static_assert(sizeof(std::atomic<uint64_t>) == 8 && std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(Span) == 24 && sizeof(LaneUse) == 24 + 24 * kSpans);
static_assert(offsetof(MapFile, slots) == 4096);
static_assert(offsetof(MapFile, cards) == 4096 + 64 * 1024);

}  // namespace sluice::simgpu
