// SPDX-License-Identifier: Apache-2.0
// The first message of a stream, as anybody on the network may send it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "portal/stream/internal/stream_messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const auto message = sluice::stream::internal::ParseTicketMessage(
      std::string_view(reinterpret_cast<const char*>(data), bytes));
  if (message && message->ticket.empty()) std::abort();
  return 0;
}
