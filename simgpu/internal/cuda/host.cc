// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/stream.h"

// Pinned memory of the machine: nothing of the card, but the card can reach it.
namespace sluice::simgpu {
namespace {

constexpr size_t kBytesMax = size_t{1} << 44;

CUresult Allocate(void** out, size_t bytes, unsigned flags) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kFlagsKnown = 7;
  if (out == nullptr || bytes == 0 || (flags & ~kFlagsKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > kBytesMax) return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block block;
  block.bytes = bytes;
  block.span = static_cast<size_t>(RoundUp(static_cast<int64_t>(bytes), 4096));
  *out = MapPages(block.span, Place::kAnywhere);
  if (*out == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  block.base = reinterpret_cast<CUdeviceptr>(*out);
  block.kind = BlockKind::kHost;
  block.context = CurrentContext();
  block.device = block.context->device;
  block.flags = flags;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuMemAllocHost_v2(void** out, size_t bytes) {
  return Allocate(out, bytes, 0);
}
SLUICE_SIM_CALL cuMemAllocHost(void** out, unsigned bytes) {
  return Allocate(out, bytes, 0);
}
SLUICE_SIM_CALL cuMemHostAlloc(void** out, size_t bytes, unsigned flags) {
  return Allocate(out, bytes, flags);
}

SLUICE_SIM_CALL cuMemFreeHost(void* address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = BlockAt(reinterpret_cast<CUdeviceptr>(address));
  if (block == nullptr || block->kind != BlockKind::kHost) return CUDA_ERROR_INVALID_VALUE;
  FreeBlock(*block);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemHostRegister_v2(void* address, size_t bytes, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kFlagsKnown = 15;
  if (address == nullptr || bytes == 0 || (flags & ~kFlagsKnown) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  auto base = reinterpret_cast<CUdeviceptr>(address);
  if (FindBlock(base) != nullptr || FindBlock(base + bytes - 1) != nullptr) {
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  }
  Block block;
  block.base = base;
  block.bytes = bytes;
  block.kind = BlockKind::kRegistered;
  block.context = CurrentContext();
  block.device = block.context->device;
  block.flags = flags;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}
SLUICE_SIM_CALL cuMemHostRegister(void* address, size_t bytes, unsigned flags) {
  return cuMemHostRegister_v2(address, bytes, flags);
}

SLUICE_SIM_CALL cuMemHostUnregister(void* address) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = BlockAt(reinterpret_cast<CUdeviceptr>(address));
  if (block == nullptr || block->kind != BlockKind::kRegistered) {
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  }
  FreeBlock(*block);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* address, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = FindBlock(reinterpret_cast<CUdeviceptr>(address));
  bool host = block != nullptr &&
              (block->kind == BlockKind::kHost || block->kind == BlockKind::kRegistered);
  if (!host) return CUDA_ERROR_INVALID_VALUE;
  *out = reinterpret_cast<CUdeviceptr>(address);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemHostGetFlags(unsigned* flags, void* address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = BlockAt(reinterpret_cast<CUdeviceptr>(address));
  if (flags == nullptr || block == nullptr || block->kind != BlockKind::kHost) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *flags = block->flags;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
