// SPDX-License-Identifier: Apache-2.0
// The null driver's NVML: one card, used by this process alone once it holds it, never busy. Only
// what HAMi-core asks while it starts and while it watches; without it, it measures no utilisation.
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <unistd.h>

extern "C" {

extern std::atomic<int> sluice_null_holds;

namespace {
constexpr int kInsufficientSize = 7;
int card_object = 0;
// Of the oldest form of the list.
struct Process {
  unsigned pid;
  unsigned long long bytes;
};
}  // namespace

#define SLUICE_NULL_CALL extern "C" __attribute__((visibility("default"))) int

SLUICE_NULL_CALL nvmlInit_v2() {
  return 0;
}
SLUICE_NULL_CALL nvmlInit() {
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 1;
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetCount(unsigned* count) {
  *count = 1;
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetHandleByIndex_v2(unsigned, void** card) {
  *card = &card_object;
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetHandleByIndex(unsigned, void** card) {
  *card = &card_object;
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetIndex(void*, unsigned* index) {
  *index = 0;
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetUUID(void*, char* uuid, unsigned length) {
  snprintf(uuid, length, "GPU-5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
  return 0;
}
SLUICE_NULL_CALL nvmlDeviceGetComputeRunningProcesses(void*, unsigned* count, Process* processes) {
  const unsigned found = sluice_null_holds.load(std::memory_order_relaxed) > 0 ? 1 : 0;
  const bool fits = *count >= found;
  *count = found;
  if (found == 1 && fits) {
    processes[0] = {static_cast<unsigned>(getpid()), 0};
  }
  return fits ? 0 : kInsufficientSize;
}
SLUICE_NULL_CALL nvmlDeviceGetProcessUtilization(void*,
                                                 void*,
                                                 unsigned* count,
                                                 unsigned long long) {
  *count = 0;
  return 0;
}
}
