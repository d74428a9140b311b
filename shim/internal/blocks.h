// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "shim/internal/process.h"

// What this process holds, by the pointer or handle that it will give back. A hash table in pages
// of its own: the cost of an entry does not grow with their number. Thread-safe; never calls out.
namespace sluice::shim {

enum class Kind : uint32_t {
  kEmpty,
  kMemory,  // Linear, managed, pitched.
  kArray,
  kMipmapped,
  kPooled,   // `extra`: the pool's index.
  kHandle,   // cuMemCreate; `extra`: references (release, mappings, retains).
  kMapping,  // An address range; `extra`: the handle.
  kContext,  // One that this process made.
  kExec,     // An instantiated graph; `extra`: see graph.cc.
  kHold,     // What holds on to a handle beside mappings (see holds.cc); `extra`: the handle.
};

struct Block {
  uint64_t bytes;
  uint64_t extra;
  Card card;
};

struct Key {
  Kind kind;
  uint64_t value;
  // Contexts own some blocks, and free them when they go. Of a kHold: the object that holds.
  uint64_t context = 0;
};

// Records a block. An entry that is already there was freed behind our back (the driver has given
// its address out again): it is replaced and returned in `stale`, true is answered then.
// When there is no memory for the table, the block stays charged until the process ends.
bool PutBlock(const Key& key, const Block& block, Block& stale);
// Takes the block out. False: unknown here, the driver's business alone.
bool TakeBlock(const Key& key, Block& block);
bool FindBlock(const Key& key, Block& block);
// Adds to `extra`; when that reaches zero, takes the block out. False: unknown.
bool AddExtra(const Key& key, int64_t delta, Block& after);
bool SetExtra(const Key& key, uint64_t extra);

// Takes out one block of that kind and owner. Looks at every block. False: there is none.
bool TakeBlockOf(Kind kind, uint64_t owner, Block& block);

// Takes out every block of one context and returns its charge.
void ReturnBlocksOf(uint64_t context);

// In a forked child: nothing is held.
void ForgetBlocks();

}  // namespace sluice::shim
