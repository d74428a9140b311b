// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/nvml/library.h"

// Cards in MIG mode and their parts. What is in which part is the scene's to say: the calls that
// make and end instances are not there.
namespace sluice::simgpu {
namespace {

// Of a part alone.
template <typename Answer>
nvmlReturn_t WithPart(nvmlDevice_t device, const void* out, Answer&& answer) {
  return With(device, out, [&](const NvmlCard& card) {
    return card.unit.part < 0 ? NVML_ERROR_NOT_SUPPORTED : answer(card);
  });
}

}  // namespace

SLUICE_SIM_NVML nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned* current, unsigned* pending) {
  return With(device, current, [&](const NvmlCard& card) {
    if (pending == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (card.unit.part >= 0 || !card.scene().InMigMode()) return NVML_ERROR_NOT_SUPPORTED;
    *current = 1;
    *pending = 1;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned* count) {
  return With(device, count, [&](const NvmlCard& card) {
    *count = card.unit.part < 0 && card.scene().InMigMode() ? kSlicesMax : 0;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device,
                                                    unsigned index,
                                                    nvmlDevice_t* part) {
  return With(device, part, [&](const NvmlCard& card) {
    if (card.unit.part >= 0 || !card.scene().InMigMode()) return NVML_ERROR_NOT_SUPPORTED;
    if (index >= kSlicesMax) return NVML_ERROR_INVALID_ARGUMENT;
    const std::vector<int>& parts = card.view.reach.parts[static_cast<size_t>(card.index)];
    if (index >= parts.size()) return NVML_ERROR_NOT_FOUND;
    *part = ToDevice(PartOf(card.view.scene, card.unit.card, parts[index]));
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t part,
                                                             nvmlDevice_t* device) {
  return WithPart(part, device, [&](const NvmlCard& card) {
    *device = ToDevice(WholeCard(card.unit.card));
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned* is) {
  return With(device, is, [&](const NvmlCard& card) {
    *is = card.unit.part >= 0 ? 1 : 0;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetGpuInstanceId(nvmlDevice_t part, unsigned* id) {
  return WithPart(part, id, [&](const NvmlCard& card) {
    *id = static_cast<unsigned>(InstanceOf(card.unit));
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetComputeInstanceId(nvmlDevice_t part, unsigned* id) {
  return WithPart(part, id, [&](const NvmlCard&) {
    *id = 0;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetAttributes_v2(nvmlDevice_t part, nvmlDeviceAttributes_t* attributes) {
  return WithPart(part, attributes, [&](const NvmlCard& card) {
    auto slices = static_cast<unsigned>(card.part().slices);
    *attributes = {
        .multiprocessorCount = slices * kSliceMultiprocessors,
        .sharedCopyEngineCount = 2,
        .sharedDecoderCount = 0,
        .sharedEncoderCount = 0,
        .sharedJpegCount = 0,
        .sharedOfaCount = 0,
        .gpuInstanceSliceCount = slices,
        .computeInstanceSliceCount = slices,
        .memorySizeMB = static_cast<unsigned long long>(card.part().memory.value() >> 20)};
    return NVML_SUCCESS;
  });
}
SLUICE_SIM_NVML nvmlDeviceGetAttributes(nvmlDevice_t part, nvmlDeviceAttributes_t* attributes) {
  return nvmlDeviceGetAttributes_v2(part, attributes);
}

}  // namespace sluice::simgpu
