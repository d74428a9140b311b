// SPDX-License-Identifier: Apache-2.0
// A driver that answers at once and keeps nothing, so that what is measured in front of it is the
// interposer's own cost and nothing else. Only what the bench calls. Not the simulated GPU.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" {

using Context = void*;
using Pointer = unsigned long long;

namespace {
thread_local Context current = nullptr;
std::atomic<Pointer> next{uint64_t{1} << 40};
int context_object = 0;
}  // namespace

// For the NVML beside it: whether this process holds the card.
__attribute__((visibility("default"))) std::atomic<int> sluice_null_holds{0};

#define SLUICE_NULL_CALL extern "C" __attribute__((visibility("default"))) int

SLUICE_NULL_CALL cuInit(unsigned) {
  return 0;
}
SLUICE_NULL_CALL cuDeviceGet(int* device, int) {
  *device = 0;
  return 0;
}
SLUICE_NULL_CALL cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}
SLUICE_NULL_CALL cuDeviceGetUuid_v2(unsigned char* uuid, int) {
  std::memset(uuid, 0x5a, 16);
  return 0;
}
SLUICE_NULL_CALL cuDevicePrimaryCtxRetain(Context* context, int) {
  *context = &context_object;
  sluice_null_holds.fetch_add(1, std::memory_order_relaxed);
  return 0;
}
SLUICE_NULL_CALL cuDevicePrimaryCtxRelease_v2(int) {
  sluice_null_holds.fetch_sub(1, std::memory_order_relaxed);
  return 0;
}
// Peers size their budget by it: 132 multiprocessors (16) of 2,048 threads (39).
SLUICE_NULL_CALL cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 16 ? 132 : attribute == 39 ? 2048 : 0;
  return 0;
}
SLUICE_NULL_CALL cuCtxSetCurrent(Context context) {
  current = context;
  return 0;
}
SLUICE_NULL_CALL cuCtxGetCurrent(Context* context) {
  *context = current;
  return 0;
}
SLUICE_NULL_CALL cuCtxGetDevice(int* device) {
  *device = 0;
  return current == nullptr ? 201 : 0;
}
SLUICE_NULL_CALL cuMemAlloc_v2(Pointer* pointer, size_t) {
  *pointer = next.fetch_add(uint64_t{2} << 20, std::memory_order_relaxed);
  return 0;
}
SLUICE_NULL_CALL cuMemFree_v2(Pointer) {
  return 0;
}
// Work is done as soon as it is there; a pair of events says that a launch took 10 us.
SLUICE_NULL_CALL cuLaunchKernel(...) {
  return 0;
}
SLUICE_NULL_CALL cuMemcpyDtoDAsync_v2(Pointer, Pointer, size_t, void*) {
  return 0;
}
SLUICE_NULL_CALL cuStreamSynchronize(void*) {
  return 0;
}
SLUICE_NULL_CALL cuStreamIsCapturing(void*, int* status) {
  *status = 0;
  return 0;
}
SLUICE_NULL_CALL cuEventCreate(void** event, unsigned) {
  *event = &context_object;
  return 0;
}
SLUICE_NULL_CALL cuEventDestroy_v2(void*) {
  return 0;
}
SLUICE_NULL_CALL cuEventRecord(void*, void*) {
  return 0;
}
SLUICE_NULL_CALL cuEventQuery(void*) {
  return 0;
}
SLUICE_NULL_CALL cuEventElapsedTime(float* ms, void*, void*) {
  *ms = 0.01F;
  return 0;
}
SLUICE_NULL_CALL cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  *free_bytes = *total = size_t{1} << 41;
  return 0;
}
}
