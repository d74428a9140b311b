// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <sys/mman.h>

#include "simgpu/internal/cuda/graph.h"

namespace sluice::simgpu {
namespace {

GraphMemoryUse& UseOf(int device) {
  auto& all = CurrentProcess()->graph_memory_use;
  all.resize(CurrentProcess()->devices.size());
  return all[static_cast<size_t>(device)];
}

GraphMemory* Find(CUdeviceptr address) {
  auto found = CurrentProcess()->graph_memory.find(address);
  return found == CurrentProcess()->graph_memory.end() ? nullptr : &found->second;
}

void GiveUpPlace(CUdeviceptr address, GraphMemory& memory) {
  if (!memory.reserved) return;
  ::madvise(reinterpret_cast<void*>(address), memory.span, MADV_DONTNEED);
  UnchargeCard(memory.device, static_cast<int64_t>(memory.span));
  UseOf(memory.device).reserved -= memory.span;
  memory.reserved = false;
}

void EndIfForgotten(CUdeviceptr address) {
  GraphMemory* memory = Find(address);
  if (memory->holders > 0 || memory->used) return;
  GiveUpPlace(address, *memory);
  FreeBlock(*BlockAt(address));
  CurrentProcess()->graph_memory.erase(address);
}

}  // namespace

CUresult NewGraphMemory(int device, size_t bytes, Context& context, CUdeviceptr* address) {
  constexpr size_t kBytesMax = size_t{1} << 44;
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > kBytesMax) return CUDA_ERROR_OUT_OF_MEMORY;
  GraphMemory memory;
  memory.device = device;
  memory.bytes = bytes;
  memory.span = static_cast<size_t>(RoundUp(static_cast<int64_t>(bytes), kGranularity));
  char* base = MapPages(memory.span, Place::kAnywhere);
  if (base == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  Block block;
  block.base = reinterpret_cast<CUdeviceptr>(base);
  block.bytes = bytes;
  block.span = memory.span;
  block.device = device;
  block.kind = BlockKind::kGraph;
  block.context = &context;
  *address = block.base;
  AddBlock(std::move(block));
  CurrentProcess()->graph_memory[*address] = memory;
  return CUDA_SUCCESS;
}

CUresult UseGraphMemory(CUdeviceptr address) {
  GraphMemory* memory = Find(address);
  if (memory == nullptr) return CUDA_ERROR_INVALID_VALUE;
  GraphMemoryUse& use = UseOf(memory->device);
  if (!memory->reserved) {
    CUresult charged = ChargeCard(memory->device, static_cast<int64_t>(memory->span));
    if (charged != CUDA_SUCCESS) return charged;
    memory->reserved = true;
    use.reserved += memory->span;
    use.reserved_high = std::max(use.reserved_high, use.reserved);
  }
  if (!memory->used) use.used += memory->span;
  use.used_high = std::max(use.used_high, use.used);
  memory->used = true;
  return CUDA_SUCCESS;
}

CUresult FreeGraphMemory(CUdeviceptr address) {
  GraphMemory* memory = Find(address);
  if (memory == nullptr || !memory->used) return CUDA_ERROR_INVALID_VALUE;
  memory->used = false;
  UseOf(memory->device).used -= memory->span;
  EndIfForgotten(address);
  return CUDA_SUCCESS;
}

void HoldGraphMemory(CUdeviceptr address) {
  if (GraphMemory* memory = Find(address); memory != nullptr) ++memory->holders;
}

void LetGoGraphMemory(CUdeviceptr address) {
  GraphMemory* memory = Find(address);
  if (memory == nullptr) return;
  --memory->holders;
  EndIfForgotten(address);
}

SLUICE_SIM_CALL cuDeviceGraphMemTrim(CUdevice device) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  for (auto& [address, memory] : CurrentProcess()->graph_memory) {
    if (memory.device == device && !memory.used) GiveUpPlace(address, memory);
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceGetGraphMemAttribute(CUdevice device, int attribute, void* value) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (value == nullptr || attribute < 0 || attribute > 3) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const GraphMemoryUse& use = UseOf(device);
  const uint64_t answers[] = {use.used, use.used_high, use.reserved, use.reserved_high};
  *static_cast<uint64_t*>(value) = answers[attribute];
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceSetGraphMemAttribute(CUdevice device, int attribute, void* value) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  constexpr int kUsedHigh = 1;
  constexpr int kReservedHigh = 3;
  bool high = attribute == kUsedHigh || attribute == kReservedHigh;
  if (value == nullptr || !high || *static_cast<uint64_t*>(value) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  GraphMemoryUse& use = UseOf(device);
  if (attribute == kUsedHigh) use.used_high = use.used;
  if (attribute == kReservedHigh) use.reserved_high = use.reserved;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
