// SPDX-License-Identifier: Apache-2.0
#include "instance/cards.h"

#include <cstdlib>
#include <utility>

#include "device/nvidia/backend.h"
#include "instance/folders.h"
#include "simgpu/scene.h"

namespace sluice::instance {
namespace {

constexpr const char* kDefaultFleet = "2x24GiB";

Result<Cards> Simulated(const Layout& layout, const CardsWish& wish, const std::string& fleet) {
  const auto scene = simgpu::ParseFleet(fleet);
  if (!scene) return Fail(scene.error());
  if (auto written = simgpu::WriteScene(wish.simgpu_state, *scene); !written) {
    return Fail(written.error());
  }
  auto backend = device::nvidia::Open(
      {.library = layout.simgpu + "/libnvidia-ml.so.1", .simulated_state = wish.simgpu_state});
  if (!backend) return Fail(backend.error());
  if (!wish.note.empty()) {
    if (auto noted = WriteNote(wish.note, fleet + "\n"); !noted) return Fail(noted.error());
  }
  return Cards{std::move(*backend), true, wish.simgpu_state};
}

}  // namespace

Result<Cards> OpenCards(const Layout& layout, const CardsWish& wish) {
  if (wish.simulate) return Simulated(layout, wish, *wish.simulate);
  if (auto backend = device::nvidia::Open({}); backend) {
    if (auto cards = (*backend)->Read(); cards && !cards->empty()) {
      return Cards{std::move(*backend), false, ""};
    }
  }
  std::string fleet = kDefaultFleet;
  if (auto note = wish.note.empty() ? std::nullopt : ReadNote(wish.note); note) {
    while (!note->empty() && note->back() == '\n') note->pop_back();
    if (simgpu::ParseFleet(*note)) fleet = *note;
  }
  return Simulated(layout, wish, fleet);
}

std::string MpsControlPipe() {
  const char* const folder = std::getenv("CUDA_MPS_PIPE_DIRECTORY");
  return std::string(folder == nullptr || *folder == 0 ? "/tmp/nvidia-mps" : folder) + "/control";
}

}  // namespace sluice::instance
