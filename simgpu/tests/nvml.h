// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "simgpu/tests/machine.h"

namespace sluice::simgpu {

// NVML started, with a handle of the first card: as a program that watches.
struct Nvml {
  Library library;
  nvmlDevice_t card = nullptr;

  explicit Nvml(const Library& opened = Library("libnvidia-ml.so.1")) : library(opened) {
    EXPECT_EQ(library.Call("nvmlInit_v2"), NVML_SUCCESS);
    EXPECT_EQ(library.Call("nvmlDeviceGetHandleByIndex_v2", 0u, &card), NVML_SUCCESS);
  }

  // About the card.
  template <typename... Args>
  int Ask(const char* name, Args... args) const {
    return library.Call(name, card, args...);
  }
};

}  // namespace sluice::simgpu
