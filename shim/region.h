// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// What a share's processes and the agent hold in common: two files per share, mapped.
//
//   policy  written by the agent alone, read-only for the tenant: which cards, how much of each.
//   ledger  writable for the tenant: one exact total per card, and what each process holds.
//
// The ledger's total stays exact, byte for byte, after SIGKILL of any process at any instruction,
// and nobody ever waits for another process:
//
//   * A card's total is one 64-bit word: bytes, and which operation (slot, low bits of its number)
//     was the last to change them.
//   * A process writes what its slot will hold after operation n into charged[n & 1], then changes
//     the word by compare-and-swap, then marks the operation applied. Whoever meets a word whose
//     operation is not yet marked marks it first. So at any instant at most one operation per card
//     is half visible, and anybody can finish it.
//   * A slot holds charged[applied & 1]. Its owner keeps an open-file-description lock on byte
//     `slot` of the ledger file; the kernel drops it with the process, and whoever can take it may
//     give back what the slot holds, as an ordinary operation on the slot's behalf.
//
// Which process (in the reader's own process numbers) owns a slot is asked of the kernel, which
// cannot be lied to: the owner also keeps a classic record lock on byte kSlotCount + slot.
//
// Every byte of the ledger may have been written by a hostile tenant: no function here reads or
// writes outside the page or loops for ever over any contents, though the numbers may be nonsense.
// What a tenant forges, the agent finds by asking the driver, and answers through `overhead_bytes`.
//
// Compute: the agent's arbiter says in the policy what the share may do on a card now (a grant);
// the share's processes say in their slots what they have handed to the driver. A process that has
// something to say at once writes a byte into the share's bell, a FIFO that the agent reads. What a
// tenant forges here changes only what its own share is given: time is charged by what the arbiter
// granted, and corrected by the driver's own samples.
//
// Links nothing but libc: it is a part of the interposer.
namespace sluice::region {

inline constexpr uint64_t kPolicyMagic = 0x59434c4f50434c53;  // "SLCPOLCY"
inline constexpr uint64_t kLedgerMagic = 0x5245474445434c53;  // "SLCEDGER"
inline constexpr uint32_t kVersion = 2;
inline constexpr int kDevicesMax = 16;
inline constexpr int kSlotCount = 1024;
// The largest total that the word can hold: 2 TiB − 1.
inline constexpr uint64_t kBytesMax = (uint64_t{1} << 41) - 1;

// Paths inside a share.
inline constexpr char kPolicyPath[] = "/run/sluice/policy";
inline constexpr char kLedgerPath[] = "/run/sluice/ledger";
inline constexpr char kBellPath[] = "/run/sluice/bell";

// The share was released: every new allocation is refused.
inline constexpr uint32_t kFlagRevoked = 1;
// The card is a simulated one.
inline constexpr uint32_t kFlagSimulated = 2;

struct PolicyDevice {
  uint8_t uuid[16];    // As the driver's API gives it.
  char uuid_text[48];  // "GPU-…", terminated.
  std::atomic<uint64_t> memory_limit_bytes;
  // Found by the agent: held by the share's processes beyond the ledger (contexts, modules, and
  // whatever went round the interposer).
  std::atomic<uint64_t> overhead_bytes;
  // Charged once per process and card at its first allocation there: what a context costs.
  std::atomic<uint64_t> context_bytes;
  std::atomic<uint32_t> guarantee_millis;
  std::atomic<uint32_t> cap_millis;  // 0: none.
  std::atomic<uint32_t> flags;
  // In the last second, as the agent charged: thousandths of the card, and of the time.
  std::atomic<uint32_t> used_millis;
  std::atomic<uint32_t> waiting_millis;
  uint32_t reserved[5];
};
static_assert(sizeof(PolicyDevice) == 128);
static_assert(offsetof(PolicyDevice, memory_limit_bytes) == 64);
static_assert(offsetof(PolicyDevice, guarantee_millis) == 88);
static_assert(offsetof(PolicyDevice, flags) == 96);
static_assert(offsetof(PolicyDevice, used_millis) == 100);

enum class GrantMode : uint32_t {
  kOpen = 0,  // No gate: nobody else has a share of this card, and no cap.
  kRun = 1,   // The card is this share's until `until_ns`.
  kWait = 2,  // The card is another's, or the share has used up its cap.
};

// What the share may do on one card now. The agent writes the other fields before `word`, so what
// goes with an older word is at worst a later end.
struct ComputeGrant {
  std::atomic<uint32_t> word;  // Sequence << 2 | GrantMode; a futex, woken at every change.
  uint32_t padding;
  std::atomic<uint64_t> until_ns;      // kRun: CLOCK_MONOTONIC at which it ends by itself.
  std::atomic<uint64_t> in_flight_ns;  // Work handed to the driver and not finished: at most this.
  uint64_t reserved[5];
};
static_assert(sizeof(ComputeGrant) == 64);
constexpr uint32_t GrantWord(uint32_t sequence, GrantMode mode) {
  return sequence << 2 | static_cast<uint32_t>(mode);
}
constexpr GrantMode ModeOf(uint32_t word) {
  return (word & 3) == 1 ? GrantMode::kRun : (word & 3) == 0 ? GrantMode::kOpen : GrantMode::kWait;
}
constexpr uint32_t SequenceOf(uint32_t word) {
  return word >> 2;
}

// After so long without a heartbeat every share paces itself to its own guarantee.
inline constexpr uint64_t kAgentSilentMs = 1000;

struct PolicyPage {
  uint64_t magic;
  uint32_t version;
  uint32_t device_count;
  uint64_t generation;                 // Raised whenever the agent rewrites the page.
  std::atomic<uint64_t> heartbeat_ms;  // CLOCK_MONOTONIC of the agent's last look.
  char share_id[64];                   // Terminated.
  char label[128];                     // For people; terminated UTF-8.
  uint32_t reserved[8];
  PolicyDevice devices[kDevicesMax];
  ComputeGrant grants[kDevicesMax];
  uint8_t padding[4096 - 256 - kDevicesMax * (128 + 64)];
};
static_assert(offsetof(PolicyPage, heartbeat_ms) == 24);
static_assert(offsetof(PolicyPage, share_id) == 32);
static_assert(offsetof(PolicyPage, devices) == 256);
static_assert(offsetof(PolicyPage, grants) == 256 + kDevicesMax * 128);
static_assert(sizeof(PolicyPage) == 4096);

// One card's account. A cache line of its own.
struct LedgerDevice {
  std::atomic<uint64_t> word;  // See Pack.
  std::atomic<uint64_t> peak_bytes;
  std::atomic<uint64_t> refused;
  // Self-pacing without an agent: CLOCK_MONOTONIC until which the share's work is paid for.
  std::atomic<uint64_t> paced_until_ns;
  uint64_t reserved[4];
};
static_assert(sizeof(LedgerDevice) == 64);

struct SlotDevice {
  std::atomic<uint64_t> applied;
  std::atomic<uint64_t> charged[2];
  std::atomic<uint64_t> context_bytes;  // The part of the charge that stands for contexts.
  // Compute, written by the slot's process alone. Nanoseconds of the card's time, by the meter's
  // estimate, cumulative.
  std::atomic<uint64_t> submitted_ns;
  std::atomic<uint64_t> finished_ns;  // The part of it that is known to be done.
  std::atomic<uint32_t> waiting;      // Threads that stand at the gate.
  // The sequence of the last kWait at or after which nothing of this process was on the card.
  std::atomic<uint32_t> drained;
  std::atomic<uint64_t> launch_ns;  // Moving mean of one launch.
};
static_assert(sizeof(SlotDevice) == 64);

struct Slot {
  std::atomic<uint32_t> pid;       // As the tenant sees it; 0: free.
  std::atomic<uint32_t> host_pid;  // Written by the agent; 0: unknown.
  std::atomic<uint64_t> generation;
  std::atomic<uint64_t> comm[2];  // The process's name, 16 bytes, terminated.
  uint64_t reserved[4];
  SlotDevice devices[kDevicesMax];
};
static_assert(sizeof(Slot) == 64 + kDevicesMax * 64);
static_assert(offsetof(Slot, devices) == 64);

struct LedgerPage {
  uint64_t magic;
  uint32_t version;
  uint32_t slot_count;
  std::atomic<uint64_t> turned_away;  // How often somebody found every slot taken.
  uint64_t reserved[5];
  std::atomic<uint64_t> taken[kSlotCount / 64];  // One bit per slot: what is worth looking at.
  LedgerDevice devices[kDevicesMax];
  Slot slots[kSlotCount];
};
static_assert(offsetof(LedgerPage, taken) == 64);
static_assert(offsetof(LedgerPage, devices) == 192);
static_assert(offsetof(LedgerPage, slots) == 192 + kDevicesMax * 64);
static_assert(sizeof(LedgerPage) == 192 + kDevicesMax * 64 + kSlotCount * sizeof(Slot));
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);

// The word: bytes in the top 41 bits, then 10 of the slot, then the low 13 of its operation.
constexpr uint64_t Pack(uint64_t bytes, uint32_t slot, uint64_t operation) {
  return bytes << 23 | uint64_t{slot} << 13 | (operation & 0x1fff);
}
constexpr uint64_t WordBytes(uint64_t word) {
  return word >> 23;
}
constexpr uint32_t WordSlot(uint64_t word) {
  return static_cast<uint32_t>(word >> 13) & 0x3ff;
}
constexpr uint64_t WordOperation(uint64_t word) {
  return word & 0x1fff;
}

// Whether the page is one that this version reads. device_count is then at most kDevicesMax.
bool IsReadable(const PolicyPage& page);
bool IsReadable(const LedgerPage& page);

// The policy's index of the card with that UUID (16 raw bytes), or -1.
int FindDevice(const PolicyPage& page, const uint8_t* uuid);

// "GPU-8-4-4-4-12" to 16 raw bytes. False if the text is not that.
bool ParseUuid(const char* text, uint8_t* raw);

// What may be held of the card beyond the ledger's total; 0 when revoked.
uint64_t Room(const PolicyDevice& device);

// Bytes that the share holds of the card by the ledger. Thread-safe, as all below that say nothing.
uint64_t Total(const LedgerPage& page, int device);
// The same plus what the agent found, at most the limit.
uint64_t Used(const PolicyDevice& policy, const LedgerPage& page, int device);
// Bytes held by one slot. Exact while its owner does not change them.
uint64_t Held(LedgerPage& page, int device, int slot);

// One account of one slot: what an operation is about.
struct Account {
  LedgerPage* page;
  int device;
  int slot;
};

// Adds to the account unless the card's total would pass `room`. Returns whether it was added.
// Requires: no other thread runs an operation on this account (Charge, Return).
bool Charge(const Account& account, uint64_t bytes, uint64_t room);
// Takes off the account, at most what it holds. Requires: as Charge.
void Return(const Account& account, uint64_t bytes);

// Counts one allocation answered with out of memory.
void CountRefusal(LedgerPage& page, int device);

// Takes a free slot for this process, looking from `start` on, and gives back what a dead owner
// left in it. `file` is this process's own open file description of the ledger, kept open for as
// long as the slot is. Returns the slot, or -1 when all are taken, and counts that.
int TakeSlot(LedgerPage& page, int file, uint32_t start, uint32_t pid);

// If the slot's owner is dead, gives back what it held and frees the slot. Returns whether it did.
// `file` as in TakeSlot. Requires: the slot is not this description's own; one thread at a time
// per description.
bool ReclaimIfDead(LedgerPage& page, int file, int slot);

// Whether somebody else's description holds the slot's lock.
bool IsAlive(int file, int slot);

// The process that owns the slot, in the caller's process numbers, as the kernel says; 0: none, or
// one outside the caller's process namespace.
int OwnerPid(int file, int slot);

// The first taken slot at or after `from`, or -1.
int NextTaken(const LedgerPage& page, int from);

}  // namespace sluice::region
