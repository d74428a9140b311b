// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/nvml/library.h"

// Calls about parts that the simulated card does not have. A real card without the part answers the
// same, so programs know what to do; their arguments after the handle are not looked at.
namespace sluice::simgpu {
namespace {

nvmlReturn_t NotSupported(nvmlDevice_t device) {
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  return found != NVML_SUCCESS ? found : NVML_ERROR_NOT_SUPPORTED;
}

}  // namespace

#define NOT_SUPPORTED(name)                   \
  SLUICE_SIM_NVML name(nvmlDevice_t device) { \
    return NotSupported(device);              \
  }
NOT_SUPPORTED(nvmlDeviceGetAccountingBufferSize)
NOT_SUPPORTED(nvmlDeviceGetAccountingMode)
NOT_SUPPORTED(nvmlDeviceGetAccountingPids)
NOT_SUPPORTED(nvmlDeviceGetAccountingStats)
NOT_SUPPORTED(nvmlDeviceGetBoardId)
NOT_SUPPORTED(nvmlDeviceGetBoardPartNumber)
NOT_SUPPORTED(nvmlDeviceGetCurrPcieLinkGeneration)
NOT_SUPPORTED(nvmlDeviceGetCurrPcieLinkWidth)
NOT_SUPPORTED(nvmlDeviceGetDetailedEccErrors)
NOT_SUPPORTED(nvmlDeviceGetDriverModel)
NOT_SUPPORTED(nvmlDeviceGetEccMode)
NOT_SUPPORTED(nvmlDeviceGetFanSpeed)
NOT_SUPPORTED(nvmlDeviceGetFanSpeed_v2)
NOT_SUPPORTED(nvmlDeviceGetInforomVersion)
NOT_SUPPORTED(nvmlDeviceGetMaxPcieLinkGeneration)
NOT_SUPPORTED(nvmlDeviceGetMaxPcieLinkWidth)
NOT_SUPPORTED(nvmlDeviceGetMemoryErrorCounter)
NOT_SUPPORTED(nvmlDeviceGetNvLinkState)
NOT_SUPPORTED(nvmlDeviceGetPcieThroughput)
NOT_SUPPORTED(nvmlDeviceGetPowerManagementMode)
NOT_SUPPORTED(nvmlDeviceGetRetiredPages)
NOT_SUPPORTED(nvmlDeviceGetSerial)
NOT_SUPPORTED(nvmlDeviceGetTemperatureThreshold)
NOT_SUPPORTED(nvmlDeviceGetTotalEccErrors)
NOT_SUPPORTED(nvmlDeviceGetTotalEnergyConsumption)
NOT_SUPPORTED(nvmlDeviceGetVbiosVersion)
#undef NOT_SUPPORTED

}  // namespace sluice::simgpu
