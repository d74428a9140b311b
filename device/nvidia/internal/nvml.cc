// SPDX-License-Identifier: Apache-2.0
#include "device/nvidia/internal/nvml.h"

#include <dlfcn.h>
#include <filesystem>

namespace sluice::device::nvidia {
namespace {

enum class Need { kOptional, kRequired };

struct ErrorRow {
  nvmlReturn_t error;
  Code code;
  const char* text;
};

constexpr ErrorRow kErrors[] = {
    {1, Code::kFailedPrecondition, "NVML is not initialised"},
    {2, Code::kInvalidArgument, "NVML refused an argument"},
    {NVML_ERROR_NOT_SUPPORTED, Code::kUnimplemented, "the card does not support it"},
    {4, Code::kPermissionDenied, "no permission"},
    {6, Code::kNotFound, "not found"},
    {NVML_ERROR_INSUFFICIENT_SIZE, Code::kOutOfRange, "the list grew while it was read"},
    {9, Code::kUnavailable, "the driver is not loaded"},
    {10, Code::kDeadlineExceeded, "the driver did not answer in time"},
    {12, Code::kUnavailable, "the driver's library is missing"},
    {NVML_ERROR_FUNCTION_NOT_FOUND, Code::kUnimplemented, "the driver is too old for it"},
    {NVML_ERROR_GPU_IS_LOST, Code::kDataLoss, "the card fell off the bus"},
    {16, Code::kDataLoss, "the card needs a reset"},
    {17, Code::kUnavailable, "the operating system blocked the call"},
    {18, Code::kFailedPrecondition, "driver and library have different versions"},
    {28, Code::kNotFound, "the card is not found"},
};

template <typename Pointer>
bool Look(void* library, const char* name, Pointer& into, Need need) {
  into = reinterpret_cast<Pointer>(::dlsym(library, name));
  return into != nullptr || need == Need::kOptional;
}

}  // namespace

Result<Nvml> LoadNvml(const std::string& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    return Fail(Code::kUnavailable,
                "cannot load NVML: " + std::string(why == nullptr ? library : why));
  }
  Nvml nvml;
  const char* missing = nullptr;
#define LOOK(call, need) \
  if (!Look(handle, #call, nvml.call, Need::need)) missing = #call
  LOOK(nvmlInit_v2, kRequired);
  LOOK(nvmlDeviceGetCount_v2, kRequired);
  LOOK(nvmlDeviceGetHandleByIndex_v2, kRequired);
  LOOK(nvmlDeviceGetUUID, kRequired);
  LOOK(nvmlDeviceGetName, kOptional);
  LOOK(nvmlDeviceGetMemoryInfo, kRequired);
  LOOK(nvmlDeviceGetMemoryInfo_v2, kOptional);
  LOOK(nvmlDeviceGetMinorNumber, kOptional);
  LOOK(nvmlDeviceGetPciInfo_v3, kOptional);
  LOOK(nvmlDeviceGetMigMode, kOptional);
  LOOK(nvmlDeviceGetUtilizationRates, kOptional);
  LOOK(nvmlDeviceGetTemperature, kOptional);
  LOOK(nvmlDeviceGetPowerUsage, kOptional);
  LOOK(nvmlDeviceGetComputeRunningProcesses_v3, kOptional);
  LOOK(nvmlDeviceGetComputeRunningProcesses_v2, kOptional);
  LOOK(nvmlDeviceGetComputeRunningProcesses, kOptional);
  LOOK(nvmlDeviceGetGraphicsRunningProcesses_v3, kOptional);
  LOOK(nvmlDeviceGetProcessUtilization, kOptional);
  LOOK(nvmlSystemGetDriverVersion, kOptional);
  LOOK(nvmlSluiceSetState, kOptional);
#undef LOOK
  if (missing != nullptr) {
    return Fail(Code::kFailedPrecondition,
                library + " has no " + missing + ": the driver is too old");
  }
  Dl_info info{};
  std::error_code ignored;
  if (::dladdr(reinterpret_cast<void*>(nvml.nvmlInit_v2), &info) != 0) {
    nvml.folder = std::filesystem::absolute(info.dli_fname, ignored).parent_path().string();
  }
  return nvml;
}

Error ToError(nvmlReturn_t error, const std::string& doing) {
  for (const ErrorRow& row : kErrors) {
    if (row.error == error) return Error{row.code, doing + ": " + row.text, {}};
  }
  return Error{Code::kUnknown, doing + ": NVML error " + std::to_string(error), {}};
}

}  // namespace sluice::device::nvidia
