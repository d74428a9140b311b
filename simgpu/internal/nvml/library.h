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
  Reach reach;  // Its cards are by NVML's index.
  MapReader reader;
};

// Fails with NVML_ERROR_UNINITIALIZED before nvmlInit.
nvmlReturn_t View(std::optional<NvmlView>& view);

// What a handle stands for, checked: a card or a part of one. NVML_ERROR_GPU_IS_LOST for a card
// that fell off the bus.
struct NvmlCard {
  NvmlView view;
  Unit unit;
  int index = 0;  // Among those in reach: the card's, or the part's within its card.

  const SceneCard& scene() const { return view.scene.cards[static_cast<size_t>(unit.card)]; }
  // Requires: it is a part.
  const ScenePart& part() const { return scene().parts[static_cast<size_t>(unit.part)]; }
  // The unit, or of a card in MIG mode all of its parts.
  std::vector<Unit> Units() const;
};
nvmlReturn_t Find(nvmlDevice_t device, std::optional<NvmlCard>& found);

// Handles are numbers of units, so that they survive a change of what is in reach.
nvmlDevice_t ToDevice(const Unit& unit);

// Runs `answer` on what a handle stands for; `out` must not be null.
template <typename Answer>
nvmlReturn_t With(nvmlDevice_t device, const void* out, Answer&& answer) {
  std::optional<NvmlCard> card;
  nvmlReturn_t found = Find(device, card);
  if (found != NVML_SUCCESS) return found;
  if (out == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  return answer(*card);
}

// Copies a text with its end into a caller's buffer.
nvmlReturn_t CopyText(const std::string& text, char* into, unsigned bytes);

// The newest bucket that is complete: those who work look at their schedule at every bucket's end,
// a little late.
int64_t LastBucket(const NvmlCard& card);

// Busy percentage of the last complete sample buckets before now: what NVML's lag shows.
unsigned BusyPercent(const NvmlCard& card, int slot);

}  // namespace sluice::simgpu
