// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>

#include "device/nvidia/backend.h"
#include "shim/share_box.h"

// An agent's tests in front of simulated cards.
namespace sluice::agent::testing {

// Waits for a condition, at most a minute; returns whether it came true.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// The box's cards as an agent outside of it reads them.
inline std::unique_ptr<device::Backend> OpenCards(const shim::ShareBox& box) {
  device::nvidia::Options options;
  options.library = SLUICE_BUILD_DIR "/lib/simgpu/libnvidia-ml.so.1";
  options.simulated_state = box.state_folder();
  auto backend = device::nvidia::Open(options);
  EXPECT_TRUE(backend) << backend.error().message;
  return std::move(*backend);
}

}  // namespace sluice::agent::testing
