// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "simgpu/internal/nvml/library.h"

// Who is on a card. Process ids are the reader's own: as its pid namespace numbers them, and those
// it cannot see are left out.
namespace sluice::simgpu {
namespace {

constexpr unsigned kNoInstance = 0xffffffff;  // Not in a part of the card.

struct Row {
  MapProcess process;
  Unit unit;

  unsigned GpuInstance() const {
    return unit.part < 0 ? kNoInstance : static_cast<unsigned>(InstanceOf(unit));
  }
  unsigned ComputeInstance() const { return unit.part < 0 ? kNoInstance : 0; }
};

// Of a card in MIG mode, those of all its parts. `since`: the API version that brought the call.
nvmlReturn_t Visible(nvmlDevice_t device, int since, std::vector<Row>& rows) {
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (found != NVML_SUCCESS) return found;
  if (card->view.scene.cuda_version < since) return NVML_ERROR_FUNCTION_NOT_FOUND;
  if (card->scene().Has("no_process_list")) return NVML_ERROR_NOT_SUPPORTED;
  bool foreign = card->scene().Has("foreign_pids_in_lists");
  for (const Unit& unit : card->Units()) {
    for (MapProcess& process : card->view.reader.Processes(unit.number)) {
      if (process.pid > 0 && foreign) process.pid += kForeignPid;
      if (process.pid > 0) rows.push_back({std::move(process), unit});
    }
  }
  return NVML_SUCCESS;
}

void Fill(nvmlProcessInfo_v1_t& into, const Row& row) {
  into.pid = static_cast<unsigned>(row.process.pid);
  into.usedGpuMemory = static_cast<unsigned long long>(row.process.memory.value());
}

void Fill(nvmlProcessInfo_v2_t& into, const Row& row) {
  into.pid = static_cast<unsigned>(row.process.pid);
  into.usedGpuMemory = static_cast<unsigned long long>(row.process.memory.value());
  into.gpuInstanceId = row.GpuInstance();
  into.computeInstanceId = row.ComputeInstance();
}

template <typename Info>
nvmlReturn_t List(nvmlDevice_t device, unsigned* count, Info* infos, int since = 0) {
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  std::vector<Row> rows;
  nvmlReturn_t listed = Visible(device, since, rows);
  if (listed != NVML_SUCCESS) return listed;
  auto there = static_cast<unsigned>(rows.size());
  unsigned room = *count;
  *count = there;
  if (there > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  if (there > 0 && infos == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  for (unsigned i = 0; i < there; ++i) Fill(infos[i], rows[i]);
  return NVML_SUCCESS;
}

// No simulated process draws, and none goes through the multi-process service.
nvmlReturn_t Nobody(nvmlDevice_t device, unsigned* count) {
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  std::vector<Row> rows;
  nvmlReturn_t listed = Visible(device, 0, rows);
  if (listed == NVML_SUCCESS) *count = 0;
  return listed;
}

}  // namespace

SLUICE_SIM_NVML nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device,
                                                     unsigned* count,
                                                     nvmlProcessInfo_v1_t* infos) {
  return List(device, count, infos);
}
SLUICE_SIM_NVML nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device,
                                                        unsigned* count,
                                                        nvmlProcessInfo_v2_t* infos) {
  return List(device, count, infos);
}
SLUICE_SIM_NVML nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device,
                                                        unsigned* count,
                                                        nvmlProcessInfo_v2_t* infos) {
  return List(device, count, infos, kDriver510);
}

#define NOBODY(name)                                                            \
  SLUICE_SIM_NVML name(nvmlDevice_t device, unsigned* count, void* /*infos*/) { \
    return Nobody(device, count);                                               \
  }
NOBODY(nvmlDeviceGetGraphicsRunningProcesses)
NOBODY(nvmlDeviceGetGraphicsRunningProcesses_v2)
NOBODY(nvmlDeviceGetGraphicsRunningProcesses_v3)
NOBODY(nvmlDeviceGetMPSComputeRunningProcesses)
NOBODY(nvmlDeviceGetMPSComputeRunningProcesses_v2)
NOBODY(nvmlDeviceGetMPSComputeRunningProcesses_v3)
#undef NOBODY

SLUICE_SIM_NVML nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device,
                                                      nvmlProcessDetailList_v1_t* list) {
  if (list == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (list->version != NvmlVersion<nvmlProcessDetailList_v1_t>(1)) {
    return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  }
  constexpr unsigned kCompute = 0;
  constexpr unsigned kAll = 3;
  if (list->mode > kAll) return NVML_ERROR_INVALID_ARGUMENT;
  std::vector<Row> rows;
  nvmlReturn_t listed = Visible(device, kDriver535, rows);
  if (listed != NVML_SUCCESS) return listed;
  if (list->mode != kCompute && list->mode != kAll) rows.clear();
  auto there = static_cast<unsigned>(rows.size());
  unsigned room = list->numProcArrayEntries;
  list->numProcArrayEntries = there;
  if (there > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  if (there > 0 && list->procArray == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  for (unsigned i = 0; i < there; ++i) {
    list->procArray[i] = {
        .pid = static_cast<unsigned>(rows[i].process.pid),
        .usedGpuMemory = static_cast<unsigned long long>(rows[i].process.memory.value()),
        .gpuInstanceId = rows[i].GpuInstance(),
        .computeInstanceId = rows[i].ComputeInstance(),
        .usedGpuCcProtectedMemory = 0};
  }
  return NVML_SUCCESS;
}

}  // namespace sluice::simgpu
