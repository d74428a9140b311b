// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

// The part of the CUDA driver's and NVML's binary interface that the interposer touches, in our own
// words. Handles are pointers that nobody here looks behind.
namespace sluice::shim {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUmemHandle = unsigned long long;
using CUcontext = struct OpaqueContext*;
using CUstream = struct OpaqueStream*;
using CUevent = struct OpaqueEvent*;
using CUarray = struct OpaqueArray*;
using CUmipmappedArray = struct OpaqueMipmapped*;
using CUmemoryPool = struct OpaquePool*;
using CUgraph = struct OpaqueGraph*;
using CUgraphNode = struct OpaqueNode*;
using CUgraphExec = struct OpaqueExec*;
using CUfunction = struct OpaqueFunction*;
using NvmlDevice = struct OpaqueNvmlDevice*;

inline constexpr CUresult kSuccess = 0;
inline constexpr CUresult kInvalidValue = 1;
inline constexpr CUresult kOutOfMemory = 2;
inline constexpr CUresult kTooManyClients = 807;  // CUDA_ERROR_MPS_MAX_CLIENTS_REACHED
inline constexpr CUresult kNoDevice = 100;
inline constexpr CUresult kNotSupported = 801;

inline constexpr int kNvmlSuccess = 0;
inline constexpr int kNvmlInvalidArgument = 2;
inline constexpr int kNvmlNotFound = 6;
inline constexpr int kNvmlInsufficientSize = 7;
inline constexpr int kNvmlLibraryNotFound = 12;
inline constexpr int kNvmlFunctionNotFound = 13;
inline constexpr int kNvmlMemory = 20;

struct Uuid {
  uint8_t bytes[16];
};

struct ArrayDescriptorV1 {
  unsigned width;
  unsigned height;
  int format;
  unsigned channels;
};

struct ArrayDescriptor {
  size_t width;
  size_t height;
  int format;
  unsigned channels;
};
static_assert(offsetof(ArrayDescriptor, format) == 16);

struct ArrayDescriptor3DV1 {
  unsigned width;
  unsigned height;
  unsigned depth;
  int format;
  unsigned channels;
  unsigned flags;
};

struct ArrayDescriptor3D {
  size_t width;
  size_t height;
  size_t depth;
  int format;
  unsigned channels;
  unsigned flags;
};
static_assert(offsetof(ArrayDescriptor3D, format) == 24);

// Arrays whose memory is mapped later, from handles that are charged themselves.
inline constexpr unsigned kArrayCubemap = 0x04;
inline constexpr unsigned kArraySparse = 0x40;
inline constexpr unsigned kArrayDeferredMapping = 0x80;

struct Location {
  int type;
  int id;
};
inline constexpr int kLocationDevice = 1;
inline constexpr int kAllocationPinned = 1;
inline constexpr int kAllocationManaged = 2;  // A kind of pool.

struct AllocationProperties {
  int type;
  int handle_types;
  Location location;
  void* win32_metadata;
  unsigned char flags[8];
};
static_assert(offsetof(AllocationProperties, location) == 8);

struct PoolProperties {
  int alloc_type;
  int handle_types;
  Location location;
  void* win32_attributes;
  size_t bytes_max;
  unsigned short usage;
  unsigned char reserved[54];
};
static_assert(sizeof(PoolProperties) == 88);

struct AllocNodeParams {
  PoolProperties pool;
  const void* access;
  size_t access_count;
  size_t bytes;
  CUdeviceptr pointer;
};
static_assert(offsetof(AllocNodeParams, bytes) == 104);

inline constexpr int kNodeTypeGraph = 4;
inline constexpr int kNodeTypeMemAlloc = 10;

struct GraphNodeParams {
  int type;
  int reserved[3];
  AllocNodeParams alloc;  // Of a union as large as 232 bytes.
};
static_assert(offsetof(GraphNodeParams, alloc) == 16);

struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  CUstream stream;
  void* attributes;
  unsigned attribute_count;
};
static_assert(offsetof(LaunchConfig, stream) == 32);

struct LaunchParams {
  CUfunction function;
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  CUstream stream;
  void** arguments;
};
static_assert(offsetof(LaunchParams, stream) == 40 && sizeof(LaunchParams) == 56);

inline constexpr int kPoolReleaseThreshold = 4;
inline constexpr int kPoolReservedCurrent = 5;
inline constexpr int kPoolUsedCurrent = 7;
inline constexpr int kGraphMemUsedCurrent = 0;
inline constexpr int kGraphMemReservedCurrent = 2;
inline constexpr uint64_t kPerThreadStream = 2;  // A flag of cuGetProcAddress.

struct NvmlProcessV1 {
  unsigned pid;
  unsigned long long bytes;
};

struct NvmlProcess {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance;
  unsigned compute_instance;
};
static_assert(sizeof(NvmlProcess) == 24);

struct NvmlMemoryV1 {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct NvmlMemory {
  unsigned version;
  unsigned long long total;
  unsigned long long reserved;
  unsigned long long free;
  unsigned long long used;
};
static_assert(sizeof(NvmlMemory) == 40);

struct NvmlUtilization {
  unsigned pid;
  unsigned long long time_us;
  unsigned units[4];
};
static_assert(sizeof(NvmlUtilization) == 32);

struct NvmlUtilizationInfo {
  unsigned long long time_us;
  unsigned pid;
  unsigned units[6];
};
static_assert(sizeof(NvmlUtilizationInfo) == 40);

struct NvmlUtilizationList {
  unsigned version;
  unsigned count;
  unsigned long long since_us;
  NvmlUtilizationInfo* entries;
};
static_assert(offsetof(NvmlUtilizationList, entries) == 16);

struct NvmlDetail {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance;
  unsigned compute_instance;
  unsigned long long protected_bytes;
};
static_assert(sizeof(NvmlDetail) == 32);

struct NvmlDetailList {
  unsigned version;
  unsigned mode;
  unsigned count;
  NvmlDetail* entries;
};
static_assert(offsetof(NvmlDetailList, entries) == 16);

}  // namespace sluice::shim
