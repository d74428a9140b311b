// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "portal/stream/internal/rfb_server_parser.h"

// For tests and benchmarks: what an RFB client says and how it follows the display's answers, over
// any transport.
namespace sluice::stream::testing {

class RfbViewer {
 public:
  struct Transport {
    std::function<bool(const std::string&)> send;
    std::function<std::string()> receive;  // Some bytes; empty at the end or after ten seconds.
  };
  explicit RfbViewer(Transport transport)
      : transport_(std::move(transport)), parser_(Mode::kControl) {}

  // Handshake, pixel format, encodings. False when the display hangs up.
  bool Start(const std::vector<int32_t>& encodings);
  void Request(bool incremental);
  void Key(uint32_t symbol);  // Down and up.
  bool Send(const std::string& bytes) { return transport_.send(bytes); }
  // Waits for one more whole update. False at the end; error() says why if the bytes were wrong.
  bool AwaitUpdate();
  uint32_t width() const { return parser_.width(); }
  uint32_t height() const { return parser_.height(); }
  const std::string& error() const { return error_; }
  uint64_t bytes() const { return bytes_; }

 private:
  bool Pump();

  Transport transport_;
  internal::RfbServerParser parser_;
  std::string error_;
  uint64_t bytes_ = 0;
};

}  // namespace sluice::stream::testing
