// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "simgpu/internal/cuda/stream.h"

namespace sluice::simgpu {

// A checked three-dimensional copy between plain addresses.
struct BoxCopy {
  char* to = nullptr;
  const char* from = nullptr;
  size_t to_row = 0, to_layer = 0;  // Distances in bytes.
  size_t from_row = 0, from_layer = 0;
  size_t width_bytes = 0, height = 1, depth = 1;
  bool to_host = false;  // The other direction than all else.
};

// One end of a copy of plain bytes: an address and what it may be of (CU_MEMORYTYPE_…).
struct LinearEnd {
  CUdeviceptr at;
  int type;
};
CUDA_MEMCPY3D Linear(LinearEnd to, LinearEnd from, size_t bytes);

// Checks a description against what is known of its memory. Takes the mutex.
CUresult Resolve(const CUDA_MEMCPY3D& wish, BoxCopy& copy);

Operation CopyOperation(const BoxCopy& copy);

// Fills rows of elements of 1, 2 or 4 bytes.
CUresult MemsetOperation(const CUDA_MEMSET_NODE_PARAMS& wish, Operation& operation);

}  // namespace sluice::simgpu
