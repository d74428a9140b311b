// SPDX-License-Identifier: Apache-2.0
// No lock here is held while another is taken, or while the driver is called. What they guard needs
// no mending: the pages and the slot are known once they are there, and what a thread left half
// done in the ledger is finished as a process's is (region.h).
#include "shim/internal/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shim/internal/blocks.h"
#include "shim/internal/driver.h"
#include "shim/internal/gate.h"
#include "shim/internal/os.h"
#include "shim/internal/pools.h"

extern "C" {
[[gnu::visibility("hidden")]] void* __dso_handle = nullptr;
// What pthread_atfork is made of: exported by every glibc, in libc itself.
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso_handle);
}

namespace sluice::shim {
namespace {

enum class Mode : int { kUnknown, kOutside, kAttached, kBroken };

// Above what shells, daemons and tests close by habit.
constexpr int kLowestFile = 768;
constexpr int kOrdinalsMax = 64;

struct State {
  std::atomic<Mode> mode{Mode::kUnknown};
  Lock attach_lock;
  Lock reclaim_lock;
  Lock account_lock[region::kDevicesMax];
  const region::PolicyPage* policy = nullptr;
  region::LedgerPage* ledger = nullptr;
  int file = -1;
  std::atomic<int> slot{-1};  // Taken at the first use of CUDA; NVML alone needs none.
  bool fork_watched = false;
  std::atomic<int> card_of_ordinal[kOrdinalsMax] = {};  // Card + 3; 0 is unknown.
  std::atomic<int> ordinal_of_card[region::kDevicesMax] = {};
  std::atomic<int> contexts[region::kDevicesMax] = {};  // Charged ones.
};
constinit State state;

void* MapFile(const char* path, size_t bytes, bool writable) {
  const int file = OpenFile(path, writable ? O_RDWR : O_RDONLY);
  if (file < 0) {
    return nullptr;
  }
  // A file that is shorter than its mapping would end this process at the first access.
  void* at = nullptr;
  if (lseek(file, 0, SEEK_END) >= static_cast<off_t>(bytes)) {
    at = mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
    at = at == MAP_FAILED ? nullptr : at;
  }
  if (at == nullptr || !writable) {
    CloseFile(file);
    return at;
  }
  const int high = fcntl(file, F_DUPFD_CLOEXEC, kLowestFile);
  state.file = high >= 0 ? high : file;
  if (high >= 0) {
    CloseFile(file);
  }
  return at;
}

// In the child of a fork: it holds nothing and has no slot, and its parent's lock must not live on
// in it. Only what a signal handler may do.
void ForgetParent() {
  if (state.file >= 0) {
    CloseFile(state.file);
  }
  state.file = -1;
  state.slot.store(-1, std::memory_order_relaxed);
  state.attach_lock.Reset();
  state.reclaim_lock.Reset();
  for (int card = 0; card < region::kDevicesMax; ++card) {
    state.account_lock[card].Reset();
    state.contexts[card].store(0, std::memory_order_relaxed);
  }
  ForgetBlocks();
  ForgetPools();
  ForgetGate();
  if (state.mode.load(std::memory_order_relaxed) == Mode::kAttached) {
    munmap(state.ledger, sizeof(region::LedgerPage));
    state.ledger = nullptr;
    state.mode.store(Mode::kUnknown, std::memory_order_relaxed);
  }
}

Mode MapLedger() {
  if (state.ledger == nullptr) {
    state.ledger = static_cast<region::LedgerPage*>(
        MapFile(region::kLedgerPath, sizeof(region::LedgerPage), true));
  }
  if (state.ledger == nullptr || !region::IsReadable(*state.ledger)) {
    return Mode::kBroken;
  }
  if (!state.fork_watched) {
    state.fork_watched = __register_atfork(nullptr, nullptr, ForgetParent, &__dso_handle) == 0;
  }
  return Mode::kAttached;
}

// Requires: attached. False: every slot is taken.
bool TakeSlot() {
  Hold hold(state.attach_lock);
  if (state.slot.load(std::memory_order_relaxed) >= 0) {
    return true;
  }
  const int kept = errno;
  const auto pid = static_cast<uint32_t>(getpid());
  const int slot = region::TakeSlot(*state.ledger, state.file, pid, pid);
  if (slot >= 0) {
    uint64_t name[2] = {};
    prctl(PR_GET_NAME, name, 0, 0, 0);
    state.ledger->slots[slot].comm[0].store(name[0], std::memory_order_relaxed);
    state.ledger->slots[slot].comm[1].store(name[1], std::memory_order_relaxed);
    state.slot.store(slot, std::memory_order_release);
  }
  errno = kept;
  return slot >= 0;
}

Mode Attach() {
  Hold hold(state.attach_lock);
  Mode mode = state.mode.load(std::memory_order_relaxed);
  if (mode != Mode::kUnknown) {
    return mode;
  }
  const int kept = errno;
  if (state.policy == nullptr) {
    state.policy = static_cast<const region::PolicyPage*>(
        MapFile(region::kPolicyPath, sizeof(region::PolicyPage), false));
  }
  if (state.policy == nullptr) {
    mode = access(region::kPolicyPath, F_OK) == 0 ? Mode::kBroken : Mode::kOutside;
  } else if (!region::IsReadable(*state.policy)) {
    mode = Mode::kBroken;
  } else {
    mode = MapLedger();
  }
  state.mode.store(mode, std::memory_order_release);
  errno = kept;
  return mode;
}

Mode CurrentMode() {
  const Mode mode = state.mode.load(std::memory_order_acquire);
  return mode == Mode::kUnknown ? Attach() : mode;
}

// The own slot, or -1.
int OwnSlot() {
  const int slot = state.slot.load(std::memory_order_acquire);
  return slot >= 0 || !TakeSlot() ? slot : state.slot.load(std::memory_order_relaxed);
}

Card AskCard(CUdevice ordinal) {
  Uuid uuid = {};
  CUresult result = Cuda(Call::k_cuDeviceGetUuid_v2, &uuid, ordinal);
  if (result == kNotSupported) {
    result = Cuda(Call::k_cuDeviceGetUuid, &uuid, ordinal);
  }
  if (result != kSuccess) {
    return kNotShared;  // No such card: the driver refuses the call that we were asked about, too.
  }
  return CardOfUuid(uuid.bytes);
}

// Gives back what dead siblings hold. Returns whether there was any.
bool ReclaimSiblings() {
  Hold hold(state.reclaim_lock);
  bool any = false;
  region::LedgerPage& page = *state.ledger;
  for (int slot = region::NextTaken(page, 0); slot >= 0; slot = region::NextTaken(page, slot + 1)) {
    any = (slot != state.slot.load(std::memory_order_relaxed) &&
           region::ReclaimIfDead(page, state.file, slot)) ||
          any;
  }
  return any;
}

}  // namespace

bool InShare() {
  return CurrentMode() != Mode::kOutside;
}

bool Join() {
  return CurrentMode() != Mode::kAttached || OwnSlot() >= 0;
}

Pages AttachedPages() {
  if (CurrentMode() != Mode::kAttached) {
    return {};
  }
  return {state.policy, state.ledger, OwnSlot()};
}

const region::PolicyDevice& Policy(Card card) {
  return state.policy->devices[card];
}

Card CardOfUuid(const uint8_t* uuid) {
  if (!InShare()) {
    return kNotShared;
  }
  const int found = state.policy == nullptr || CurrentMode() == Mode::kBroken
                        ? -1
                        : region::FindDevice(*state.policy, uuid);
  return found < 0 ? kForeign : found;
}

Card CardOfOrdinal(CUdevice ordinal) {
  if (!InShare() || ordinal < 0 || ordinal >= kOrdinalsMax) {
    return kNotShared;
  }
  std::atomic<int>& cached = state.card_of_ordinal[ordinal];
  if (const int known = cached.load(std::memory_order_relaxed); known != 0) {
    return known - 3;
  }
  const Card card = AskCard(ordinal);
  if (card >= 0) {
    state.ordinal_of_card[card].store(ordinal, std::memory_order_relaxed);
  }
  if (card != kNotShared) {
    cached.store(card + 3, std::memory_order_relaxed);
  }
  return card;
}

Card CurrentCard() {
  CUdevice ordinal = -1;
  if (!InShare() || Cuda(Call::k_cuCtxGetDevice, &ordinal) != kSuccess) {
    return kNotShared;
  }
  return CardOfOrdinal(ordinal);
}

CUdevice OrdinalOf(Card card) {
  return state.ordinal_of_card[card].load(std::memory_order_relaxed);
}

bool TryCharge(Card card, uint64_t bytes) {
  if (card == kNotShared || bytes == 0) {
    return true;
  }
  if (card < 0 || CurrentMode() != Mode::kAttached) {
    return false;
  }
  const int slot = OwnSlot();
  if (slot < 0) {
    return false;
  }
  const region::Account account = {state.ledger, card, slot};
  Hold hold(state.account_lock[card]);
  const uint64_t room = region::Room(Policy(card));
  if (!region::Charge(account, bytes, room)) {
    return false;
  }
  // The agent lowers the limit and then looks at the total; we raised the total and now look at the
  // limit. So either it saw these bytes, or we see its new limit here, however long we stood still.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint64_t now = region::Room(Policy(card));
  if (now < room && region::Total(*state.ledger, card) > now) {
    region::Return(account, bytes);
    return false;
  }
  return true;
}

bool ChargeIfPossible(Card card, uint64_t bytes) {
  if (TryCharge(card, bytes)) {
    return true;
  }
  // Only what could fit at all is worth the looking.
  return card >= 0 && CurrentMode() == Mode::kAttached && bytes <= region::Room(Policy(card)) &&
         ((ReclaimSiblings() && TryCharge(card, bytes)) || ChargeAfterFrees(card, bytes) ||
          ChargeAfterTrim(card, bytes));
}

CUresult Charge(Card card, uint64_t bytes) {
  if (ChargeIfPossible(card, bytes)) {
    return kSuccess;
  }
  CountRefusal(card);
  return kOutOfMemory;
}

void CountRefusal(Card card) {
  if (card >= 0 && CurrentMode() == Mode::kAttached) {
    region::CountRefusal(*state.ledger, card);
  }
}

void ChargeAnyway(Card card, uint64_t bytes) {
  if (card >= 0 && CurrentMode() == Mode::kAttached && OwnSlot() >= 0) {
    Hold hold(state.account_lock[card]);
    region::Charge({state.ledger, card, OwnSlot()}, bytes, region::kBytesMax);
  }
}

void Return(Card card, uint64_t bytes) {
  if (card >= 0 && CurrentMode() == Mode::kAttached && OwnSlot() >= 0) {
    Hold hold(state.account_lock[card]);
    region::Return({state.ledger, card, OwnSlot()}, bytes);
  }
}

CUresult ChargeContext(Card card) {
  if (card < 0 || CurrentMode() != Mode::kAttached) {
    return card == kForeign ? kOutOfMemory : kSuccess;
  }
  const int slot = OwnSlot();
  if (slot < 0) {
    return kOutOfMemory;
  }
  const uint64_t bytes = Policy(card).context_bytes.load(std::memory_order_relaxed);
  state.contexts[card].fetch_add(1, std::memory_order_relaxed);
  const CUresult result = Charge(card, bytes);
  if (result != kSuccess) {
    state.contexts[card].fetch_sub(1, std::memory_order_relaxed);
    return result;
  }
  state.ledger->slots[slot].devices[card].context_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return kSuccess;
}

CUresult ChargeFirstContext(Card card) {
  return card < 0 || state.contexts[card].load(std::memory_order_relaxed) > 0 ? kSuccess
                                                                              : ChargeContext(card);
}

void ReturnContext(Card card) {
  if (card < 0 || CurrentMode() != Mode::kAttached || OwnSlot() < 0) {
    return;
  }
  int count = state.contexts[card].load(std::memory_order_relaxed);
  do {
    if (count <= 0) {
      return;
    }
  } while (!state.contexts[card].compare_exchange_weak(count, count - 1));
  std::atomic<uint64_t>& charged = state.ledger->slots[OwnSlot()].devices[card].context_bytes;
  const uint64_t bytes = charged.load(std::memory_order_relaxed) / static_cast<uint64_t>(count);
  charged.fetch_sub(bytes, std::memory_order_relaxed);
  Return(card, bytes);
}

uint64_t HeldByShare(Card card) {
  return state.ledger == nullptr ? 0 : region::Total(*state.ledger, card);
}

uint64_t Used(Card card) {
  return state.ledger == nullptr ? 0 : region::Used(Policy(card), *state.ledger, card);
}

uint32_t OwnPid(uint32_t pid) {
  if (state.ledger == nullptr || pid == 0) {
    return 0;
  }
  uint32_t inner = 0;
  const region::LedgerPage& page = *state.ledger;
  for (int slot = region::NextTaken(page, 0); slot >= 0; slot = region::NextTaken(page, slot + 1)) {
    const uint32_t own = page.slots[slot].pid.load(std::memory_order_relaxed);
    if (page.slots[slot].host_pid.load(std::memory_order_relaxed) == pid) {
      return own;
    }
    inner = own == pid ? own : inner;
  }
  return inner;
}

}  // namespace sluice::shim
