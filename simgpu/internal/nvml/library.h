// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "simgpu/internal/abi/nvml.h"
#include "simgpu/internal/machine.h"

// One call of NVML: C linkage, whatever namespace it stands in.
#define SLUICE_SIM_NVML extern "C" __attribute__((visibility("default"))) nvmlReturn_t

namespace sluice::simgpu {

// API versions of the drivers that brought some of the calls; in an older one they are not there.
inline constexpr int kDriver510 = 11060;  // Memory v2, process lists v3.
inline constexpr int kDriver535 = 12020;  // Process details, utilisation of all processes.

// What one call works on: the scene as it is now (a fault may have been written into it since the
// last call) and the map. Copies are cheap enough at NVML's pace, and free of locks.
struct NvmlView {
  Scene scene;
  std::vector<int> cards;  // In reach, by NVML's index.
  MapReader reader;
};

// Fails with NVML_ERROR_UNINITIALIZED before nvmlInit.
nvmlReturn_t View(std::optional<NvmlView>& view);

// The card behind a handle, checked. NVML_ERROR_GPU_IS_LOST for a card that fell off the bus.
struct NvmlCard {
  NvmlView view;
  int card = 0;   // Position in the scene.
  int index = 0;  // Among those in reach.

  const SceneCard& scene() const { return view.scene.cards[static_cast<size_t>(card)]; }
};
nvmlReturn_t Find(nvmlDevice_t device, std::optional<NvmlCard>& found);

// Handles are positions in the scene, so that they survive a change of what is in reach.
nvmlDevice_t ToDevice(int card);

// Copies a text with its end into a caller's buffer.
nvmlReturn_t CopyText(const std::string& text, char* into, unsigned bytes);

// The newest bucket that is complete: those who work look at their schedule at every bucket's end,
// a little late.
int64_t LastBucket(const NvmlCard& card);

// Busy percentage of the last complete sample buckets before now: what NVML's lag shows.
unsigned BusyPercent(const NvmlCard& card, int slot);

}  // namespace sluice::simgpu
