// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "simgpu/internal/abi/cuda.h"

// Virtual memory management: memory, addresses, and the mapping of one to the other as three
// things.
namespace sluice::simgpu {

struct Physical {
  CUmemAllocationProp prop{};
  size_t bytes = 0;
  int device = 0;
  int64_t charged = 0;   // 0: on the host, or another process's.
  int fd = -1;           // The file that holds it…
  uint64_t offset = 0;   // …and where in it.
  bool owns_fd = false;  // Shareable memory has a file of its own.
  int handles = 0;       // cuMemCreate, cuMemRetain…, cuMemImport… less cuMemRelease.
  int mappings = 0;      // It lives until both are 0.
};

struct Multicast {
  unsigned devices = 0;
  size_t bytes = 0;
  std::set<CUdevice> joined;
  std::map<size_t, size_t> bound;  // Offset → bytes.
};

struct Vmm {
  std::map<CUmemGenericAllocationHandle, Multicast> multicast;
  std::map<CUmemGenericAllocationHandle, Physical> memory;
  std::map<CUdeviceptr, size_t> reservations;
  std::map<CUdeviceptr, CUmemGenericAllocationHandle> mapped;  // By the mapping's first address.
  CUmemGenericAllocationHandle last_handle = 0;
  int arena = -1;  // One sparse file for all memory that is not shareable.
  uint64_t arena_used = 0;
};

// One more thing that is mapped to memory, or one less; it lives that long. Need the mutex; false:
// no such memory.
bool HoldMemory(CUmemGenericAllocationHandle handle);
void LetGoMemory(CUmemGenericAllocationHandle handle);

}  // namespace sluice::simgpu
