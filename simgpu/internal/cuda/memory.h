// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "simgpu/internal/abi/cuda.h"

// Memory of the simulated cards. A device pointer is an address of this process whose pages come
// into being when touched, so copies carry data and a card may be larger than the machine.
namespace sluice::simgpu {

struct Context;
struct Pool;

inline constexpr int64_t kGranularity = int64_t{2} << 20;  // What the card hands out.
inline constexpr size_t kSmallAlign = 512;                 // Of blocks that share a slab.
inline constexpr size_t kSmallMax = size_t{1} << 20;       // Larger blocks get their own pages.

constexpr int64_t RoundUp(int64_t bytes, int64_t to) {
  return (bytes + to - 1) / to * to;
}

// One granule of which small blocks get parts.
struct Slab {
  int device = 0;
  Context* context = nullptr;
  char* base = nullptr;
  std::map<size_t, size_t> free;  // Offset → length, never touching each other.
  size_t free_bytes = 0;
};

enum class BlockKind {
  kLinear,  // cuMemAlloc and its kin.
  kManaged,
  kHost,        // cuMemAllocHost: pinned memory of the machine, not charged.
  kRegistered,  // cuMemHostRegister: the program's own memory.
  kPool,        // Stream-ordered, part of a pool.
  kMapped,      // A mapping of cuMemMap.
  kImported,    // Opened from another process; its exporter is charged.
};

struct Block {
  CUdeviceptr base = 0;
  size_t bytes = 0;     // As asked for.
  size_t span = 0;      // As mapped or cut from a slab.
  int64_t charged = 0;  // Bytes taken from the card by this block alone.
  int device = 0;
  BlockKind kind = BlockKind::kLinear;
  Context* context = nullptr;
  Slab* slab = nullptr;
  Pool* pool = nullptr;
  unsigned flags = 0;
  unsigned long long id = 0;
  std::string shared_file;  // Set once it was exported by cuIpcGetMemHandle or opened by it.
};

struct Memory {
  std::map<CUdeviceptr, Block> blocks;
  std::vector<std::unique_ptr<Slab>> slabs;
  unsigned long long last_id = 0;
};

// All of these need the process's mutex.

// The block that holds the address; null: none.
Block* FindBlock(CUdeviceptr address);
// The block that begins there.
Block* BlockAt(CUdeviceptr base);
Block& AddBlock(Block block);

// Charges the card and makes a block of it in the context.
CUresult AllocateLinear(Context& context, size_t bytes, CUdeviceptr* address);
// The same with an address below 4 GiB, for the oldest calls, whose pointers have 32 bits.
CUresult AllocateLow(Context& context, size_t bytes, CUdeviceptr* address);
// Frees a block of any kind and gives its charge back.
void FreeBlock(Block& block);
// What the end of a context frees: its linear and managed blocks.
void FreeBlocksOf(const Context& context);

enum class Place { kAnywhere, kLow };

// Anonymous pages, aligned to the granule when `bytes` is that large; null when the machine has no
// address space left.
char* MapPages(size_t bytes, Place place);
void UnmapPages(char* base, size_t bytes);

// Writes zeroes; whole private pages are dropped instead of filled.
void FillZero(char* base, size_t bytes);

}  // namespace sluice::simgpu
