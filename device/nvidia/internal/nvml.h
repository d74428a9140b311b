// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"

// NVML as this folder calls it: names and layouts are the vendor's, letter for letter; every call
// is a pointer that may be null when the library is older than the call.
namespace sluice::device::nvidia {

using nvmlReturn_t = int;
using nvmlDevice_t = struct nvmlDevice_st*;

inline constexpr nvmlReturn_t NVML_SUCCESS = 0;
inline constexpr nvmlReturn_t NVML_ERROR_NOT_SUPPORTED = 3;
inline constexpr nvmlReturn_t NVML_ERROR_INSUFFICIENT_SIZE = 7;
inline constexpr nvmlReturn_t NVML_ERROR_FUNCTION_NOT_FOUND = 13;
inline constexpr nvmlReturn_t NVML_ERROR_GPU_IS_LOST = 15;
inline constexpr unsigned long long NVML_VALUE_NOT_AVAILABLE = ~0ull;

struct nvmlMemory_t {
  unsigned long long total, free, used;
};
struct nvmlMemory_v2_t {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct nvmlProcessInfo_v1_t {
  unsigned pid;
  unsigned long long usedGpuMemory;
};
struct nvmlProcessInfo_v2_t {
  unsigned pid;
  unsigned long long usedGpuMemory;
  unsigned gpuInstanceId, computeInstanceId;
};
struct nvmlProcessUtilizationSample_t {
  unsigned pid;
  unsigned long long timeStamp;
  unsigned smUtil, memUtil, encUtil, decUtil;
};
static_assert(sizeof(nvmlProcessUtilizationSample_t) == 32);
struct nvmlUtilization_t {
  unsigned gpu, memory;
};
struct nvmlPciInfo_t {
  char busIdLegacy[16];
  unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
  char busId[32];
};
static_assert(sizeof(nvmlMemory_v2_t) == 40 && sizeof(nvmlProcessInfo_v2_t) == 24);
static_assert(sizeof(nvmlProcessInfo_v1_t) == 16 && sizeof(nvmlPciInfo_t) == 68);

template <typename... Args>
using NvmlCall = nvmlReturn_t (*)(Args...);

struct Nvml {
  NvmlCall<> nvmlInit_v2 = nullptr;
  NvmlCall<unsigned*> nvmlDeviceGetCount_v2 = nullptr;
  NvmlCall<unsigned, nvmlDevice_t*> nvmlDeviceGetHandleByIndex_v2 = nullptr;
  NvmlCall<nvmlDevice_t, char*, unsigned> nvmlDeviceGetUUID = nullptr;
  NvmlCall<nvmlDevice_t, char*, unsigned> nvmlDeviceGetName = nullptr;
  NvmlCall<nvmlDevice_t, nvmlMemory_t*> nvmlDeviceGetMemoryInfo = nullptr;
  NvmlCall<nvmlDevice_t, nvmlMemory_v2_t*> nvmlDeviceGetMemoryInfo_v2 = nullptr;
  NvmlCall<nvmlDevice_t, unsigned*> nvmlDeviceGetMinorNumber = nullptr;
  NvmlCall<nvmlDevice_t, nvmlPciInfo_t*> nvmlDeviceGetPciInfo_v3 = nullptr;
  NvmlCall<nvmlDevice_t, unsigned*, unsigned*> nvmlDeviceGetMigMode = nullptr;
  NvmlCall<nvmlDevice_t, nvmlUtilization_t*> nvmlDeviceGetUtilizationRates = nullptr;
  NvmlCall<nvmlDevice_t, int, unsigned*> nvmlDeviceGetTemperature = nullptr;
  NvmlCall<nvmlDevice_t, unsigned*> nvmlDeviceGetPowerUsage = nullptr;
  NvmlCall<nvmlDevice_t, unsigned*, nvmlProcessInfo_v2_t*> nvmlDeviceGetComputeRunningProcesses_v3 =
      nullptr;
  NvmlCall<nvmlDevice_t, unsigned*, nvmlProcessInfo_v2_t*> nvmlDeviceGetComputeRunningProcesses_v2 =
      nullptr;
  NvmlCall<nvmlDevice_t, unsigned*, nvmlProcessInfo_v1_t*> nvmlDeviceGetComputeRunningProcesses =
      nullptr;
  NvmlCall<nvmlDevice_t, unsigned*, nvmlProcessInfo_v2_t*>
      nvmlDeviceGetGraphicsRunningProcesses_v3 = nullptr;
  NvmlCall<nvmlDevice_t, nvmlProcessUtilizationSample_t*, unsigned*, unsigned long long>
      nvmlDeviceGetProcessUtilization = nullptr;
  NvmlCall<char*, unsigned> nvmlSystemGetDriverVersion = nullptr;
  // The simulated library's own: says where its state is. A real one has no such call.
  NvmlCall<const char*> nvmlSluiceSetState = nullptr;

  std::string folder;  // Where the library was found.
};

// Loads the library and fills the table. Fails as Open does. Does not call nvmlInit.
Result<Nvml> LoadNvml(const std::string& library);

// The one mapping from NVML's errors. Requires: `error` is not NVML_SUCCESS.
Error ToError(nvmlReturn_t error, const std::string& doing);

}  // namespace sluice::device::nvidia
