// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/testing/rfb_viewer.h"

#include "portal/stream/testing/rfb_bytes.h"

namespace sluice::stream::testing {

bool RfbViewer::Pump() {
  const std::string received = transport_.receive();
  if (received.empty()) return false;
  bytes_ += received.size();
  std::string out;
  if (auto fed = parser_.Feed(received, out); !fed) {
    error_ = fed.error().message;
    return false;
  }
  return true;
}

bool RfbViewer::Start(const std::vector<int32_t>& encodings) {
  // All of the client's half at once: nothing in it depends on the answers.
  if (!Send("RFB 003.008\n" + B({1, 1}))) return false;
  while (!parser_.ready()) {
    if (!Pump()) return false;
  }
  internal::PixelFormat format;
  parser_.SetPixelFormat(format);
  std::string list = B({2, 0}) + U16(static_cast<uint32_t>(encodings.size()));
  for (const int32_t one : encodings) list += U32(static_cast<uint32_t>(one));
  return Send(B({0, 0, 0, 0}) + kPixelFormat32 + list);
}

void RfbViewer::Request(bool incremental) {
  Send(B({3, incremental ? 1 : 0}) + U16(0) + U16(0) + U16(width()) + U16(height()));
}

void RfbViewer::Key(uint32_t symbol) {
  Send(B({4, 1, 0, 0}) + U32(symbol) + B({4, 0, 0, 0}) + U32(symbol));
}

bool RfbViewer::AwaitUpdate() {
  const uint64_t before = parser_.updates();
  while (parser_.updates() == before) {
    if (!Pump()) return false;
  }
  return true;
}

}  // namespace sluice::stream::testing
