// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/pool.h"

#include <algorithm>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/cuda/graph.h"

namespace sluice::simgpu {
namespace {

enum PoolAttribute : int {
  kReuseFirst = 1,
  kReuseLast = 3,
  kReleaseThreshold = 4,
  kReservedCurrent = 5,
  kReservedHigh = 6,
  kUsedCurrent = 7,
  kUsedHigh = 8,
};

Pool* ToPool(CUmemoryPool handle) {
  auto* pool = reinterpret_cast<Pool*>(handle);
  for (const auto& known : CurrentProcess()->pools) {
    if (known.get() == pool && !pool->destroyed) return pool;
  }
  return nullptr;
}

CUmemoryPool ToHandle(Pool* pool) {
  return reinterpret_cast<CUmemoryPool>(pool);
}

Pool& NewPool(int device) {
  auto& pools = CurrentProcess()->pools;
  pools.push_back(std::make_unique<Pool>());
  pools.back()->device = device;
  return *pools.back();
}

// The device's own pool, made when first asked for.
Pool& DefaultPool(int device) {
  for (const auto& pool : CurrentProcess()->pools) {
    if (pool->is_default && pool->device == device && !pool->on_host) return *pool;
  }
  Pool& made = NewPool(device);
  made.is_default = true;
  return made;
}

Pool& CurrentPool(int device) {
  auto& chosen = CurrentProcess()->devices[static_cast<size_t>(device)].pool;
  Pool* pool = chosen == nullptr ? nullptr : ToPool(chosen);
  return pool == nullptr ? DefaultPool(device) : *pool;
}

// Frees unused chunks until at most `keep` bytes are reserved.
void Trim(Pool& pool, uint64_t keep) {
  auto& chunks = pool.chunks;
  for (size_t i = chunks.size(); i-- > 0 && pool.reserved > keep;) {
    Slab& chunk = *chunks[i];
    if (chunk.free_bytes < chunk.span) continue;
    UnmapPages(chunk.base, chunk.span);
    if (!chunk.shared_file.empty()) ::unlink(chunk.shared_file.c_str());
    if (!pool.on_host) UnchargeCard(pool.device, static_cast<int64_t>(chunk.span));
    pool.reserved -= chunk.span;
    chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

CUresult Grow(Pool& pool, size_t bytes) {
  auto span = RoundUp(static_cast<int64_t>(bytes), CurrentProcess()->scene.pool_chunk.value());
  if (pool.bytes_max != 0 && pool.reserved + static_cast<uint64_t>(span) > pool.bytes_max) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  CUresult charged = pool.on_host ? CUDA_SUCCESS : ChargeCard(pool.device, span);
  if (charged != CUDA_SUCCESS) return charged;
  auto chunk = std::make_unique<Slab>();
  chunk->device = pool.device;
  chunk->span = static_cast<size_t>(span);
  chunk->base = MapPages(chunk->span, Place::kAnywhere);
  if (chunk->base == nullptr) {
    if (!pool.on_host) UnchargeCard(pool.device, span);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  chunk->free[0] = chunk->span;
  chunk->free_bytes = chunk->span;
  pool.chunks.push_back(std::move(chunk));
  pool.reserved += static_cast<uint64_t>(span);
  pool.reserved_high = std::max(pool.reserved_high, pool.reserved);
  return CUDA_SUCCESS;
}

// Needs the mutex.
CUresult Allocate(Pool& pool, size_t bytes, CUdeviceptr* address) {
  constexpr size_t kBytesMax = size_t{1} << 44;
  if (bytes > kBytesMax) return CUDA_ERROR_OUT_OF_MEMORY;
  size_t span = (bytes + kSmallAlign - 1) / kSmallAlign * kSmallAlign;
  Slab* from = nullptr;
  size_t offset = 0;
  for (int tries = 0; from == nullptr && tries < 2; ++tries) {
    for (auto chunk = pool.chunks.rbegin(); chunk != pool.chunks.rend(); ++chunk) {
      if ((*chunk)->free_bytes >= span && CutFrom(**chunk, span, offset)) {
        from = chunk->get();
        break;
      }
    }
    if (from != nullptr || tries == 1) break;
    CUresult grown = Grow(pool, span);
    if (grown == CUDA_ERROR_OUT_OF_MEMORY) {
      // Unused chunks that were too short are worth more as free memory of the card.
      Trim(pool, 0);
      grown = Grow(pool, span);
    }
    if (grown != CUDA_SUCCESS) return grown;
  }
  if (from == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  Block block;
  block.base = reinterpret_cast<CUdeviceptr>(from->base + offset);
  block.bytes = bytes;
  block.span = span;
  block.device = pool.device;
  block.kind = BlockKind::kPool;
  block.context = CurrentContext();
  block.slab = from;
  block.pool = &pool;
  *address = block.base;
  AddBlock(std::move(block));
  pool.used += span;
  pool.used_high = std::max(pool.used_high, pool.used);
  return CUDA_SUCCESS;
}

// An allocation in a stream that captures becomes a node of the graph. `done` tells whether it did.
CUresult CaptureAllocation(Stream& stream, size_t bytes, CUdeviceptr* address, bool& done) {
  done = stream.capture != nullptr;
  if (!done) return CUDA_SUCCESS;
  CUresult made = NewGraphMemory(stream.device, bytes, *stream.context, address);
  if (made != CUDA_SUCCESS) return made;
  return CaptureNode(stream, kNodeMemAlloc, {}, *address);
}

// `handle` null: the current pool of the stream's device.
CUresult AllocateIn(CUdeviceptr* address,
                    size_t bytes,
                    CUmemoryPool handle,
                    CUstream stream_handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Stream> stream = ResolveStream(stream_handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Pool* pool = handle == nullptr ? &CurrentPool(stream->device) : ToPool(handle);
  if (pool == nullptr || pool->imported) return CUDA_ERROR_INVALID_VALUE;
  bool captured = false;
  CUresult capture = CaptureAllocation(*stream, bytes, address, captured);
  return captured ? capture : Allocate(*pool, bytes, address);
}

// Needs the mutex.
void EndIfEmpty(Pool& pool) {
  if (!pool.destroyed || pool.used > 0) return;
  Trim(pool, 0);
  std::erase_if(CurrentProcess()->pools, [&](const auto& entry) { return entry.get() == &pool; });
}

}  // namespace

void ReturnToPool(const Block& block) {
  Pool& pool = *block.pool;
  GiveBackTo(*block.slab, block.base - reinterpret_cast<CUdeviceptr>(block.slab->base), block.span);
  pool.used -= block.span;
  EndIfEmpty(pool);
}

void ReleasePools() {
  std::lock_guard lock(CurrentProcess()->mutex);
  for (const auto& pool : CurrentProcess()->pools) {
    if (pool->reserved > pool->threshold) Trim(*pool, pool->threshold);
  }
}

SLUICE_SIM_CALL cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
  return AllocateIn(address, bytes, nullptr, stream);
}

SLUICE_SIM_CALL
cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream) {
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return AllocateIn(address, bytes, pool, stream);
}

SLUICE_SIM_CALL cuMemFreeAsync(CUdeviceptr address, CUstream stream_handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(stream_handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    bool graphs = CurrentProcess()->graph_memory.contains(address);
    if (stream->capture != nullptr) {
      return graphs ? CaptureNode(*stream, kNodeMemFree, {}, address) : CUDA_ERROR_INVALID_VALUE;
    }
    const Block* block = BlockAt(address);
    bool ours = block != nullptr &&
                (block->kind == BlockKind::kPool || block->kind == BlockKind::kImported);
    if (!graphs && !ours) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  Operation operation;
  operation.run = [address] {
    std::lock_guard lock(CurrentProcess()->mutex);
    Block* block = BlockAt(address);
    bool ours = block != nullptr &&
                (block->kind == BlockKind::kPool || block->kind == BlockKind::kImported);
    if (ours) {
      FreeBlock(*block);
      return CUDA_SUCCESS;
    }
    return FreeGraphMemory(address);
  };
  return SubmitTo(stream_handle, std::move(operation), kNodeMemFree);
}

SLUICE_SIM_CALL cuMemPoolCreate(CUmemoryPool* made, const CUmemPoolProps* props) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (made == nullptr || props == nullptr || props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  bool on_device = props->location.type == CU_MEM_LOCATION_TYPE_DEVICE;
  bool on_host = props->location.type == CU_MEM_LOCATION_TYPE_HOST ||
                 props->location.type == CU_MEM_LOCATION_TYPE_HOST_NUMA ||
                 props->location.type == CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT;
  if (!on_device && !on_host) return CUDA_ERROR_INVALID_VALUE;
  if (on_device && !IsDevice(props->location.id)) return CUDA_ERROR_INVALID_DEVICE;
  if ((props->handleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  Pool& pool = NewPool(on_device ? props->location.id : 0);
  pool.on_host = on_host;
  pool.bytes_max = props->maxSize;
  pool.handle_types = props->handleTypes;
  *made = ToHandle(&pool);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolDestroy(CUmemoryPool handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Pool* pool = ToPool(handle);
  if (pool == nullptr || pool->is_default) return CUDA_ERROR_INVALID_VALUE;
  pool->destroyed = true;
  EndIfEmpty(*pool);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolTrimTo(CUmemoryPool handle, size_t keep) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Pool* pool = ToPool(handle);
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Trim(*pool, keep);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolGetAttribute(CUmemoryPool handle, int attribute, void* value) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Pool* pool = ToPool(handle);
  if (pool == nullptr || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (attribute >= kReuseFirst && attribute <= kReuseLast) {
    *static_cast<int*>(value) = static_cast<int>(pool->reuse[attribute - kReuseFirst]);
    return CUDA_SUCCESS;
  }
  const uint64_t* from = attribute == kReleaseThreshold  ? &pool->threshold
                         : attribute == kReservedCurrent ? &pool->reserved
                         : attribute == kReservedHigh    ? &pool->reserved_high
                         : attribute == kUsedCurrent     ? &pool->used
                         : attribute == kUsedHigh        ? &pool->used_high
                                                         : nullptr;
  if (from == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *static_cast<uint64_t*>(value) = *from;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolSetAttribute(CUmemoryPool handle, int attribute, void* value) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Pool* pool = ToPool(handle);
  if (pool == nullptr || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (attribute >= kReuseFirst && attribute <= kReuseLast) {
    pool->reuse[attribute - kReuseFirst] = *static_cast<int*>(value) != 0 ? 1 : 0;
    return CUDA_SUCCESS;
  }
  uint64_t given = *static_cast<uint64_t*>(value);
  if (attribute == kReleaseThreshold) {
    pool->threshold = given;
    return CUDA_SUCCESS;
  }
  // High-water marks can be set back, nothing else.
  if (given != 0) return CUDA_ERROR_INVALID_VALUE;
  if (attribute == kReservedHigh) {
    pool->reserved_high = pool->reserved;
  } else if (attribute == kUsedHigh) {
    pool->used_high = pool->used;
  } else {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc* map, size_t count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return ToPool(handle) == nullptr || (map == nullptr && count > 0) ? CUDA_ERROR_INVALID_VALUE
                                                                    : CUDA_SUCCESS;
}

namespace {
CUresult ShowPool(CUmemoryPool* pool, CUdevice device, Pool& (*which)(int)) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  *pool = ToHandle(&which(device));
  return CUDA_SUCCESS;
}
}  // namespace

SLUICE_SIM_CALL cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return ShowPool(pool, device, DefaultPool);
}

SLUICE_SIM_CALL cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return ShowPool(pool, device, CurrentPool);
}

SLUICE_SIM_CALL cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Pool* pool = ToPool(handle);
  if (pool == nullptr || pool->device != device) return CUDA_ERROR_INVALID_VALUE;
  CurrentProcess()->devices[static_cast<size_t>(device)].pool = handle;
  return CUDA_SUCCESS;
}

// The forms of CUDA 13 that name a place instead of a device.
SLUICE_SIM_CALL cuMemGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* place, int /*type*/) {
  if (place == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (place->type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  return cuDeviceGetDefaultMemPool(pool, place->id);
}

SLUICE_SIM_CALL cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* place, int /*type*/) {
  if (place == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (place->type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  return cuDeviceGetMemPool(pool, place->id);
}

SLUICE_SIM_CALL cuMemSetMemPool(CUmemLocation* place, int /*type*/, CUmemoryPool pool) {
  if (place == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (place->type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  return cuDeviceSetMemPool(place->id, pool);
}

// Pools that processes share: the handle names the pool, each pointer travels on its own.
SLUICE_SIM_CALL cuMemPoolExportToShareableHandle(void* out,
                                                 CUmemoryPool handle,
                                                 int type,
                                                 unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Pool* pool = ToPool(handle);
  bool may = pool != nullptr && out != nullptr && flags == 0 && pool->handle_types == type &&
             type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  if (!may) return CUDA_ERROR_INVALID_VALUE;
  int fd = ::memfd_create("sluice-simgpu-pool", MFD_CLOEXEC);
  if (fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *static_cast<int*>(out) = fd;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolImportFromShareableHandle(CUmemoryPool* out,
                                                   void* given,
                                                   int type,
                                                   unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  struct stat found {};
  int fd = static_cast<int>(reinterpret_cast<intptr_t>(given));
  bool may = out != nullptr && flags == 0 && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
             ::fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
  if (!may) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Pool& pool = NewPool(0);
  pool.imported = true;
  *out = ToHandle(&pool);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemPoolExportPointer(CUipcMemHandle* out, CUdeviceptr address) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = BlockAt(address);
  bool may = out != nullptr && block != nullptr && block->kind == BlockKind::kPool &&
             block->pool->handle_types != 0;
  return may ? ExportBlock(*block, out->reserved) : CUDA_ERROR_INVALID_VALUE;
}

SLUICE_SIM_CALL
cuMemPoolImportPointer(CUdeviceptr* out, CUmemoryPool handle, const CUipcMemHandle* given) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Pool* pool = ToPool(handle);
  if (out == nullptr || given == nullptr || pool == nullptr || !pool->imported) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return ImportBlock(given->reserved, out);
}

SLUICE_SIM_CALL cuMemPoolGetAccess(int* flags, CUmemoryPool handle, CUmemLocation* place) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (flags == nullptr || place == nullptr || ToPool(handle) == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  constexpr int kReadWrite = 3;
  *flags = kReadWrite;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
