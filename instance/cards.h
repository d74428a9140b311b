// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "device/backend.h"
#include "instance/layout.h"

namespace sluice::instance {

// The machine's cards, or the ones that stand in for them.
struct Cards {
  std::unique_ptr<device::Backend> backend;
  bool simulated = false;
  std::string simgpu_state;  // The simulated cards' shared files; empty for real cards.
};

struct CardsWish {
  // "2x24GiB": simulated cards, whatever the machine has. nullopt: real cards if the driver
  // answers, else those of the last time, else two of 24 GiB.
  std::optional<std::string> simulate;
  std::string note;          // File in which the last wish is remembered; empty: it is not.
  std::string simgpu_state;  // Folder for the simulated cards' files.
};

// Fails with kInvalidArgument for a fleet that cannot be read, kUnavailable when a library cannot
// be loaded.
Result<Cards> OpenCards(const Layout& layout, const CardsWish& wish);

// The control pipe of the vendor's daemon that divides cards (MPS), where that looks for it: in
// CUDA_MPS_PIPE_DIRECTORY, else in its usual folder.
std::string MpsControlPipe();

}  // namespace sluice::instance
