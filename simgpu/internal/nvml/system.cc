// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "simgpu/internal/nvml/library.h"

namespace sluice::simgpu {

SLUICE_SIM_NVML nvmlSystemGetDriverVersion(char* text, unsigned bytes) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  return viewed != NVML_SUCCESS ? viewed : CopyText(view->scene.driver_version, text, bytes);
}

SLUICE_SIM_NVML nvmlSystemGetNVMLVersion(char* text, unsigned bytes) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  return CopyText(
      std::to_string(view->scene.cuda_version / 1000) + "." + view->scene.driver_version,
      text,
      bytes);
}

SLUICE_SIM_NVML nvmlSystemGetCudaDriverVersion_v2(int* version) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *version = view->scene.cuda_version;
  return NVML_SUCCESS;
}

SLUICE_SIM_NVML nvmlSystemGetCudaDriverVersion(int* version) {
  return nvmlSystemGetCudaDriverVersion_v2(version);
}

SLUICE_SIM_NVML nvmlSystemGetProcessName(unsigned pid, char* text, unsigned bytes) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  if (text == nullptr || bytes == 0) return NVML_ERROR_INVALID_ARGUMENT;
  for (int unit = 0; unit < kUnits; ++unit) {
    auto there = UnitOf(view->scene, unit);
    if (!there || !IsInReach(view->reach, *there)) continue;
    for (const MapProcess& process : view->reader.Processes(unit)) {
      if (process.pid != static_cast<int64_t>(pid)) continue;
      std::snprintf(text, bytes, "%s", process.name.c_str());
      return NVML_SUCCESS;
    }
  }
  return NVML_ERROR_NOT_FOUND;
}

}  // namespace sluice::simgpu
