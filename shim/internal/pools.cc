// SPDX-License-Identifier: Apache-2.0
// Locks: one per pool, and one for making pools known; never two at once, never while calling out.
#include "shim/internal/pools.h"

#include "shim/internal/driver.h"
#include "shim/internal/flight.h"
#include "shim/internal/os.h"
#include "shim/internal/points.h"

namespace sluice::shim {
namespace {

constexpr uint32_t kPatienceUs = 2'000'000;

struct Pool {
  std::atomic<uint64_t> handle{0};  // 0: free. Graph memory: not used.
  Lock lock;
  std::atomic<Card> place{kNotShared};
  bool retired = false;  // Destroyed by the program, not by the driver yet.
  uint64_t charged = 0;  // In the ledger, with `pending`.
  uint64_t pending = 0;  // Charged for calls that are under way.
  uint64_t live = 0;     // Bytes of blocks, for when the driver cannot say.
  uint64_t changes = 0;
  std::atomic<bool> shrinking{false};
  // How long a wait for its frees may go without any: less each time when that was in vain.
  std::atomic<uint32_t> patience_us{kPatienceUs};
};

constexpr int kPoolsMax = 512;
constexpr int kFirstHandle = region::kDevicesMax;  // Below: graph memory, by card.
constinit Pool pools[kPoolsMax];
constinit std::atomic<int> pool_count{kFirstHandle};
constinit std::atomic<bool> any_shrinking{false};
constinit Lock making;

// How pools grow on a card: by `least`, or by a larger multiple of `step`; no more than that, by
// what was seen so far.
constexpr uint64_t kGrowthMost = uint64_t{32} << 20;
struct Growth {
  std::atomic<bool> asked{false};
  std::atomic<uint64_t> least{kGrowthMost};
  std::atomic<uint64_t> step{kGrowthMost};
};
constinit Growth growths[region::kDevicesMax];

uint64_t LowestBit(uint64_t bytes) {
  return bytes & (~bytes + 1);
}
void Lower(std::atomic<uint64_t>& most, uint64_t bytes) {
  if (bytes < most.load(std::memory_order_relaxed)) {
    most.store(bytes, std::memory_order_relaxed);
  }
}

// The most that a pool grows for a block of so many bytes.
uint64_t GrowthFor(Card card, uint64_t bytes) {
  const uint64_t least = growths[card].least.load(std::memory_order_relaxed);
  const uint64_t step = growths[card].step.load(std::memory_order_relaxed);
  if (bytes > region::kBytesMax) {
    return bytes;
  }
  const uint64_t whole = (bytes + step - 1) / step * step;
  return whole < least ? least : whole;
}

// The first rows are the cards' graph memory, by card; the others are pools with a handle.
bool IsGraph(const Pool& pool) {
  return &pool - pools < kFirstHandle;
}

Card CardOf(const Pool& pool) {
  return IsGraph(pool) ? static_cast<Card>(&pool - pools)
                       : pool.place.load(std::memory_order_relaxed);
}

// What the driver has reserved and what of it is in use. False: it cannot say.
bool AskDriver(const Pool& pool, uint64_t handle, uint64_t& reserved, uint64_t& used) {
  if (IsGraph(pool)) {
    const CUdevice ordinal = OrdinalOf(CardOf(pool));
    void* const to_reserved = &reserved;
    void* const to_used = &used;
    return Cuda(Call::k_cuDeviceGetGraphMemAttribute,
                ordinal,
                kGraphMemReservedCurrent,
                to_reserved) == kSuccess &&
           Cuda(Call::k_cuDeviceGetGraphMemAttribute, ordinal, kGraphMemUsedCurrent, to_used) ==
               kSuccess;
  }
  if (handle == 0) {
    return false;
  }
  const auto raw = reinterpret_cast<CUmemoryPool>(handle);
  void* const to_reserved = &reserved;
  void* const to_used = &used;
  return Cuda(Call::k_cuMemPoolGetAttribute, raw, kPoolReservedCurrent, to_reserved) == kSuccess &&
         Cuda(Call::k_cuMemPoolGetAttribute, raw, kPoolUsedCurrent, to_used) == kSuccess;
}

// What a thread that ended in the middle left is seen by all as a change: the charge is then
// brought into line with what the driver says. At most its own call's bytes stay charged.
struct PoolHold : Hold {
  explicit PoolHold(Pool& pool) : Hold(pool.lock) {
    if (Inherited()) {
      ++pool.changes;
    }
  }
};

struct Seen {
  uint64_t changes;
  uint64_t live;
  uint64_t pending;
  uint64_t charged;
  uint64_t handle;
};

Seen Look(Pool& pool) {
  const PoolHold hold(pool);
  return {pool.changes,
          pool.live,
          pool.pending,
          pool.charged,
          pool.handle.load(std::memory_order_relaxed)};
}

// False, with nothing changed, when something else has changed since.
bool SetCharged(Pool& pool, const Seen& seen, uint64_t charged) {
  const PoolHold hold(pool);
  if (pool.changes != seen.changes) {
    return false;
  }
  pool.charged = charged;
  SLUICE_POINT("charge");
  ++pool.changes;
  return true;
}

void MarkForSettling(Pool& pool) {
  pool.shrinking.store(true, std::memory_order_relaxed);
  any_shrinking.store(true, std::memory_order_release);
}

constexpr int kTurnsMax = 1000;

// Brings the charge to what is reserved. The ledger holds the pool's charge at every instant: it is
// raised before `charged` is, and lowered after. If another thread's call came between the driver's
// answer and ours, asks again: that thread brings the pool into line, too, so whoever comes last
// finds nobody in between. False: the pool grew beyond what the share may hold. `unforeseen`: by so
// much more than was charged before.
bool BringIntoLine(Pool& pool, uint64_t& unforeseen) {
  const Card card = CardOf(pool);
  unforeseen = 0;
  for (int turn = 0; turn < kTurnsMax; ++turn) {
    const Seen seen = Look(pool);
    uint64_t reserved = 0;
    uint64_t used = 0;
    if (!AskDriver(pool, seen.handle, reserved, used)) {
      reserved = seen.live;
    } else if (reserved > 0 && !IsGraph(pool)) {
      Lower(growths[card].step, LowestBit(reserved));
    }
    const uint64_t wanted = reserved + seen.pending;
    if (wanted <= seen.charged) {
      if (SetCharged(pool, seen, wanted)) {
        Return(card, seen.charged - wanted);
        return true;
      }
      continue;
    }
    const uint64_t missing = wanted - seen.charged;
    unforeseen = missing > unforeseen ? missing : unforeseen;
    const bool fits = TryCharge(card, missing);
    if (!fits) {
      ChargeAnyway(card, missing);
    }
    if (SetCharged(pool, seen, wanted)) {
      return fits;
    }
    Return(card, missing);
  }
  MarkForSettling(pool);
  return true;
}

bool BringIntoLine(Pool& pool) {
  uint64_t unforeseen = 0;
  return BringIntoLine(pool, unforeseen);
}

// Bytes of the card's pools that the program has freed, in the order of some stream that has not
// come there yet; and the longest patience among those pools.
uint64_t ComingBack(Card card, uint64_t& patience_us) {
  uint64_t sum = 0;
  const int count = pool_count.load(std::memory_order_acquire);
  for (int i = kFirstHandle; i < count; ++i) {
    Pool& pool = pools[i];
    uint64_t reserved = 0;
    uint64_t used = 0;
    const Seen seen = Look(pool);
    if (CardOf(pool) != card || !AskDriver(pool, seen.handle, reserved, used) ||
        used <= seen.live + seen.pending) {
      continue;
    }
    sum += used - seen.live - seen.pending;
    const uint64_t patience = pool.patience_us.load(std::memory_order_relaxed);
    patience_us = patience > patience_us ? patience : patience_us;
  }
  return sum;
}

void LosePatience(Card card) {
  const int count = pool_count.load(std::memory_order_acquire);
  for (int i = kFirstHandle; i < count; ++i) {
    if (CardOf(pools[i]) == card) {
      pools[i].patience_us.store(pools[i].patience_us.load(std::memory_order_relaxed) / 4,
                                 std::memory_order_relaxed);
    }
  }
}

uint64_t RoomLeft(Card card) {
  const uint64_t room = region::Room(Policy(card));
  const uint64_t used = HeldByShare(card);
  return room > used ? room - used : 0;
}

PoolIndex FindPool(CUmemoryPool handle) {
  const auto wanted = reinterpret_cast<uint64_t>(handle);
  const int count = pool_count.load(std::memory_order_acquire);
  for (int i = kFirstHandle; i < count; ++i) {
    if (pools[i].handle.load(std::memory_order_acquire) == wanted) {
      return i;
    }
  }
  return -1;
}

// A row that was never used, or whose pool is gone.
int FreeRow() {
  const int count = pool_count.load(std::memory_order_relaxed);
  for (int i = kFirstHandle; i < count; ++i) {
    const PoolHold hold(pools[i]);
    if (pools[i].handle.load(std::memory_order_relaxed) == 0 && pools[i].charged == 0) {
      return i;
    }
  }
  return count < kPoolsMax ? count : -1;
}

// Whether the driver has blocks of the pool that were not given back, or not yet by their stream.
bool HasBlocks(const Pool& pool, const Seen& seen) {
  uint64_t reserved = 0;
  uint64_t used = 0;
  return seen.live > 0 || (AskDriver(pool, seen.handle, reserved, used) && used > 0);
}

// Requires: the pool has no blocks.
CUresult EndPool(Pool& pool) {
  const Seen seen = Look(pool);
  // Before the driver's call: right after it, another pool may be given the same handle.
  pool.handle.store(0, std::memory_order_release);
  const CUresult result =
      Cuda(Call::k_cuMemPoolDestroy, reinterpret_cast<CUmemoryPool>(seen.handle));
  if (result != kSuccess) {
    pool.handle.store(seen.handle, std::memory_order_release);
    return result;
  }
  uint64_t charged = 0;
  {
    const PoolHold hold(pool);
    charged = pool.charged;
    pool.charged = 0;
    pool.retired = false;
    ++pool.changes;
  }
  Return(CardOf(pool), charged);
  return result;
}

// A pool that was destroyed is nobody's current one any more, and holds nothing back.
void Retire(Pool& pool, CUmemoryPool handle) {
  const CUdevice ordinal = OrdinalOf(CardOf(pool));
  CUmemoryPool current = nullptr;
  CUmemoryPool otherwise = nullptr;
  if (Cuda(Call::k_cuDeviceGetMemPool, &current, ordinal) == kSuccess && current == handle &&
      Cuda(Call::k_cuDeviceGetDefaultMemPool, &otherwise, ordinal) == kSuccess) {
    Cuda(Call::k_cuDeviceSetMemPool, ordinal, otherwise);
  }
  uint64_t none = 0;
  void* const value = &none;
  Cuda(Call::k_cuMemPoolSetAttribute, handle, kPoolReleaseThreshold, value);
  Cuda(Call::k_cuMemPoolTrimTo, handle, size_t{0});
  const PoolHold hold(pool);
  pool.retired = true;
}

bool IsDefaultPool(Card card, CUmemoryPool handle) {
  CUmemoryPool found = nullptr;
  return Cuda(Call::k_cuDeviceGetDefaultMemPool, &found, OrdinalOf(card)) == kSuccess &&
         found == handle;
}

}  // namespace

constinit std::atomic<uint64_t> graph_age{1};

PoolIndex PoolOf(CUmemoryPool handle, Card card) {
  if (const PoolIndex known = FindPool(handle); known >= 0) {
    return known;
  }
  // Half made, a pool is known to nobody: the next one takes its row.
  const Hold hold(making);
  if (const PoolIndex known = FindPool(handle); known >= 0) {
    return known;
  }
  const int row = FreeRow();
  if (row < 0) {
    return -1;
  }
  Pool& pool = pools[row];
  pool.place.store(card, std::memory_order_relaxed);
  pool.retired = false;
  pool.charged = pool.pending = pool.live = 0;
  pool.patience_us.store(kPatienceUs, std::memory_order_relaxed);
  SLUICE_POINT("known");
  pool.handle.store(reinterpret_cast<uint64_t>(handle), std::memory_order_release);
  if (row == pool_count.load(std::memory_order_relaxed)) {
    pool_count.store(row + 1, std::memory_order_release);
  }
  return row;
}

PoolIndex GraphPoolOf(Card card) {
  return card;
}

Card CardOfPool(PoolIndex pool) {
  return CardOf(pools[pool]);
}

CUresult ChargeGrowth(PoolIndex index, uint64_t bytes, uint64_t& charged) {
  Pool& pool = pools[index];
  const Card card = CardOf(pool);
  charged = GrowthFor(card, bytes);
  if (!ChargeIfPossible(card, charged)) {
    CountRefusal(card);
    return kOutOfMemory;
  }
  SLUICE_POINT("pool");
  const PoolHold hold(pool);
  pool.charged += charged;
  pool.pending += charged;
  ++pool.changes;
  return kSuccess;
}

void LearnGrowth(Card card) {
  Growth& growth = growths[card];
  if (growth.asked.load(std::memory_order_relaxed) || !TryCharge(card, kGrowthMost)) {
    return;
  }
  growth.asked.store(true, std::memory_order_relaxed);
  const OutsideCaptures outside;
  PoolProperties properties = {};
  properties.alloc_type = kAllocationPinned;
  properties.location = {kLocationDevice, OrdinalOf(card)};
  const PoolProperties* const wanted = &properties;
  constexpr unsigned kNonBlocking = 1;
  CUmemoryPool pool = nullptr;
  CUstream stream = nullptr;
  CUdeviceptr block = 0;
  uint64_t reserved = 0;
  void* const value = &reserved;
  if (Cuda(Call::k_cuMemPoolCreate, &pool, wanted) == kSuccess) {
    if (Cuda(Call::k_cuStreamCreate, &stream, kNonBlocking) == kSuccess) {
      if (Cuda(Call::k_cuMemAllocFromPoolAsync, &block, size_t{1}, pool, stream) == kSuccess) {
        Cuda(Call::k_cuMemPoolGetAttribute, pool, kPoolReservedCurrent, value);
        Cuda(Call::k_cuMemFreeAsync, block, stream);
        Cuda(Call::k_cuStreamSynchronize, stream);
      }
      Cuda(Call::k_cuStreamDestroy_v2, stream);
    }
    Cuda(Call::k_cuMemPoolDestroy, pool);
  }
  if (reserved > 0) {
    growth.least.store(reserved, std::memory_order_relaxed);
    Lower(growth.step, LowestBit(reserved));
  }
  Return(card, kGrowthMost);
}

bool Settle(PoolIndex index, uint64_t charged, int64_t live) {
  Pool& pool = pools[index];
  {
    const PoolHold hold(pool);
    pool.pending -= charged;
    pool.live += static_cast<uint64_t>(live);
    ++pool.changes;
  }
  uint64_t unforeseen = 0;
  const bool fits = BringIntoLine(pool, unforeseen);
  std::atomic<uint64_t>& least = growths[CardOf(pool)].least;
  if (charged > 0 && unforeseen > 0 && charged + unforeseen > least) {
    least.store(charged + unforeseen, std::memory_order_relaxed);
  }
  return fits;
}

void MarkShrinking(PoolIndex index, uint64_t live_bytes) {
  Pool& pool = pools[index];
  {
    const PoolHold hold(pool);
    pool.live -= live_bytes < pool.live ? live_bytes : pool.live;
    ++pool.changes;
  }
  MarkForSettling(pool);
}

CUresult EndOrRetire(CUmemoryPool handle) {
  const PoolIndex index = FindPool(handle);
  const Card card = index < 0 ? kNotShared : CardOfPool(index);
  if (card < 0 || IsDefaultPool(card, handle)) {
    if (index >= 0 && card < 0) {
      pools[index].handle.store(0, std::memory_order_release);
    }
    return Cuda(Call::k_cuMemPoolDestroy, handle);
  }
  Pool& pool = pools[index];
  const Seen seen = Look(pool);
  if (!HasBlocks(pool, seen)) {
    return EndPool(pool);
  }
  Retire(pool, handle);
  BringIntoLine(pool);
  MarkForSettling(pool);
  return kSuccess;
}

void SettlePools() {
  if (!any_shrinking.load(std::memory_order_acquire)) {
    return;
  }
  any_shrinking.store(false, std::memory_order_relaxed);
  const int count = pool_count.load(std::memory_order_acquire);
  bool again = false;
  for (int i = 0; i < count; ++i) {
    Pool& pool = pools[i];
    if (!pool.shrinking.exchange(false, std::memory_order_relaxed)) {
      continue;
    }
    BringIntoLine(pool);
    if (pool.retired && !HasBlocks(pool, Look(pool))) {
      EndPool(pool);
      continue;
    }
    // The stream may not have come to the free yet: look again next time until it has.
    const PoolHold hold(pool);
    if (pool.charged > pool.live + pool.pending) {
      pool.shrinking.store(true, std::memory_order_relaxed);
      again = true;
    }
  }
  if (again) {
    any_shrinking.store(true, std::memory_order_release);
  }
}

bool ChargeAfterFrees(Card card, uint64_t bytes) {
  uint64_t waited_us = 0;
  uint64_t least = UINT64_MAX;
  for (;;) {
    SettlePools();
    if (TryCharge(card, bytes)) {
      return true;
    }
    uint64_t patience_us = 0;
    const uint64_t coming = ComingBack(card, patience_us);
    if (coming == 0 || coming + RoomLeft(card) < bytes) {
      return false;
    }
    if (coming < least) {
      least = coming;
      waited_us = 0;
    } else if (waited_us >= patience_us) {
      LosePatience(card);
      return false;
    }
    constexpr uint32_t kStepUs = 200;
    Nap(kStepUs);
    waited_us += kStepUs;
  }
}

bool ChargeAfterTrim(Card card, uint64_t bytes) {
  bool any = false;
  const int count = pool_count.load(std::memory_order_acquire);
  for (int i = 0; i < count; ++i) {
    Pool& pool = pools[i];
    uint64_t reserved = 0;
    uint64_t used = 0;
    const uint64_t handle = Look(pool).handle;
    if (CardOf(pool) != card || (IsGraph(pool) && pool.charged == 0) ||
        !AskDriver(pool, handle, reserved, used) || reserved <= used) {
      continue;
    }
    if (IsGraph(pool)) {
      TrimGraphMemory(OrdinalOf(card));
    } else {
      Cuda(Call::k_cuMemPoolTrimTo, reinterpret_cast<CUmemoryPool>(handle), size_t{0});
    }
    BringIntoLine(pool);
    any = true;
  }
  return any && TryCharge(card, bytes);
}

CUresult TrimGraphMemory(CUdevice ordinal) {
  // A launch that reads the age in between is charged; one that read it before looks again.
  graph_age.fetch_add(1, std::memory_order_acq_rel);
  const CUresult result = Cuda(Call::k_cuDeviceGraphMemTrim, ordinal);
  graph_age.fetch_add(1, std::memory_order_acq_rel);
  return result;
}

void ForgetPools() {
  for (Pool& pool : pools) {
    pool.lock.Reset();
    pool.handle.store(0, std::memory_order_relaxed);
    pool.charged = pool.pending = pool.live = 0;
    pool.retired = false;
    pool.patience_us.store(kPatienceUs, std::memory_order_relaxed);
  }
  pool_count.store(kFirstHandle, std::memory_order_relaxed);
  any_shrinking.store(false, std::memory_order_relaxed);
  making.Reset();
}

}  // namespace sluice::shim
