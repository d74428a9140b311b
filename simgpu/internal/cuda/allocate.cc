// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "simgpu/internal/cuda/graph.h"

// The calls that take and give back linear memory.
namespace sluice::simgpu {

SLUICE_SIM_CALL cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  Process& process = *CurrentProcess();
  const Device& device = process.devices[static_cast<size_t>(CurrentContext()->device)];
  int64_t used = process.map.Used(device.unit, device.capacity);
  if (free_bytes != nullptr) *free_bytes = static_cast<size_t>(device.capacity - used);
  if (total_bytes != nullptr) *total_bytes = static_cast<size_t>(device.capacity);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  return AllocateLinear(*CurrentContext(), bytes, address);
}

SLUICE_SIM_CALL cuMemFree_v2(CUdeviceptr address) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (address == 0) return CUDA_SUCCESS;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = BlockAt(address);
  if (block == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (block->kind == BlockKind::kGraph) return FreeGraphMemory(address);
  bool ours = block->kind == BlockKind::kLinear || block->kind == BlockKind::kManaged ||
              block->kind == BlockKind::kPool || block->kind == BlockKind::kExternal;
  if (!ours) return CUDA_ERROR_INVALID_VALUE;
  FreeBlock(*block);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemAllocPitch_v2(CUdeviceptr* address,
                   size_t* pitch,
                   size_t width_bytes,
                   size_t height,
                   unsigned element_bytes) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  bool element_known = element_bytes == 4 || element_bytes == 8 || element_bytes == 16;
  if (address == nullptr || pitch == nullptr || width_bytes == 0 || height == 0 || !element_known) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  constexpr size_t kPitchAlign = 512;
  constexpr size_t kWidthMax = size_t{1} << 40;
  if (width_bytes > kWidthMax) return CUDA_ERROR_OUT_OF_MEMORY;
  size_t row = (width_bytes + kPitchAlign - 1) / kPitchAlign * kPitchAlign;
  if (height > kWidthMax / row) return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(CurrentProcess()->mutex);
  CUresult got = AllocateLinear(*CurrentContext(), row * height, address);
  if (got == CUDA_SUCCESS) *pitch = row;
  return got;
}

SLUICE_SIM_CALL cuMemAllocManaged(CUdeviceptr* address, size_t bytes, unsigned flags) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kGlobal = 1;
  constexpr unsigned kHost = 2;
  bool flags_known = flags == kGlobal || flags == kHost;
  constexpr size_t kManagedMax = size_t{1} << 44;
  if (address == nullptr || bytes == 0 || !flags_known) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > kManagedMax) return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(CurrentProcess()->mutex);
  Context& context = *CurrentContext();
  Block block;
  block.bytes = bytes;
  block.span = static_cast<size_t>(RoundUp(static_cast<int64_t>(bytes), kGranularity));
  char* base = MapPages(block.span, Place::kAnywhere);
  if (base == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  block.base = reinterpret_cast<CUdeviceptr>(base);
  block.device = context.device;
  block.context = &context;
  block.kind = BlockKind::kManaged;
  block.flags = flags;
  // What the card has no room for stays in the machine's memory.
  auto span = static_cast<int64_t>(block.span);
  if (ChargeCard(context.device, span) == CUDA_SUCCESS) block.charged = span;
  *address = block.base;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = FindBlock(address);
  if (block == nullptr) return CUDA_ERROR_NOT_FOUND;
  if (base != nullptr) *base = block->base;
  if (bytes != nullptr) *bytes = block->bytes;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
