// SPDX-License-Identifier: Apache-2.0
// Stream-ordered memory: what a pool has reserved is what it costs, not the blocks in use.
#include "shim/internal/handlers.h"
#include "shim/internal/pools.h"

namespace sluice::shim {
namespace {

// Where a pool's memory is charged. One in host memory is known, too, so that nothing of it is;
// managed memory that has no place of its own may come to lie on the card in use.
Card CardOfPlace(const Location& place, int type) {
  if (place.type == kLocationDevice) {
    return CardOfOrdinal(place.id);
  }
  return type == kAllocationManaged ? CurrentCard() : kNotShared;
}

// A capture only records the allocation; it is charged when the graph is instantiated.
bool IsCapturing(CUstream stream) {
  int status = 0;
  return Cuda(Call::k_cuStreamIsCapturing, stream, &status) == kSuccess && status != 0;
}

// The pool grew past what the share may hold, by more than any pool was seen to grow: gives the
// block back at once.
void Undo(CUdeviceptr pointer, CUmemoryPool pool, PoolIndex index, uint64_t bytes) {
  Cuda(Call::k_cuMemFree_v2, pointer);
  Cuda(Call::k_cuMemPoolTrimTo, pool, size_t{0});
  MarkShrinking(index, bytes);
  SettlePools();
}

struct PoolRequest {
  CUdeviceptr* out;
  size_t bytes;
  CUmemoryPool pool;
  CUstream stream;
};

// `allocate` calls the driver.
template <typename Allocate>
CUresult AllocPooled(const PoolRequest& request, Card card, Allocate allocate) {
  if (card == kNotShared) {
    return allocate();
  }
  if (card == kForeign) {
    return kOutOfMemory;
  }
  if (IsCapturing(request.stream)) {
    // What could never fit is refused here, where the caller can still see why.
    return request.bytes > region::Room(Policy(card)) ? kOutOfMemory : allocate();
  }
  const PoolIndex index = PoolOf(request.pool, card);
  if (index < 0 || CardOfPool(index) == kNotShared) {
    return index < 0 ? kOutOfMemory : allocate();
  }
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  LearnGrowth(card);
  uint64_t charged = 0;
  if (const CUresult result = ChargeGrowth(index, request.bytes, charged); result != kSuccess) {
    return result;
  }
  const CUresult result = allocate();
  const bool fits =
      Settle(index, charged, result == kSuccess ? static_cast<int64_t>(request.bytes) : 0);
  if (result != kSuccess) {
    return result;
  }
  if (!fits) {
    Undo(*request.out, request.pool, index, request.bytes);
    CountRefusal(card);
    return kOutOfMemory;
  }
  Record({Kind::kPooled, *request.out}, {request.bytes, static_cast<uint64_t>(index), card});
  return kSuccess;
}

}  // namespace

CUresult AllocAsync(Call call, CUdeviceptr* out, size_t bytes, CUstream stream) {
  const Card card = CurrentCard();
  CUmemoryPool pool = nullptr;
  if (card >= 0 && Cuda(Call::k_cuDeviceGetMemPool, &pool, OrdinalOf(card)) != kSuccess) {
    return kNotSupported;
  }
  return AllocPooled(
      {out, bytes, pool, stream}, card, [&] { return Cuda(call, out, bytes, stream); });
}

CUresult AllocFromPool(
    Call call, CUdeviceptr* out, size_t bytes, CUmemoryPool pool, CUstream stream) {
  return AllocPooled({out, bytes, pool, stream}, CurrentCard(), [&] {
    return Cuda(call, out, bytes, pool, stream);
  });
}

CUresult FreeAsync(Call call, CUdeviceptr pointer, CUstream stream) {
  if (IsCapturing(stream)) {
    return Cuda(call, pointer, stream);
  }
  const Freeing freeing(pointer);
  return freeing.Finish(Cuda(call, pointer, stream));
}

CUresult CreatePool(Call call, CUmemoryPool* out, const PoolProperties* properties) {
  const CUresult result = Cuda(call, out, properties);
  if (result != kSuccess || !InShare()) {
    return result;
  }
  PoolOf(*out, CardOfPlace(properties->location, properties->alloc_type));
  return result;
}

CUresult NamePool(Call call, CUmemoryPool* out, const Location* location, int type) {
  const CUresult result = Cuda(call, out, location, type);
  if (result == kSuccess && InShare()) {
    PoolOf(*out, CardOfPlace(*location, type));
  }
  return result;
}

// Its memory is charged to the process that made it.
CUresult ImportPool(
    Call call, CUmemoryPool* out, void* handle, int type, unsigned long long flags) {
  const CUresult result = Cuda(call, out, handle, type, flags);
  if (result == kSuccess && InShare()) {
    PoolOf(*out, kNotShared);
  }
  return result;
}

CUresult DestroyPool(Call call, CUmemoryPool pool) {
  return InShare() ? EndOrRetire(pool) : Cuda(call, pool);
}

CUresult TrimPool(Call call, CUmemoryPool pool, size_t keep) {
  const CUresult result = Cuda(call, pool, keep);
  if (const Card card = CurrentCard(); card >= 0 && result == kSuccess) {
    if (const PoolIndex index = PoolOf(pool, card); index >= 0) {
      Settle(index, 0, 0);
    }
  }
  return result;
}

void AfterSynchronize() {
  SettlePools();
}

}  // namespace sluice::shim
