// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>

#include "simgpu/internal/cuda/stream.h"

// The first forms of calls that programs compiled long ago still ask for: sizes and pointers of 32
// bits.
namespace sluice::simgpu {
namespace {

unsigned Clamp(size_t bytes) {
  return static_cast<unsigned>(std::min<size_t>(bytes, UINT32_MAX));
}

}  // namespace

SLUICE_SIM_CALL cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes);
SLUICE_SIM_CALL cuMemFree_v2(CUdeviceptr address);
SLUICE_SIM_CALL cuDeviceTotalMem_v2(size_t* bytes, CUdevice device);

SLUICE_SIM_CALL cuMemGetInfo(unsigned* free_bytes, unsigned* total_bytes) {
  size_t free_now = 0;
  size_t total = 0;
  CUresult got = cuMemGetInfo_v2(&free_now, &total);
  if (got != CUDA_SUCCESS) return got;
  if (free_bytes != nullptr) *free_bytes = Clamp(free_now);
  if (total_bytes != nullptr) *total_bytes = Clamp(total);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceTotalMem(unsigned* bytes, CUdevice device) {
  if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  size_t total = 0;
  CUresult got = cuDeviceTotalMem_v2(&total, device);
  if (got == CUDA_SUCCESS) *bytes = Clamp(total);
  return got;
}

SLUICE_SIM_CALL cuMemAlloc(unsigned* address, unsigned bytes) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  CUdeviceptr wide = 0;
  CUresult got = AllocateLow(*CurrentContext(), bytes, &wide);
  if (got == CUDA_SUCCESS) *address = static_cast<unsigned>(wide);
  return got;
}

SLUICE_SIM_CALL
cuMemAllocPitch(unsigned* address,
                unsigned* pitch,
                unsigned width_bytes,
                unsigned height,
                unsigned element_bytes) {
  bool element_known = element_bytes == 4 || element_bytes == 8 || element_bytes == 16;
  if (pitch == nullptr || width_bytes == 0 || height == 0 || !element_known) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  constexpr uint64_t kPitchAlign = 512;
  uint64_t row = (width_bytes + kPitchAlign - 1) / kPitchAlign * kPitchAlign;
  if (row * height > UINT32_MAX) return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult got = cuMemAlloc(address, static_cast<unsigned>(row * height));
  if (got == CUDA_SUCCESS) *pitch = static_cast<unsigned>(row);
  return got;
}

SLUICE_SIM_CALL cuMemFree(unsigned address) {
  return cuMemFree_v2(address);
}

}  // namespace sluice::simgpu
