// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

// RFC 6455 framing as pure functions of bytes, for both ends. No extension is spoken, so every
// reserved bit is a violation.
namespace sluice::net::internal {

enum class Opcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// Appends one unfragmented frame, masked if there is a mask.
void AppendFrame(std::string& out,
                 Opcode opcode,
                 std::string_view payload,
                 std::optional<uint32_t> mask = std::nullopt);

// The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string AcceptKey(std::string_view key);

// The payload of a close frame. `reason` is cut at 123 bytes, at a character's border.
std::string ClosePayload(CloseCode code, std::string_view reason);

// Turns received bytes into whole messages. One thread at a time.
class WebSocketDecoder {
 public:
  enum class Peer { kClient, kServer };  // Clients mask, servers do not; anything else is refused.

  struct Event {
    Opcode kind = Opcode::kBinary;        // Text and binary: whole messages. Never kContinuation.
    std::string_view bytes;               // Until the callback returns. Close: the reason.
    CloseCode code = CloseCode::kNormal;  // Close only.
  };
  struct Violation {
    CloseCode code = CloseCode::kProtocolError;
    std::string reason;
  };

  WebSocketDecoder(Peer peer, size_t message_bytes_max)
      : masked_(peer == Peer::kClient), message_bytes_max_(message_bytes_max) {}

  // Consumes all of `bytes`. `sink` returns false to stop early (the rest is dropped: for use when
  // the connection is going to be closed). After a violation nothing more may be fed.
  std::optional<Violation> Feed(std::string_view bytes,
                                const std::function<bool(const Event&)>& sink);

 private:
  struct Frame {
    bool final = true;
    Opcode opcode = Opcode::kBinary;
    uint64_t left = 0;
    std::array<uint8_t, 4> mask{};
    size_t mask_at = 0;
  };

  std::optional<Violation> ReadHeader(std::string_view& bytes, bool& complete);
  std::optional<Violation> CheckHeader(uint8_t first, uint8_t second, uint64_t length) const;
  void ReadPayload(std::string_view& bytes);
  std::optional<Violation> FinishFrame(const std::function<bool(const Event&)>& sink, bool& go_on);
  std::optional<Violation> FinishClose(const std::function<bool(const Event&)>& sink);
  bool control() const { return (static_cast<uint8_t>(frame_.opcode) & 8) != 0; }

  const bool masked_;
  const size_t message_bytes_max_;
  std::string header_;  // At most 14 bytes.
  bool in_frame_ = false;
  bool in_message_ = false;
  Opcode message_kind_ = Opcode::kBinary;
  Frame frame_;
  std::string message_;
  std::string control_;
};

}  // namespace sluice::net::internal
