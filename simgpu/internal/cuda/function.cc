// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "simgpu/internal/cuda/module.h"

// Functions looked at and set up, and how many of them fit.
namespace sluice::simgpu {

SLUICE_SIM_CALL cuFuncGetName(const char** name, CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* function = reinterpret_cast<const Function*>(handle);
  if (!CurrentProcess()->functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *name = function->name.c_str();
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuFuncGetAttribute(int* value, int attribute, CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr int kAttributes = 16;
  constexpr int kThreadsMax = 0;
  constexpr int kRegisters = 4;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* function = reinterpret_cast<const Function*>(handle);
  if (!CurrentProcess()->functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (value == nullptr || attribute < 0 || attribute >= kAttributes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto set = function->attributes.find(attribute);
  *value = set != function->attributes.end() ? set->second
           : attribute == kThreadsMax        ? 1024
           : attribute == kRegisters         ? 32
                                             : 0;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuFuncSetAttribute(CUfunction handle, int attribute, int value) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr int kSharedMax = 8;
  constexpr int kLast = 15;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* function = reinterpret_cast<Function*>(handle);
  if (!CurrentProcess()->functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (attribute < kSharedMax || attribute > kLast) return CUDA_ERROR_INVALID_VALUE;
  function->attributes[attribute] = value;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int threads, size_t) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!CurrentProcess()->functions.contains(reinterpret_cast<const Function*>(handle))) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  constexpr int kThreadsPerMultiprocessor = 2048;
  constexpr int kBlocksMax = 32;
  if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
  *blocks = std::min(kThreadsPerMultiprocessor / threads, kBlocksMax);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* blocks, CUfunction function, int threads, size_t shared_bytes, unsigned /*flags*/) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared_bytes);
}

SLUICE_SIM_CALL cuOccupancyMaxPotentialBlockSize(
    int* grid, int* block, CUfunction handle, size_t (*)(int), size_t, int most) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (ToFunction(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (grid == nullptr || block == nullptr) return CUDA_ERROR_INVALID_VALUE;
  constexpr int kThreadsMax = 1024;
  *block = most > 0 ? std::min(most, kThreadsMax) : kThreadsMax;
  *grid = kMultiprocessors * (2048 / *block);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid,
                                                          int* block,
                                                          CUfunction function,
                                                          size_t (*shared)(int),
                                                          size_t bytes,
                                                          int most,
                                                          unsigned /*flags*/) {
  return cuOccupancyMaxPotentialBlockSize(grid, block, function, shared, bytes, most);
}

SLUICE_SIM_CALL
cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction handle, int blocks, int) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (ToFunction(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (bytes == nullptr || blocks <= 0) return CUDA_ERROR_INVALID_VALUE;
  constexpr size_t kSharedBytes = 49152;
  *bytes = kSharedBytes / static_cast<size_t>(blocks);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuFuncGetModule(CUmodule* module, CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Function* function = ToFunction(handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (module == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *module = reinterpret_cast<CUmodule>(const_cast<Module*>(function->module));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuFuncIsLoaded(int* state, CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (ToFunction(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (state == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *state = 1;
  return CUDA_SUCCESS;
}

namespace {

// Settings that change nothing here but must name a function.
CUresult Accept(CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return ToFunction(handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuFuncLoad(CUfunction function) {
  return Accept(function);
}
SLUICE_SIM_CALL cuFuncSetCacheConfig(CUfunction function, int /*config*/) {
  return Accept(function);
}
SLUICE_SIM_CALL cuFuncSetSharedMemConfig(CUfunction function, int /*config*/) {
  return Accept(function);
}
SLUICE_SIM_CALL cuFuncSetBlockShape(CUfunction function, int, int, int) {
  return Accept(function);
}
SLUICE_SIM_CALL cuFuncSetSharedSize(CUfunction function, unsigned) {
  return Accept(function);
}

}  // namespace sluice::simgpu
