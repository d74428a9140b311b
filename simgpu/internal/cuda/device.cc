// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "simgpu/internal/cuda/process.h"
#include "simgpu/internal/uuid.h"

namespace sluice::simgpu {
namespace {

struct AttributeRow {
  int attribute;
  int value;
};

// One plausible card of compute capability 8.0. Everything not here is 0.
constexpr AttributeRow kAttributes[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152},
    {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
    {CU_DEVICE_ATTRIBUTE_MAX_PITCH, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
    {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1000000},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 256},
    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 4194304},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 2},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 8},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0},
    {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 167936},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 1},
};
constexpr int kAttributeLast = 161;

CUresult CheckDevice(CUdevice ordinal) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  return IsDevice(ordinal) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

const Device& At(CUdevice ordinal) {
  return CurrentProcess()->devices[static_cast<size_t>(ordinal)];
}

CUresult CopyUuid(const std::string& text, CUuuid* uuid) {
  if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
  UuidBytes bytes = ParseUuid(text);
  std::memcpy(uuid->bytes, bytes.data(), bytes.size());
  return CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuDeviceGetCount(int* count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *count = static_cast<int>(CurrentProcess()->devices.size());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceGet(CUdevice* device, int ordinal) {
  CUresult checked = CheckDevice(ordinal);
  if (checked != CUDA_SUCCESS) return checked;
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceGetName(char* name, int bytes, CUdevice device) {
  CUresult checked = CheckDevice(device);
  if (checked != CUDA_SUCCESS) return checked;
  if (name == nullptr || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
  std::snprintf(name, static_cast<size_t>(bytes), "%s", At(device).name.c_str());
  return CUDA_SUCCESS;
}

// A part answers with its own UUID to the second form and with its card's to the first.
SLUICE_SIM_CALL cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  CUresult checked = CheckDevice(device);
  if (checked != CUDA_SUCCESS) return checked;
  return CopyUuid(At(device).uuid, uuid);
}

SLUICE_SIM_CALL cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  CUresult checked = CheckDevice(device);
  if (checked != CUDA_SUCCESS) return checked;
  return CopyUuid(At(device).card_uuid, uuid);
}

SLUICE_SIM_CALL cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  CUresult checked = CheckDevice(device);
  if (checked != CUDA_SUCCESS) return checked;
  if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *bytes = static_cast<size_t>(At(device).capacity);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
  CUresult checked = CheckDevice(device);
  if (checked != CUDA_SUCCESS) return checked;
  bool known = attribute > 0 && attribute <= kAttributeLast;
  if (value == nullptr || !known) return CUDA_ERROR_INVALID_VALUE;
  *value = 0;
  if (attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) *value = At(device).card + 1;
  if (attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) *value = At(device).multiprocessors;
  for (const AttributeRow& row : kAttributes) {
    if (row.attribute == attribute) *value = row.value;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  CUresult got = cuDeviceGetAttribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
  if (got != CUDA_SUCCESS) return got;
  return cuDeviceGetAttribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
}

SLUICE_SIM_CALL cuDeviceGetPCIBusId(char* text, int bytes, CUdevice device) {
  CUresult checked = CheckDevice(device);
  if (checked != CUDA_SUCCESS) return checked;
  if (text == nullptr || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
  std::snprintf(text, static_cast<size_t>(bytes), "%s", PciText(At(device).card, 4).c_str());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDeviceGetByPCIBusId(CUdevice* device, const char* text) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (device == nullptr || text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto& devices = CurrentProcess()->devices;
  for (size_t i = 0; i < devices.size(); ++i) {
    bool same = PciText(devices[i].card, 4) == text || PciText(devices[i].card, 8) == text ||
                PciText(devices[i].card, 0) == text;
    if (!same) continue;
    *device = static_cast<CUdevice>(i);
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace sluice::simgpu
