// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/sandbox/rfb_probe.h"

// The first byte says in what pieces the rest arrives.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::runtime::RfbProbe;
  if (size < 1) return 0;
  const size_t piece = data[0] + size_t{1};
  std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  RfbProbe probe;
  while (!bytes.empty()) {
    const auto progress = probe.Consume(bytes.substr(0, piece));
    probe.TakeOutput();
    if (progress == RfbProbe::Progress::kBlank) probe.AskAgain();
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  return 0;
}
