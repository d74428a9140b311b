// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "shim/internal/abi.h"
#include "shim/internal/blocks.h"
#include "shim/internal/driver.h"
#include "shim/internal/process.h"

// What is done at each call of calls.def: charge, call the driver, settle. The historic 32-bit
// forms and the per-thread-stream forms share their handler with the present one.
namespace sluice::shim {

CUresult GetProcAddress(Call call, const char* name, void** out, int version, uint64_t flags);
CUresult GetProcAddress(
    Call call, const char* name, void** out, int version, uint64_t flags, int* status);
CUresult Initialize(Call call, unsigned flags);

// Linear memory.
CUcontext CurrentContext();
// Records a charged block; an older one of the same address was freed behind our back.
void Record(const Key& key, const Block& block);
CUresult AllocManaged(Call call, CUdeviceptr* out, size_t bytes, unsigned flags);
// Before the driver frees the pointer: takes its block out; after: returns the charge, or puts it
// back when the driver refused.
struct Freeing {
  explicit Freeing(CUdeviceptr pointer);
  CUresult Finish(CUresult result) const;

  CUdeviceptr pointer;
  Kind kind = Kind::kEmpty;
  Block block = {};
};
// Rows that a pitched block is reserved with, before the driver says its pitch.
uint64_t PitchedBytes(size_t width, size_t height);
CUresult KeepPitched(Card card, CUdeviceptr pointer, uint64_t reserved, uint64_t bytes);

template <typename Pointer, typename Bytes>
CUresult AllocLinear(Call call, Pointer* out, Bytes bytes) {
  const Card card = CurrentCard();
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  if (const CUresult result = Charge(card, bytes); result != kSuccess) {
    return result;
  }
  const CUresult result = Cuda(call, out, bytes);
  if (result != kSuccess) {
    Return(card, bytes);
  } else {
    Record({Kind::kMemory, *out, reinterpret_cast<uint64_t>(CurrentContext())}, {bytes, 0, card});
  }
  return result;
}

template <typename Pointer, typename Bytes>
CUresult AllocPitch(
    Call call, Pointer* out, Bytes* pitch, Bytes width, Bytes height, unsigned element) {
  const Card card = CurrentCard();
  const uint64_t reserved = PitchedBytes(width, height);
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  if (const CUresult result = Charge(card, reserved); result != kSuccess) {
    return result;
  }
  const CUresult result = Cuda(call, out, pitch, width, height, element);
  if (result != kSuccess) {
    Return(card, reserved);
    return result;
  }
  return KeepPitched(card, *out, reserved, uint64_t{*pitch} * height);
}

template <typename Pointer>
CUresult FreeLinear(Call call, Pointer pointer) {
  const Freeing freeing(pointer);
  return freeing.Finish(Cuda(call, pointer));
}

// Arrays.
uint64_t ArrayBytes(const ArrayDescriptor3D& shape, unsigned levels);
CUresult DestroyArray(Call call, CUarray array);
CUresult CreateMipmapped(Call call,
                         CUmipmappedArray* out,
                         const ArrayDescriptor3D* shape,
                         unsigned levels);
CUresult DestroyMipmapped(Call call, CUmipmappedArray array);

inline ArrayDescriptor3D Widen(const ArrayDescriptorV1& a) {
  return {a.width, a.height, 0, a.format, a.channels, 0};
}
inline ArrayDescriptor3D Widen(const ArrayDescriptor& a) {
  return {a.width, a.height, 0, a.format, a.channels, 0};
}
inline ArrayDescriptor3D Widen(const ArrayDescriptor3DV1& a) {
  return {a.width, a.height, a.depth, a.format, a.channels, a.flags};
}
inline ArrayDescriptor3D Widen(const ArrayDescriptor3D& a) {
  return a;
}

template <typename Descriptor>
CUresult CreateArray(Call call, CUarray* out, const Descriptor* shape) {
  const Card card = CurrentCard();
  const uint64_t bytes = shape == nullptr ? 0 : ArrayBytes(Widen(*shape), 1);
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  if (const CUresult result = Charge(card, bytes); result != kSuccess) {
    return result;
  }
  const CUresult result = Cuda(call, out, shape);
  if (result != kSuccess) {
    Return(card, bytes);
  } else {
    Record({Kind::kArray,
            reinterpret_cast<uint64_t>(*out),
            reinterpret_cast<uint64_t>(CurrentContext())},
           {bytes, 0, card});
  }
  return result;
}

// Stream-ordered memory and pools.
CUresult AllocAsync(Call call, CUdeviceptr* out, size_t bytes, CUstream stream);
CUresult AllocFromPool(
    Call call, CUdeviceptr* out, size_t bytes, CUmemoryPool pool, CUstream stream);
CUresult FreeAsync(Call call, CUdeviceptr pointer, CUstream stream);
CUresult CreatePool(Call call, CUmemoryPool* out, const PoolProperties* properties);
CUresult DestroyPool(Call call, CUmemoryPool pool);
// The driver's own pools, and another process's.
CUresult NamePool(Call call, CUmemoryPool* out, const Location* location, int type);
CUresult ImportPool(Call call, CUmemoryPool* out, void* handle, int type, unsigned long long flags);
CUresult TrimPool(Call call, CUmemoryPool pool, size_t keep);

// Virtual memory management.
CUresult CreateHandle(Call call,
                      CUmemHandle* out,
                      size_t bytes,
                      const AllocationProperties* properties,
                      uint64_t flags);
CUresult ReleaseHandle(Call call, CUmemHandle handle);
CUresult MapHandle(
    Call call, CUdeviceptr at, size_t bytes, size_t offset, CUmemHandle handle, uint64_t flags);
CUresult UnmapHandle(Call call, CUdeviceptr at, size_t bytes);
CUresult RetainHandle(Call call, CUmemHandle* out, void* at);
// One reference less; the last one gives the charge back.
void DropHandle(CUmemHandle handle);

// What holds on to a handle's memory beside mappings: sparse arrays, multicast objects, logical
// endpoints. Handles that others own are known to nobody here and not held.
struct ArrayMapInfo;
CUresult MapArrays(Call call, const ArrayMapInfo* list, unsigned count, CUstream stream);
CUresult BindMulticast(Call call,
                       CUmemHandle object,
                       size_t at,
                       CUmemHandle memory,
                       size_t offset,
                       size_t bytes,
                       unsigned long long flags);
CUresult BindMulticastOn(Call call,
                         CUmemHandle object,
                         CUdevice device,
                         size_t at,
                         CUmemHandle memory,
                         size_t offset,
                         size_t bytes,
                         unsigned long long flags);
CUresult UnbindMulticast(Call call, CUmemHandle object, CUdevice device, size_t at, size_t bytes);
CUresult BindEndpoint(Call call,
                      unsigned endpoint,
                      CUdevice device,
                      uint64_t at,
                      CUmemHandle memory,
                      uint64_t offset,
                      uint64_t bytes,
                      unsigned long long flags);
CUresult UnbindEndpoint(Call call, unsigned endpoint, CUdevice device, uint64_t at, uint64_t bytes);
CUresult DestroyEndpoint(Call call, unsigned endpoint);
// The object is gone: it holds nothing any more.
void ReleaseHolds(uint64_t object);

// Graph memory.
CUresult AddAllocNode(Call call,
                      CUgraphNode* out,
                      CUgraph graph,
                      const CUgraphNode* after,
                      size_t after_count,
                      AllocNodeParams* params);
CUresult AddNode(Call call,
                 CUgraphNode* out,
                 CUgraph graph,
                 const CUgraphNode* after,
                 size_t after_count,
                 GraphNodeParams* params);
CUresult AddNodeEdges(Call call,
                      CUgraphNode* out,
                      CUgraph graph,
                      const CUgraphNode* after,
                      const void* edges,
                      size_t after_count,
                      GraphNodeParams* params);
// What an executable graph's allocations may take, and on which card.
struct GraphNeed {
  uint64_t bytes = 0;
  Card card = kNotShared;
};
GraphNeed NeedOf(CUgraph graph);
CUresult ChargeGraph(const GraphNeed& need, uint64_t& charged);
CUresult KeepExec(CUresult result, CUgraphExec* out, const GraphNeed& need, uint64_t charged);
CUresult RunExec(Call call, CUgraphExec exec, CUstream stream);
CUresult DestroyExec(Call call, CUgraphExec exec);
CUresult TrimGraphMemory(Call call, CUdevice ordinal);

template <typename Last>
CUresult Instantiate(Call call, CUgraphExec* out, CUgraph graph, Last last) {
  const GraphNeed need = NeedOf(graph);
  uint64_t charged = 0;
  if (const CUresult result = ChargeGraph(need, charged); result != kSuccess) {
    return result;
  }
  return KeepExec(Cuda(call, out, graph, last), out, need, charged);
}
CUresult InstantiateLogged(
    Call call, CUgraphExec* out, CUgraph graph, CUgraphNode* node, char* log, size_t log_bytes);

// At points where freed pool memory has come back.
void AfterSynchronize();

// Contexts.
CUresult CreateContext(Call call, CUcontext* out, unsigned flags, CUdevice ordinal);
CUresult CreateContextAffinity(
    Call call, CUcontext* out, void* affinity, int count, unsigned flags, CUdevice ordinal);
CUresult CreateContextParams(
    Call call, CUcontext* out, void* params, unsigned flags, CUdevice ordinal);
CUresult DestroyContext(Call call, CUcontext context);
CUresult ReleasePrimary(Call call, CUdevice ordinal);

// Views: the share instead of the card.
uint64_t ShownTotal(Card card, uint64_t real_total);
uint64_t ShownFree(Card card, uint64_t real_free, uint64_t shown_total);

template <typename Bytes>
CUresult ShowTotal(Call call, Bytes* out, CUdevice ordinal) {
  const CUresult result = Cuda(call, out, ordinal);
  const Card card = CardOfOrdinal(ordinal);
  if (result == kSuccess && out != nullptr && card != kNotShared) {
    const uint64_t total = ShownTotal(card, *out);
    const uint64_t most = Bytes(-1);
    *out = static_cast<Bytes>(total < most ? total : most);
  }
  return result;
}

template <typename Bytes>
CUresult ShowInfo(Call call, Bytes* free, Bytes* total) {
  const CUresult result = Cuda(call, free, total);
  const Card card = CurrentCard();
  if (result != kSuccess || card == kNotShared) {
    return result;
  }
  AfterSynchronize();
  const uint64_t most = Bytes(-1);
  const uint64_t shown = ShownTotal(card, total == nullptr ? most : *total);
  if (total != nullptr) {
    *total = static_cast<Bytes>(shown < most ? shown : most);
  }
  if (free != nullptr) {
    const uint64_t left = ShownFree(card, *free, shown);
    *free = static_cast<Bytes>(left < most ? left : most);
  }
  return result;
}

// NVML.
int ListProcesses(Call call, NvmlDevice device, unsigned* count, NvmlProcessV1* entries);
int ListProcesses(Call call, NvmlDevice device, unsigned* count, NvmlProcess* entries);
int ShowMemory(Call call, NvmlDevice device, NvmlMemoryV1* memory);
int ShowMemory(Call call, NvmlDevice device, NvmlMemory* memory);
int ListUtilization(Call call,
                    NvmlDevice device,
                    NvmlUtilization* entries,
                    unsigned* count,
                    unsigned long long since);
int ListPids(Call call, NvmlDevice device, unsigned* count, unsigned* pids);
int ShowAccounting(Call call, NvmlDevice device, unsigned pid, void* stats);
int ShowAccounting(Call call, NvmlDevice device, unsigned* stats);
int ShowName(Call call, unsigned pid, char* name, unsigned length);
int ListUtilizationInfo(Call call, NvmlDevice device, NvmlUtilizationList* list);
int ListDetail(Call call, NvmlDevice device, NvmlDetailList* list);

}  // namespace sluice::shim
