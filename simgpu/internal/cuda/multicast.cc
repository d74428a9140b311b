// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/stream.h"

// Multicast objects: their states and rules. They take no memory of their own, and what is written
// through one does not reach the memory bound to it.
namespace sluice::simgpu {
namespace {

struct MulticastProp {
  unsigned devices;
  size_t size;
  unsigned long long handle_types;
  unsigned long long flags;
};

Multicast* Find(CUmemGenericAllocationHandle handle) {
  auto found = CurrentProcess()->vmm.multicast.find(handle);
  return found == CurrentProcess()->vmm.multicast.end() ? nullptr : &found->second;
}

bool Granular(size_t bytes) {
  return bytes > 0 && bytes % kGranularity == 0;
}

CUresult Bind(CUmemGenericAllocationHandle handle, size_t offset, size_t bytes) {
  Multicast* object = Find(handle);
  if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // Not before every card that was announced has joined.
  if (object->joined.size() < object->devices) return CUDA_ERROR_ILLEGAL_STATE;
  bool inside = Granular(bytes) && offset % kGranularity == 0 && offset <= object->bytes &&
                bytes <= object->bytes - offset;
  if (!inside) return CUDA_ERROR_INVALID_VALUE;
  object->bound[offset] = bytes;
  return CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuMulticastCreate(CUmemGenericAllocationHandle* out, const MulticastProp* prop) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  bool sound = out != nullptr && prop != nullptr && prop->devices > 0 && Granular(prop->size) &&
               prop->flags == 0;
  if (!sound) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (prop->devices > CurrentProcess()->devices.size()) return CUDA_ERROR_INVALID_VALUE;
  Vmm& vmm = CurrentProcess()->vmm;
  *out = ++vmm.last_handle;
  vmm.multicast[*out] = {.devices = prop->devices, .bytes = prop->size, .joined = {}, .bound = {}};
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMulticastAddDevice(CUmemGenericAllocationHandle handle, CUdevice device) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Multicast* object = Find(handle);
  if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  bool room = object->joined.size() < object->devices;
  return room && object->joined.insert(device).second ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

SLUICE_SIM_CALL cuMulticastBindMem(CUmemGenericAllocationHandle handle,
                                   size_t offset,
                                   CUmemGenericAllocationHandle memory,
                                   size_t memory_offset,
                                   size_t bytes,
                                   unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto found = CurrentProcess()->vmm.memory.find(memory);
  bool inside = flags == 0 && found != CurrentProcess()->vmm.memory.end() &&
                memory_offset <= found->second.bytes &&
                bytes <= found->second.bytes - memory_offset;
  return inside ? Bind(handle, offset, bytes) : CUDA_ERROR_INVALID_VALUE;
}

SLUICE_SIM_CALL cuMulticastBindAddr(CUmemGenericAllocationHandle handle,
                                    size_t offset,
                                    CUdeviceptr address,
                                    size_t bytes,
                                    unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (flags != 0 || !OnCard(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  return Bind(handle, offset, bytes);
}

SLUICE_SIM_CALL cuMulticastUnbind(CUmemGenericAllocationHandle handle,
                                  CUdevice device,
                                  size_t offset,
                                  size_t bytes) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Multicast* object = Find(handle);
  bool is = object != nullptr && object->bound.contains(offset) && object->bound[offset] == bytes;
  if (!is) return CUDA_ERROR_INVALID_VALUE;
  object->bound.erase(offset);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMulticastGetGranularity(size_t* out, const MulticastProp* prop, int option) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || prop == nullptr || option < 0 || option > 1)
    return CUDA_ERROR_INVALID_VALUE;
  *out = static_cast<size_t>(kGranularity);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
