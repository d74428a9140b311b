// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/memory.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "simgpu/internal/cuda/context.h"
#include "simgpu/internal/cuda/graph.h"
#include "simgpu/internal/cuda/pool.h"

namespace sluice::simgpu {
namespace {

constexpr size_t kPage = 4096;

Memory& State() {
  return CurrentProcess()->memory;
}

CUresult NewSlab(Context& context, Slab*& made) {
  CUresult charged = ChargeCard(context.device, kGranularity);
  if (charged != CUDA_SUCCESS) return charged;
  auto slab = std::make_unique<Slab>();
  slab->base = MapPages(kGranularity, Place::kAnywhere);
  if (slab->base == nullptr) {
    UnchargeCard(context.device, kGranularity);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  slab->device = context.device;
  slab->context = &context;
  slab->free[0] = kGranularity;
  slab->free_bytes = kGranularity;
  made = slab.get();
  State().slabs.push_back(std::move(slab));
  return CUDA_SUCCESS;
}

CUresult AllocateSmall(Context& context, Block& block) {
  Slab* from = nullptr;
  size_t offset = 0;
  // The newest slab is the likeliest to have room.
  auto& slabs = State().slabs;
  for (auto slab = slabs.rbegin(); slab != slabs.rend() && from == nullptr; ++slab) {
    if ((*slab)->context != &context || (*slab)->free_bytes < block.span) continue;
    if (CutFrom(**slab, block.span, offset)) from = slab->get();
  }
  if (from == nullptr) {
    CUresult made = NewSlab(context, from);
    if (made != CUDA_SUCCESS) return made;
    CutFrom(*from, block.span, offset);
  }
  block.slab = from;
  block.base = reinterpret_cast<CUdeviceptr>(from->base + offset);
  return CUDA_SUCCESS;
}

void FreeSmall(const Block& block) {
  Slab* slab = block.slab;
  GiveBackTo(*slab, block.base - reinterpret_cast<CUdeviceptr>(slab->base), block.span);
  if (slab->free_bytes < slab->span) return;
  UnmapPages(slab->base, kGranularity);
  if (!slab->shared_file.empty()) ::unlink(slab->shared_file.c_str());
  UnchargeCard(slab->device, kGranularity);
  auto& slabs = State().slabs;
  slabs.erase(std::find_if(
      slabs.begin(), slabs.end(), [&](const auto& entry) { return entry.get() == slab; }));
}

CUresult AllocateLarge(Context& context, Block& block, Place place) {
  CUresult charged = ChargeCard(context.device, static_cast<int64_t>(block.span));
  if (charged != CUDA_SUCCESS) return charged;
  char* base = MapPages(block.span, place);
  if (base == nullptr) {
    UnchargeCard(context.device, static_cast<int64_t>(block.span));
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  block.charged = static_cast<int64_t>(block.span);
  block.base = reinterpret_cast<CUdeviceptr>(base);
  return CUDA_SUCCESS;
}

}  // namespace

bool CutFrom(Slab& slab, size_t span, size_t& offset) {
  for (auto hole = slab.free.begin(); hole != slab.free.end(); ++hole) {
    if (hole->second < span) continue;
    offset = hole->first;
    size_t rest = hole->second - span;
    slab.free.erase(hole);
    if (rest > 0) slab.free[offset + span] = rest;
    slab.free_bytes -= span;
    return true;
  }
  return false;
}

void GiveBackTo(Slab& slab, size_t offset, size_t span) {
  slab.free_bytes += span;
  auto next = slab.free.lower_bound(offset);
  if (next != slab.free.end() && next->first == offset + span) {
    span += next->second;
    next = slab.free.erase(next);
  }
  if (next != slab.free.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += span;
      return;
    }
  }
  slab.free[offset] = span;
}

Block* FindBlock(CUdeviceptr address) {
  auto& blocks = State().blocks;
  auto after = blocks.upper_bound(address);
  if (after == blocks.begin()) return nullptr;
  Block& block = std::prev(after)->second;
  return address - block.base < std::max<size_t>(block.bytes, 1) ? &block : nullptr;
}

Block* BlockAt(CUdeviceptr base) {
  auto found = State().blocks.find(base);
  return found == State().blocks.end() ? nullptr : &found->second;
}

namespace {

// What the driver cannot checkpoint.
bool Hinders(const Block& block) {
  return block.kind == BlockKind::kManaged || block.kind == BlockKind::kImported;
}

}  // namespace

Block& AddBlock(Block block) {
  if (Hinders(block)) CurrentProcess()->map.AddHindrances(1);
  block.id = ++State().last_id;
  CUdeviceptr base = block.base;
  return State().blocks.insert_or_assign(base, std::move(block)).first->second;
}

bool OnCard(CUdeviceptr address, size_t bytes) {
  std::lock_guard lock(CurrentProcess()->mutex);
  while (bytes > 0) {  // Mappings of cuMemMap side by side count as one range.
    Block* block = FindBlock(address);
    if (block == nullptr) return false;
    // Mapped, and nobody was given access yet.
    if (block->kind == BlockKind::kMapped && block->flags == 0) return false;
    size_t here = block->base + block->bytes - address;
    if (here >= bytes) return true;
    if (block->kind != BlockKind::kMapped) return false;
    address += here;
    bytes -= here;
  }
  return true;
}

char* MapPages(size_t bytes, Place place) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (place == Place::kLow) flags |= MAP_32BIT;
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  void* first = ::mmap(nullptr, bytes, kAccess, flags, -1, 0);
  if (first == MAP_FAILED) return nullptr;
  auto align = static_cast<uintptr_t>(kGranularity);
  if (bytes < align || reinterpret_cast<uintptr_t>(first) % align == 0) {
    return static_cast<char*>(first);
  }
  ::munmap(first, bytes);
  void* wide = ::mmap(nullptr, bytes + align, kAccess, flags, -1, 0);
  if (wide == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(wide);
  size_t head = (align - reinterpret_cast<uintptr_t>(wide) % align) % align;
  if (head > 0) ::munmap(begin, head);
  if (align - head > 0) ::munmap(begin + head + bytes, align - head);
  return begin + head;
}

void UnmapPages(char* base, size_t bytes) {
  ::munmap(base, bytes);
}

void FillZero(char* base, size_t bytes) {
  auto address = reinterpret_cast<uintptr_t>(base);
  auto head = std::min<size_t>((kPage - address % kPage) % kPage, bytes);
  size_t whole = (bytes - head) / kPage * kPage;
  constexpr size_t kWorthwhile = size_t{1} << 20;
  bool dropped = whole >= kWorthwhile && ::madvise(base + head, whole, MADV_DONTNEED) == 0;
  if (!dropped) {
    std::memset(base, 0, bytes);
    return;
  }
  std::memset(base, 0, head);
  std::memset(base + head + whole, 0, bytes - head - whole);
}

CUresult AllocateLinear(Context& context, size_t bytes, CUdeviceptr* address) {
  const Device& device = CurrentProcess()->devices[static_cast<size_t>(context.device)];
  if (bytes > static_cast<size_t>(device.capacity)) return CUDA_ERROR_OUT_OF_MEMORY;
  Block block;
  block.bytes = bytes;
  block.device = context.device;
  block.context = &context;
  bool small = bytes <= kSmallMax;
  block.span = static_cast<size_t>(RoundUp(
      static_cast<int64_t>(bytes), small ? static_cast<int64_t>(kSmallAlign) : kGranularity));
  CUresult got =
      small ? AllocateSmall(context, block) : AllocateLarge(context, block, Place::kAnywhere);
  if (got != CUDA_SUCCESS) return got;
  *address = block.base;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

CUresult AllocateLow(Context& context, size_t bytes, CUdeviceptr* address) {
  Block block;
  block.bytes = bytes;
  block.device = context.device;
  block.context = &context;
  block.span = static_cast<size_t>(RoundUp(static_cast<int64_t>(bytes), kGranularity));
  CUresult got = AllocateLarge(context, block, Place::kLow);
  if (got != CUDA_SUCCESS) return got;
  *address = block.base;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

void FreeBlock(Block& block) {
  if (Hinders(block)) CurrentProcess()->map.AddHindrances(-1);
  if (block.pool != nullptr) {
    ReturnToPool(block);
  } else if (block.slab != nullptr) {
    FreeSmall(block);
  } else if (block.kind != BlockKind::kRegistered) {
    UnmapPages(reinterpret_cast<char*>(block.base) - block.lead, block.span);
  }
  if (block.charged > 0) UnchargeCard(block.device, block.charged);
  if (!block.shared_file.empty()) ::unlink(block.shared_file.c_str());
  State().blocks.erase(block.base);
}

void FreeBlocksOf(const Context& context) {
  auto& blocks = State().blocks;
  for (auto entry = blocks.begin(); entry != blocks.end();) {
    Block& block = (entry++)->second;
    bool ends = block.kind == BlockKind::kLinear || block.kind == BlockKind::kManaged ||
                block.kind == BlockKind::kImported || block.kind == BlockKind::kExternal;
    if (ends && block.context == &context) FreeBlock(block);
  }
}

}  // namespace sluice::simgpu
