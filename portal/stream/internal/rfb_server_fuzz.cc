// SPDX-License-Identifier: Apache-2.0
// A display's bytes, in pieces of every size: the first byte chooses mode and piece.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "portal/stream/internal/rfb_server_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using sluice::stream::Mode;
  if (bytes == 0) return 0;
  const Mode mode = (data[0] & 1) != 0 ? Mode::kView : Mode::kControl;
  const size_t piece = std::max<size_t>(1, data[0] >> 1);
  std::string_view input(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  sluice::stream::internal::RfbServerParser parser(mode);
  std::string out;
  const size_t all = input.size();
  while (!input.empty()) {
    const size_t taken = std::min(piece, input.size());
    if (!parser.Feed(input.substr(0, taken), out)) break;
    input.remove_prefix(taken);
  }
  // What goes on is what came, less what was dropped.
  if (out.size() > all + 2) std::abort();
  return 0;
}
