// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include "simgpu/internal/nvml/library.h"
#include "simgpu/internal/uuid.h"

namespace sluice::simgpu {
namespace {

// Integers that a card answers and that nothing here computes. Fields that are not there are not
// simulated: the call is then missing or answers NOT_SUPPORTED.
constexpr unsigned kTemperatureC = 40;
constexpr unsigned kPowerIdleMw = 30'000;
constexpr unsigned kPowerBusyMw = 270'000;  // Added at full use.
constexpr unsigned kPowerLimitMw = 300'000;
constexpr unsigned kClockMhz = 1000;

// The same of a whole card: a part has none of its own.
template <typename Answer>
nvmlReturn_t WithCard(nvmlDevice_t device, const void* out, Answer&& answer) {
  return With(device, out, [&](const NvmlCard& card) {
    return card.unit.part >= 0 ? NVML_ERROR_NOT_SUPPORTED : answer(card);
  });
}

// What cannot be told of a card in MIG mode nor of its parts.
template <typename Answer>
nvmlReturn_t WithUndivided(nvmlDevice_t device, const void* out, Answer&& answer) {
  return WithCard(device, out, [&](const NvmlCard& card) {
    return card.scene().InMigMode() ? NVML_ERROR_NOT_SUPPORTED : answer(card);
  });
}

nvmlReturn_t Constant(nvmlDevice_t device, unsigned* out, unsigned value) {
  return WithCard(device, out, [&](const NvmlCard&) {
    *out = value;
    return NVML_SUCCESS;
  });
}

// The first in reach of which `is` holds. A lost card is found all the same by its index and
// reported by the calls on it, as NVML does.
template <typename Is>
nvmlReturn_t FindHandle(nvmlDevice_t* device, Is&& is) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  if (device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  for (size_t i = 0; i < view->reach.cards.size(); ++i) {
    std::vector<Unit> units{WholeCard(view->reach.cards[i])};
    for (int part : view->reach.parts[i]) {
      units.push_back(PartOf(view->scene, view->reach.cards[i], part));
    }
    for (const Unit& unit : units) {
      if (!is(unit, view->scene.cards[static_cast<size_t>(unit.card)])) continue;
      *device = ToDevice(unit);
      return NVML_SUCCESS;
    }
  }
  return NVML_ERROR_NOT_FOUND;
}

// Memory of a card or part, and what of it is in use beside what the driver keeps.
struct MemoryUse {
  Bytes total;
  Bytes reserved;
  Bytes used;
};
MemoryUse UseOf(const NvmlCard& card) {
  MemoryUse use;
  use.total = card.unit.part < 0 ? card.scene().memory : card.part().memory;
  if (card.unit.part < 0) use.reserved = card.scene().reserved;
  for (const Unit& unit : card.Units()) {
    use.used += card.view.reader.Used(unit.number, use.total - use.reserved);
  }
  use.used = std::min(use.used, use.total - use.reserved);
  return use;
}

}  // namespace

SLUICE_SIM_NVML nvmlDeviceGetCount_v2(unsigned* count) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *count = static_cast<unsigned>(view->reach.cards.size());
  return NVML_SUCCESS;
}
SLUICE_SIM_NVML nvmlDeviceGetCount(unsigned* count) {
  return nvmlDeviceGetCount_v2(count);
}

SLUICE_SIM_NVML nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t* device) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  if (device == nullptr || index >= view->reach.cards.size()) return NVML_ERROR_INVALID_ARGUMENT;
  *device = ToDevice(WholeCard(view->reach.cards[index]));
  return NVML_SUCCESS;
}
SLUICE_SIM_NVML nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t* device) {
  return nvmlDeviceGetHandleByIndex_v2(index, device);
}

SLUICE_SIM_NVML nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  if (uuid == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  return FindHandle(device, [&](const Unit& unit, const SceneCard& card) {
    return uuid == (unit.part < 0 ? card.uuid : card.parts[static_cast<size_t>(unit.part)].uuid);
  });
}

SLUICE_SIM_NVML nvmlDeviceGetHandleByPciBusId_v2(const char* bus, nvmlDevice_t* device) {
  if (bus == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  return FindHandle(device, [&](const Unit& unit, const SceneCard&) {
    return PciText(unit.card, 8) == bus || PciText(unit.card, 4) == bus ||
           PciText(unit.card, 0) == bus;
  });
}
SLUICE_SIM_NVML nvmlDeviceGetHandleByPciBusId(const char* bus, nvmlDevice_t* device) {
  return nvmlDeviceGetHandleByPciBusId_v2(bus, device);
}

SLUICE_SIM_NVML nvmlDeviceGetIndex(nvmlDevice_t device, unsigned* index) {
  return With(device, index, [&](const NvmlCard& card) {
    *index = static_cast<unsigned>(card.index);
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned* minor) {
  return WithCard(device, minor, [&](const NvmlCard& card) {
    *minor = static_cast<unsigned>(card.unit.card);
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetName(nvmlDevice_t device, char* text, unsigned bytes) {
  return With(device, text, [&](const NvmlCard& card) {
    return CopyText(NameOf(card.view.scene, card.unit), text, bytes);
  });
}

SLUICE_SIM_NVML nvmlDeviceGetUUID(nvmlDevice_t device, char* text, unsigned bytes) {
  // Answered for a lost card too: it is the handle's own name.
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (!card) return found;
  return CopyText(card->unit.part < 0 ? card->scene().uuid : card->part().uuid, text, bytes);
}

SLUICE_SIM_NVML nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return WithCard(device, pci, [&](const NvmlCard& card) {
    *pci = {};
    std::snprintf(pci->busId, sizeof(pci->busId), "%s", PciText(card.unit.card, 8).c_str());
    std::snprintf(
        pci->busIdLegacy, sizeof(pci->busIdLegacy), "%s", PciText(card.unit.card, 4).c_str());
    pci->bus = static_cast<unsigned>(card.unit.card + 1);
    return NVML_SUCCESS;
  });
}
SLUICE_SIM_NVML nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return nvmlDeviceGetPciInfo_v3(device, pci);
}
SLUICE_SIM_NVML nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return nvmlDeviceGetPciInfo_v3(device, pci);
}

SLUICE_SIM_NVML nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  return With(device, memory, [&](const NvmlCard& card) {
    const MemoryUse use = UseOf(card);
    memory->total = static_cast<unsigned long long>(use.total.value());
    memory->used = static_cast<unsigned long long>((use.reserved + use.used).value());
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  return With(device, memory, [&](const NvmlCard& card) {
    if (card.view.scene.cuda_version < kDriver510) return NVML_ERROR_FUNCTION_NOT_FOUND;
    if (memory->version != NvmlVersion<nvmlMemory_v2_t>(2)) {
      return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    }
    const MemoryUse use = UseOf(card);
    memory->total = static_cast<unsigned long long>(use.total.value());
    memory->reserved = static_cast<unsigned long long>(use.reserved.value());
    memory->used = static_cast<unsigned long long>(use.used.value());
    memory->free = memory->total - memory->reserved - memory->used;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t* memory) {
  return WithCard(device, memory, [&](const NvmlCard&) {
    constexpr unsigned long long kBar1 = 256ull << 20;
    *memory = {.bar1Total = kBar1, .bar1Free = kBar1, .bar1Used = 0};
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* rates) {
  return WithUndivided(device, rates, [&](const NvmlCard& card) {
    rates->gpu = BusyPercent(card, -1);
    rates->memory = rates->gpu / 2;
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned* milliwatts) {
  return WithCard(device, milliwatts, [&](const NvmlCard& card) {
    *milliwatts = kPowerIdleMw + kPowerBusyMw / 100 * BusyPercent(card, -1);
    return NVML_SUCCESS;
  });
}

SLUICE_SIM_NVML nvmlDeviceGetTemperature(nvmlDevice_t device, int /*sensor*/, unsigned* celsius) {
  return Constant(device, celsius, kTemperatureC);
}

SLUICE_SIM_NVML nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned* milliwatts) {
  return Constant(device, milliwatts, kPowerLimitMw);
}
SLUICE_SIM_NVML nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned* milliwatts) {
  return Constant(device, milliwatts, kPowerLimitMw);
}
SLUICE_SIM_NVML nvmlDeviceGetClockInfo(nvmlDevice_t device, int /*kind*/, unsigned* mhz) {
  return Constant(device, mhz, kClockMhz);
}
SLUICE_SIM_NVML nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int /*kind*/, unsigned* mhz) {
  return Constant(device, mhz, kClockMhz);
}
SLUICE_SIM_NVML nvmlDeviceGetPersistenceMode(nvmlDevice_t device, unsigned* mode) {
  return Constant(device, mode, 1);
}
SLUICE_SIM_NVML nvmlDeviceGetDisplayActive(nvmlDevice_t device, unsigned* active) {
  return Constant(device, active, 0);
}
SLUICE_SIM_NVML nvmlDeviceGetDisplayMode(nvmlDevice_t device, unsigned* mode) {
  return Constant(device, mode, 0);
}
SLUICE_SIM_NVML nvmlDeviceGetComputeMode(nvmlDevice_t device, unsigned* mode) {
  return Constant(device, mode, 0);
}
SLUICE_SIM_NVML nvmlDeviceGetPerformanceState(nvmlDevice_t device, unsigned* state) {
  return Constant(device, state, 0);
}
SLUICE_SIM_NVML nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned* architecture) {
  constexpr unsigned kCapability80 = 7;
  return Constant(device, architecture, kCapability80);
}
SLUICE_SIM_NVML nvmlDeviceGetBrand(nvmlDevice_t device, unsigned* brand) {
  return Constant(device, brand, 0);  // Unknown.
}

SLUICE_SIM_NVML nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return With(device, major, [&](const NvmlCard&) {
    if (minor == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *major = 8;
    *minor = 0;
    return NVML_SUCCESS;
  });
}

}  // namespace sluice::simgpu
