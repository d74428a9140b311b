// SPDX-License-Identifier: Apache-2.0
#include "net/internal/web_socket_codec.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/utf8.h"

namespace sluice::net::internal {
namespace {

using Violation = WebSocketDecoder::Violation;

constexpr size_t kControlBytesMax = 125;

bool KnownOpcode(uint8_t value) {
  return value <= 2 || (value >= 8 && value <= 10);
}

// Codes that may stand in a close frame (RFC 6455 7.4, and the registry since).
bool ValidCloseCode(uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

void AppendBigEndian(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift & 0xff));
  }
}

// XORs with the key, which starts at its byte `phase`. Eight bytes at a time: a relay's input and
// every test client's output go through here.
void Mask(char* data, size_t bytes, const std::array<uint8_t, 4>& key, size_t phase) {
  std::array<uint8_t, 8> wide{};
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = key[(phase + i) % 4];
  uint64_t pattern = 0;
  std::memcpy(&pattern, wide.data(), sizeof pattern);
  for (; bytes >= sizeof pattern; data += sizeof pattern, bytes -= sizeof pattern) {
    uint64_t word = 0;
    std::memcpy(&word, data, sizeof word);
    word ^= pattern;
    std::memcpy(data, &word, sizeof word);
  }
  for (size_t i = 0; i < bytes; ++i) {
    data[i] = static_cast<char>(static_cast<uint8_t>(data[i]) ^ wide[i]);
  }
}

// How long the header is, once its first two bytes are known.
size_t HeaderBytes(uint8_t second) {
  const uint8_t length = second & 0x7f;
  const size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  return 2 + extended + ((second & 0x80) != 0 ? 4 : 0);
}

}  // namespace

void AppendFrame(std::string& out,
                 Opcode opcode,
                 std::string_view payload,
                 std::optional<uint32_t> mask) {
  const uint8_t mask_bit = mask ? 0x80 : 0;
  out.push_back(static_cast<char>(0x80 | static_cast<uint8_t>(opcode)));
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(mask_bit | payload.size()));
  } else if (payload.size() <= 0xffff) {
    out.push_back(static_cast<char>(mask_bit | 126));
    AppendBigEndian(out, payload.size(), 2);
  } else {
    out.push_back(static_cast<char>(mask_bit | 127));
    AppendBigEndian(out, payload.size(), 8);
  }
  if (!mask) {
    out.append(payload);
    return;
  }
  std::array<uint8_t, 4> key{};
  for (size_t i = 0; i < 4; ++i) key[i] = static_cast<uint8_t>(*mask >> (8 * (3 - i)));
  AppendBigEndian(out, *mask, 4);
  const size_t start = out.size();
  out.append(payload);
  Mask(out.data() + start, payload.size(), key, 0);
}

std::string AcceptKey(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  unsigned int length = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha1(), nullptr);
  std::string out(28, '\0');
  std::array<unsigned char, 32> base64{};
  EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
  std::copy_n(base64.begin(), out.size(), out.begin());
  return out;
}

std::string ClosePayload(CloseCode code, std::string_view reason) {
  size_t length = std::min(reason.size(), kControlBytesMax - 2);
  while (length > 0 && length < reason.size() &&
         (static_cast<uint8_t>(reason[length]) & 0xc0) == 0x80) {
    --length;
  }
  std::string out;
  AppendBigEndian(out, static_cast<uint16_t>(code), 2);
  out.append(reason.substr(0, length));
  return out;
}

std::optional<Violation> WebSocketDecoder::Feed(std::string_view bytes,
                                                const std::function<bool(const Event&)>& sink) {
  bool go_on = true;
  while (go_on && (!bytes.empty() || (in_frame_ && frame_.left == 0))) {
    if (!in_frame_) {
      bool complete = false;
      if (auto violation = ReadHeader(bytes, complete)) return violation;
      if (!complete) return std::nullopt;
    }
    ReadPayload(bytes);
    if (frame_.left > 0) return std::nullopt;
    in_frame_ = false;
    if (auto violation = FinishFrame(sink, go_on)) return violation;
  }
  return std::nullopt;
}

std::optional<Violation> WebSocketDecoder::ReadHeader(std::string_view& bytes, bool& complete) {
  const auto take = [&](size_t wanted) {
    const size_t taken = std::min(wanted - header_.size(), bytes.size());
    header_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    return header_.size() == wanted;
  };
  if (header_.size() < 2 && !take(2)) return std::nullopt;
  const auto first = static_cast<uint8_t>(header_[0]);
  const auto second = static_cast<uint8_t>(header_[1]);
  if (!take(HeaderBytes(second))) return std::nullopt;

  size_t at = 2;
  uint64_t length = second & 0x7f;
  if (length >= 126) {
    const size_t extended = length == 126 ? 2 : 8;
    length = 0;
    for (size_t i = 0; i < extended; ++i) {
      length = length << 8 | static_cast<uint8_t>(header_[at++]);
    }
  }
  if (auto violation = CheckHeader(first, second, length)) return violation;
  frame_ = Frame{};
  frame_.final = (first & 0x80) != 0;
  frame_.opcode = static_cast<Opcode>(first & 0x0f);
  frame_.left = length;
  for (size_t i = 0; masked_ && i < 4; ++i) frame_.mask[i] = static_cast<uint8_t>(header_[at++]);
  header_.clear();
  in_frame_ = true;
  complete = true;
  if (!control() && frame_.opcode != Opcode::kContinuation) {
    in_message_ = true;
    message_kind_ = frame_.opcode;
  }
  return std::nullopt;
}

std::optional<Violation> WebSocketDecoder::CheckHeader(uint8_t first,
                                                       uint8_t second,
                                                       uint64_t length) const {
  const auto refuse = [](const char* reason) {
    return Violation{CloseCode::kProtocolError, reason};
  };
  const uint8_t opcode = first & 0x0f;
  const bool masked = (second & 0x80) != 0;
  const uint8_t short_length = second & 0x7f;
  if ((first & 0x70) != 0) return refuse("a reserved bit is set");
  if (!KnownOpcode(opcode)) return refuse("an unknown kind of frame");
  if (masked != masked_) return refuse(masked_ ? "a frame is not masked" : "a frame is masked");
  if ((short_length == 126 && length < 126) || (short_length == 127 && length <= 0xffff)) {
    return refuse("a length is not in its shortest form");
  }
  if (opcode >= 8) {
    if ((first & 0x80) == 0) return refuse("a control frame is fragmented");
    if (length > kControlBytesMax) return refuse("a control frame is too long");
    return std::nullopt;
  }
  if (opcode == 0 && !in_message_) return refuse("a continuation without a beginning");
  if (opcode != 0 && in_message_) return refuse("a new message inside a fragmented one");
  if (length > message_bytes_max_ || message_.size() > message_bytes_max_ - length) {
    return Violation{CloseCode::kTooBig,
                     "a message is larger than " + std::to_string(message_bytes_max_) + " bytes"};
  }
  return std::nullopt;
}

void WebSocketDecoder::ReadPayload(std::string_view& bytes) {
  std::string& out = control() ? control_ : message_;
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(frame_.left, bytes.size()));
  const size_t start = out.size();
  out.append(bytes.substr(0, taken));
  if (masked_) {
    Mask(out.data() + start, taken, frame_.mask, frame_.mask_at);
    frame_.mask_at = (frame_.mask_at + taken) % 4;
  }
  frame_.left -= taken;
  bytes.remove_prefix(taken);
}

std::optional<Violation> WebSocketDecoder::FinishFrame(
    const std::function<bool(const Event&)>& sink, bool& go_on) {
  if (frame_.opcode == Opcode::kClose) {
    go_on = false;
    return FinishClose(sink);
  }
  if (control()) {
    go_on = sink(Event{frame_.opcode, control_, CloseCode::kNormal});
    control_.clear();
    return std::nullopt;
  }
  if (!frame_.final) return std::nullopt;
  in_message_ = false;
  if (message_kind_ == Opcode::kText && !IsUtf8(message_)) {
    return Violation{static_cast<CloseCode>(1007), "a text message is not UTF-8"};
  }
  go_on = sink(Event{message_kind_, message_, CloseCode::kNormal});
  message_.clear();
  // One large message must not hold its memory for the rest of a long connection.
  if (message_.capacity() > (size_t{64} << 10)) message_.shrink_to_fit();
  return std::nullopt;
}

std::optional<Violation> WebSocketDecoder::FinishClose(
    const std::function<bool(const Event&)>& sink) {
  if (control_.empty()) {
    sink(Event{Opcode::kClose, {}, CloseCode::kNormal});
    return std::nullopt;
  }
  if (control_.size() < 2) return Violation{CloseCode::kProtocolError, "a close code is cut short"};
  const auto code = static_cast<uint16_t>(static_cast<uint8_t>(control_[0]) << 8 |
                                          static_cast<uint8_t>(control_[1]));
  const std::string_view reason = std::string_view(control_).substr(2);
  if (!ValidCloseCode(code)) return Violation{CloseCode::kProtocolError, "an invalid close code"};
  if (!IsUtf8(reason)) return Violation{CloseCode::kProtocolError, "a close reason is not UTF-8"};
  sink(Event{Opcode::kClose, reason, static_cast<CloseCode>(code)});
  return std::nullopt;
}

}  // namespace sluice::net::internal
