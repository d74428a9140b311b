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

// Pages of which blocks get parts: one granule for small blocks, what it takes for pools.
struct Slab {
  int device = 0;
  Context* context = nullptr;
  char* base = nullptr;
  size_t span = static_cast<size_t>(kGranularity);
  std::string shared_file;  // As a block's, for all blocks in it.
  uint64_t shared_name = 0;
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
  kGraph,       // Of an allocation node; charged by its GraphMemory.
  kExternal,    // A buffer of external memory: of no card.
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
  bool read_mostly = false;   // Of a managed one: what the program advised.
  CUmemLocation preferred{};  // Type 0: nowhere.
  CUmemLocation prefetched{};
  size_t lead = 0;           // Of an imported one: how far into its pages it begins.
  std::string shared_file;   // Set once it was exported by cuIpcGetMemHandle…
  uint64_t shared_name = 0;  // …under this random name.
};

// Cuts `span` bytes from the slab; false: no hole is long enough.
bool CutFrom(Slab& slab, size_t span, size_t& offset);
void GiveBackTo(Slab& slab, size_t offset, size_t span);

struct Memory {
  std::map<CUdeviceptr, Block> blocks;
  std::vector<std::unique_ptr<Slab>> slabs;
  unsigned long long last_id = 0;
};

// Memory of allocation nodes. It keeps its address for life, and its place on the card from the
// first launch until it is free and trimmed.
struct GraphMemory {
  int device = 0;
  size_t bytes = 0;
  size_t span = 0;
  bool reserved = false;  // Charged to the card.
  bool used = false;      // Between its allocation and its free.
  int holders = 0;        // Nodes and executables that know the address.
};

struct GraphMemoryUse {
  uint64_t used = 0;
  uint64_t used_high = 0;
  uint64_t reserved = 0;
  uint64_t reserved_high = 0;
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

// Memory handed to another process: the 64 bytes of a handle, and the block behind one. Need the
// mutex and a current context.
CUresult ExportBlock(Block& block, char (&out)[64]);
CUresult ImportBlock(const char (&given)[64], CUdeviceptr* out);
// The file of something that the process in that slot shares under a random name.
std::string SharedPath(uint32_t slot, uint64_t name);

enum class Place { kAnywhere, kLow };

// `bytes` from `address` on lie within one block of the card or of memory it can reach. Takes the
// mutex.
bool OnCard(CUdeviceptr address, size_t bytes);

// Anonymous pages, aligned to the granule when `bytes` is that large; null when the machine has no
// address space left.
char* MapPages(size_t bytes, Place place);
void UnmapPages(char* base, size_t bytes);

// Writes zeroes; whole private pages are dropped instead of filled.
void FillZero(char* base, size_t bytes);

}  // namespace sluice::simgpu
