// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/stream.h"

// What is known of an address.
namespace sluice::simgpu {
namespace {

enum PointerAttribute : int {
  kContext = 1,
  kMemoryType = 2,
  kDevicePointer = 3,
  kHostPointer = 4,
  kBufferId = 7,
  kIsManaged = 8,
  kDeviceOrdinal = 9,
  kIsIpcCapable = 10,
  kRangeStart = 11,
  kRangeBytes = 12,
  kMapped = 13,
  kHandleTypes = 14,
  kAccessFlags = 16,
  kPool = 17,
};

template <typename T>
CUresult Put(void* out, T value) {
  *static_cast<T*>(out) = value;
  return CUDA_SUCCESS;
}

CUresult Answer(const Block& block, int attribute, CUdeviceptr address, void* out) {
  bool host = block.kind == BlockKind::kHost || block.kind == BlockKind::kRegistered;
  bool both = host || block.kind == BlockKind::kManaged;
  switch (attribute) {
    case kContext:
      return Put(out, ToHandle(block.context));
    case kMemoryType:
      return Put(out, static_cast<unsigned>(host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE));
    case kDevicePointer:
      return Put(out, address);
    case kHostPointer:
      if (!both) return CUDA_ERROR_INVALID_VALUE;
      return Put(out, reinterpret_cast<void*>(address));
    case kBufferId:
      return Put(out, block.id);
    case kIsManaged:
      return Put(out, static_cast<unsigned>(block.kind == BlockKind::kManaged ? 1 : 0));
    case kDeviceOrdinal:
      return Put(out, block.device);
    case kIsIpcCapable:
      return Put(out, static_cast<unsigned>(block.kind == BlockKind::kLinear ? 1 : 0));
    case kRangeStart:
      return Put(out, block.base);
    case kRangeBytes:
      return Put(out, block.bytes);
    case kMapped:
      return Put(out, 1u);
    case kHandleTypes:
      return Put(out, 0ull);
    case kAccessFlags:
      return Put(out, 3u);
    case kPool:
      return Put(out, reinterpret_cast<CUmemoryPool>(block.pool));
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

// Several attributes at once are never an error: what does not apply is zero.
CUresult AnswerOrZero(const Block* block, int attribute, CUdeviceptr address, void* out) {
  bool narrow = attribute == kMemoryType || attribute == kIsManaged ||
                attribute == kDeviceOrdinal || attribute == kIsIpcCapable || attribute == kMapped ||
                attribute == kAccessFlags;
  if (block != nullptr && Answer(*block, attribute, address, out) == CUDA_SUCCESS) {
    return CUDA_SUCCESS;
  }
  if (attribute == kDeviceOrdinal) return Put(out, -2);  // No device.
  return narrow ? Put(out, 0u) : Put(out, 0ull);
}

}  // namespace

SLUICE_SIM_CALL cuPointerGetAttribute(void* out, int attribute, CUdeviceptr address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = FindBlock(address);
  return block == nullptr ? CUDA_ERROR_INVALID_VALUE : Answer(*block, attribute, address, out);
}

SLUICE_SIM_CALL
cuPointerGetAttributes(unsigned count, int* attributes, void** out, CUdeviceptr address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (attributes == nullptr || out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = FindBlock(address);
  for (unsigned i = 0; i < count; ++i) {
    if (out[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
    AnswerOrZero(block, attributes[i], address, out[i]);
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuPointerSetAttribute(const void* value, int attribute, CUdeviceptr address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr int kSyncMemops = 6;
  std::lock_guard lock(CurrentProcess()->mutex);
  bool known = value != nullptr && attribute == kSyncMemops && FindBlock(address) != nullptr;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace sluice::simgpu
