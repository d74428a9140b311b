// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "simgpu/scene.h"

// A scene that is taken must be writable and come back the same; any bytes must do no harm.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto scene = sluice::simgpu::ParseScene(text);
  if (!scene) return 0;
  auto again = sluice::simgpu::ParseScene(sluice::simgpu::ToJson(*scene));
  if (!again || *again != *scene) std::abort();
  return 0;
}
