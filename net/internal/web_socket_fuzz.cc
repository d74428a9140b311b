// SPDX-License-Identifier: Apache-2.0
// WebSocket bytes in pieces of every size: the first byte chooses the peer and the piece.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/utf8.h"
#include "net/internal/web_socket_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using sluice::net::internal::Opcode;
  using sluice::net::internal::WebSocketDecoder;
  constexpr size_t kMessageMax = 1000;
  if (bytes == 0) return 0;
  WebSocketDecoder decoder(
      (data[0] & 1) != 0 ? WebSocketDecoder::Peer::kServer : WebSocketDecoder::Peer::kClient,
      kMessageMax);
  const size_t piece = std::max<size_t>(1, data[0] >> 1);
  std::string_view input(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  bool open = true;
  while (open && !input.empty()) {
    const size_t taken = std::min(piece, input.size());
    const auto violation = decoder.Feed(input.substr(0, taken), [&](const auto& event) {
      if (event.bytes.size() > kMessageMax) std::abort();
      if (event.kind == Opcode::kText && !sluice::IsUtf8(event.bytes)) std::abort();
      open = event.kind != Opcode::kClose;
      return open;
    });
    open = open && !violation;
    input.remove_prefix(taken);
  }
  return 0;
}
