// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/internal/abi.h"
#include "shim/internal/process.h"

// Memory that the driver holds back for reuse: stream-ordered pools, and each card's graph memory.
// A pool is charged what it has reserved, which only the driver knows; so around each call that may
// grow it the growth is charged first, and set right afterwards. Thread-safe.
namespace sluice::shim {

// An index of the pools known to this process; negative: none could be made.
using PoolIndex = int;

// The pool of that handle, made known on first sight. `card` is where it lies.
PoolIndex PoolOf(CUmemoryPool handle, Card card);
// The graph memory of a card.
PoolIndex GraphPoolOf(Card card);
Card CardOfPool(PoolIndex pool);

// Charges the most that an allocation of `bytes` may make the pool grow, into `charged`. At the
// limit, where that is not to be had, the allocation is refused, although what the pool holds back
// for reuse might do: only the driver knows, and to ask it is to let it grow.
CUresult ChargeGrowth(PoolIndex pool, uint64_t bytes, uint64_t& charged);
// Finds out how pools grow on the card, once, with a small pool of its own. Requires: a context
// there is current.
void LearnGrowth(Card card);
// After the driver's call: `charged` is replaced by what the pool now has reserved. `live` changes
// what is counted when the driver cannot say. False: the pool grew by more than any did before, and
// beyond what the share may hold; the block has to be given back at once.
bool Settle(PoolIndex pool, uint64_t charged, int64_t live);

// A block was given back: the pool will shrink at some later point of the stream.
void MarkShrinking(PoolIndex pool, uint64_t live_bytes);
// The program destroys the pool. The driver keeps its memory until the last block is given back,
// and would say nothing of it any more: with blocks left, the driver's pool goes after the last of
// them.
CUresult EndOrRetire(CUmemoryPool handle);

// Sets right every pool that has shrunk since. Costs one load when there is none.
void SettlePools();

// Charges as soon as the frees that the program has already ordered make room. Waits while they
// come back, never for ever; without calling anything that a capture or a host function forbids.
bool ChargeAfterFrees(Card card, uint64_t bytes);
// Charges after the pools of the card have given up what they hold back for reuse.
bool ChargeAfterTrim(Card card, uint64_t bytes);

// Raised around every trim of graph memory: an executable graph that has its memory has it of this
// age.
extern constinit std::atomic<uint64_t> graph_age;
CUresult TrimGraphMemory(CUdevice ordinal);

// In a forked child: there are none.
void ForgetPools();

}  // namespace sluice::shim
