// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>

#include "agent/local_agent.h"
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

// Cards whose contexts take memory, and programs that count processes for themselves.
inline shim::ShareBox::Options OfOwnPids(const std::string& fleet) {
  shim::ShareBox::Options options;
  options.fleet = fleet;
  options.real_context = MiB(300);
  options.own_pids = true;
  return options;
}

// An agent of the box that looks often.
inline std::unique_ptr<Agent> StartAgent(const shim::ShareBox& box, device::Backend& backend) {
  using std::chrono_literals::operator""ms;
  LocalAgentOptions options;
  options.folder = box.folder() + "/shares";
  options.interposer = SLUICE_BUILD_DIR "/lib/libsluice-cuda.so";
  options.sample_every = 20ms;
  options.sweep_every = 20ms;
  options.bypass_grace = 100ms;
  auto agent = StartLocalAgent(backend, options);
  EXPECT_TRUE(agent);
  return std::move(*agent);
}

}  // namespace sluice::agent::testing
