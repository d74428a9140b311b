// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 for tests of calls that the simulated cards do not have: one card, the first of
// the share, and answers that are always yes. It keeps no memory; what the interposer makes of the
// calls is looked at.
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "shim/internal/testing/routes.h"
#include "shim/region.h"

using namespace sluice::shim;
namespace region = sluice::region;

namespace {

constexpr size_t kCardBytes = size_t{24} << 30;
CUmemHandle next_handle = 0x1000;
std::atomic<bool> waits{false};

template <typename T>
CUresult Give(T* out) {
  *out = reinterpret_cast<T>(next_handle += 0x1000);
  return kSuccess;
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned) {
  return kSuccess;
}
// For tests: whether a thread stands in an endless call.
int TinyDriverWaits() {
  return waits ? 1 : 0;
}
CUresult cuDeviceGetUuid_v2(Uuid* out, CUdevice) {
  const int file = open(region::kPolicyPath, O_RDONLY | O_CLOEXEC);
  const auto at = static_cast<off_t>(offsetof(region::PolicyPage, devices));
  const bool read_it = pread(file, out->bytes, sizeof(out->bytes), at) == sizeof(out->bytes);
  close(file);
  return read_it ? kSuccess : kNoDevice;
}
CUresult cuCtxGetDevice(CUdevice* out) {
  *out = 0;
  return kSuccess;
}
CUresult cuCtxGetCurrent(CUcontext* out) {
  *out = nullptr;
  return kSuccess;
}
CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  *free = *total = kCardBytes;
  return kSuccess;
}
CUresult cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
  while (bytes == kEndless) {
    waits = true;
    pause();
  }
  *out = next_handle += 0x1000;
  return kSuccess;
}
CUresult cuMemCreate(CUmemHandle* out, size_t, const AllocationProperties*, uint64_t) {
  *out = next_handle += 0x1000;
  return kSuccess;
}
CUresult cuMemRelease(CUmemHandle) {
  return kSuccess;
}
CUresult cuArray3DCreate_v2(CUarray* out, const ArrayDescriptor3D*) {
  return Give(out);
}
CUresult cuArrayDestroy(CUarray) {
  return kSuccess;
}
CUresult cuMemMapArrayAsync(const void*, unsigned, CUstream) {
  return kSuccess;
}
CUresult cuMemMapArrayAsync_ptsz(const void*, unsigned, CUstream) {
  return kSuccess;
}
CUresult cuMulticastBindMem(CUmemHandle, size_t, CUmemHandle, size_t, size_t, unsigned long long) {
  return kSuccess;
}
CUresult cuMulticastBindMem_v2(
    CUmemHandle, CUdevice, size_t, CUmemHandle, size_t, size_t, unsigned long long) {
  return kSuccess;
}
CUresult cuMulticastUnbind(CUmemHandle, CUdevice, size_t, size_t) {
  return kSuccess;
}
CUresult cuLogicalEndpointBindMem(
    unsigned, CUdevice, uint64_t, CUmemHandle, uint64_t, uint64_t, unsigned long long) {
  return kSuccess;
}
CUresult cuLogicalEndpointUnbind(unsigned, CUdevice, uint64_t, uint64_t) {
  return kSuccess;
}
CUresult cuLogicalEndpointDestroy(unsigned) {
  return kSuccess;
}
CUresult cuMemImportFromShareableHandle(CUmemHandle* out, void*, int) {
  *out = next_handle += 0x1000;
  return kSuccess;
}
CUresult cuImportExternalMemory(void** out, const void*) {
  return Give(out);
}
CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool* out, void*, int, unsigned long long) {
  return Give(out);
}
CUresult cuMemPoolImportPointer(CUdeviceptr* out, CUmemoryPool, void*) {
  *out = next_handle += 0x1000;
  return kSuccess;
}
CUresult cuMemFree_v2(CUdeviceptr) {
  return kSuccess;
}
CUresult cuGreenCtxCreate(void** out, void*, CUdevice, unsigned) {
  return Give(out);
}
}
