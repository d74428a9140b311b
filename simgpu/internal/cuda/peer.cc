// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/context.h"

// Cards that reach each other's memory: all do, once asked to.
namespace sluice::simgpu {

SLUICE_SIM_CALL cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device) || !IsDevice(peer)) return CUDA_ERROR_INVALID_DEVICE;
  if (can == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *can = device != peer ? 1 : 0;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuDeviceGetP2PAttribute(int* value, int attribute, CUdevice device, CUdevice peer) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device) || !IsDevice(peer) || device == peer) return CUDA_ERROR_INVALID_DEVICE;
  constexpr int kRank = 1;
  constexpr int kAccess = 2;
  constexpr int kAtomics = 3;
  constexpr int kArrays = 4;
  if (value == nullptr || attribute < kRank || attribute > kArrays) return CUDA_ERROR_INVALID_VALUE;
  *value = attribute == kAccess || attribute == kAtomics || attribute == kArrays ? 1 : 0;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxEnablePeerAccess(CUcontext handle, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  Context& own = *CurrentContext();
  if (ToContext(handle)->destroyed || ToContext(handle) == &own) return CUDA_ERROR_INVALID_CONTEXT;
  int peer = ToContext(handle)->device;
  if (peer == own.device) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  std::lock_guard lock(CurrentProcess()->mutex);
  return own.peers.insert(peer).second ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

SLUICE_SIM_CALL cuCtxDisablePeerAccess(CUcontext handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  std::lock_guard lock(CurrentProcess()->mutex);
  bool was = CurrentContext()->peers.erase(ToContext(handle)->device) == 1;
  return was ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}

}  // namespace sluice::simgpu
