// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/rfb_client_parser.h"

#include <algorithm>
#include <fmt/core.h>

namespace sluice::stream::internal {
namespace {

constexpr size_t kEncodingsMax = 256;
constexpr size_t kFenceBytesMax = 64;
constexpr size_t kScreensMax = 16;
constexpr uint16_t kSideMax = 16'384;

tl::unexpected<Error> Violation(std::string sentence) {
  return Fail(Code::kInvalidArgument, std::move(sentence));
}

void AppendU16(std::string& out, size_t value) {
  out.push_back(static_cast<char>(value >> 8 & 0xff));
  out.push_back(static_cast<char>(value & 0xff));
}

}  // namespace

RfbClientParser::RfbClientParser(Mode mode, const Clock& clock, const ClientLimits& limits)
    : mode_(mode),
      clock_(clock),
      limits_(limits),
      tokens_milli_(limits.input_burst * 1000),
      tokens_at_(clock.Steady()) {
  static_cast<void>(Expect(kRfbVersion.size(), &RfbClientParser::OnVersion));
}

bool RfbClientParser::TakeClipboardNotice() {
  return std::exchange(clipboard_notice_, false);
}

Result<void> RfbClientParser::OnVersion() {
  if (head() != kRfbVersion) return Violation("the viewer does not speak RFB 3.8");
  Forward();
  return Expect(1, &RfbClientParser::OnSecurity);
}

Result<void> RfbClientParser::OnSecurity() {
  if (Byte(0) != 1) return Violation("the viewer chose a security type that was not offered");
  Forward();
  return Expect(1, &RfbClientParser::OnClientInit);
}

Result<void> RfbClientParser::OnClientInit() {
  // Always shared: an exclusive client would throw every other viewer out.
  Forward(std::string_view("\x01", 1));
  return NextMessage();
}

Result<void> RfbClientParser::NextMessage() {
  return Expect(1, &RfbClientParser::OnType);
}

Result<void> RfbClientParser::OnType() {
  struct Row {
    uint8_t type;
    size_t more_bytes;
    Result<void> (RfbClientParser::*next)();
  };
  using P = RfbClientParser;
  static constexpr Row kRows[] = {
      {0, 19, &P::OnSetPixelFormat},
      {2, 3, &P::OnSetEncodings},
      {3, 9, &P::OnUpdateRequest},
      {4, 7, &P::OnKey},
      {5, 5, &P::OnPointer},
      {6, 7, &P::OnCutText},
      {150, 9, &P::OnUpdateRequest},  // EnableContinuousUpdates: as long, and starts updates too.
      {248, 8, &P::OnFence},
      {250, 3, &P::OnXvp},
      {251, 7, &P::OnDesktopSize},
      {255, 1, &P::OnQemu},
  };
  for (const Row& row : kRows) {
    if (row.type == Byte(0)) return More(row.more_bytes, row.next);
  }
  return Violation(fmt::format("the viewer sent an unknown message ({})", Byte(0)));
}

Result<void> RfbClientParser::OnSetPixelFormat() {
  const auto format = ParsePixelFormat(std::string_view(head()).substr(4));
  if (!format) return Violation("the viewer asked for an impossible pixel format");
  // Which updates still have the old format cannot be told from outside, so it is chosen once.
  if (requested_ && format != pixel_format_) {
    return Violation("the viewer changed the pixel format while updates were under way");
  }
  pixel_format_ = format;
  return OnPassOn();
}

Result<void> RfbClientParser::OnSetEncodings() {
  const size_t count = U16(2);
  if (count > kEncodingsMax) return Violation("the viewer named too many encodings");
  return More(count * 4, &RfbClientParser::OnEncodingList);
}

Result<void> RfbClientParser::OnEncodingList() {
  std::string kept;
  for (size_t at = 4; at < head().size(); at += 4) {
    const Encoding* row = FindEncoding(S32(at));
    if (row == nullptr || (!controls() && !row->in_view_mode)) continue;
    if (S32(at) == encoding::kExtendedDesktopSize) may_resize_ = true;
    kept.append(head(), at, 4);
  }
  std::string message("\x02\x00", 2);
  AppendU16(message, kept.size() / 4);
  Forward(message + kept);
  return NextMessage();
}

Result<void> RfbClientParser::OnUpdateRequest() {
  requested_ = true;
  return OnPassOn();
}

Result<void> RfbClientParser::OnPassOn() {
  Forward();
  return NextMessage();
}

Result<void> RfbClientParser::OnKey() {
  return ForwardInput(InputKind::kOther);
}

Result<void> RfbClientParser::OnPointer() {
  const uint8_t buttons = Byte(1);
  const bool motion = buttons == buttons_;
  buttons_ = buttons;
  return ForwardInput(motion ? InputKind::kMotion : InputKind::kOther);
}

Result<void> RfbClientParser::ForwardInput(InputKind kind) {
  if (!controls()) return NextMessage();
  const Duration now = clock_.Steady();
  const int64_t gained = std::min<int64_t>((now - tokens_at_).count(), 3'600'000);
  tokens_at_ = now;
  tokens_milli_ = std::min(tokens_milli_ + std::max<int64_t>(gained, 0) * limits_.input_per_second,
                           limits_.input_burst * 1000);
  if (kind == InputKind::kMotion && tokens_milli_ < 1000) return NextMessage();
  tokens_milli_ -= 1000;
  if (tokens_milli_ < -limits_.input_burst * 1000) {
    return Fail(Code::kPermissionDenied, "the viewer sent more input than anybody can type");
  }
  last_input_at_ = clock_.Now();
  return OnPassOn();
}

Result<void> RfbClientParser::OnCutText() {
  // A negative length marks the extended clipboard; its size is the absolute value.
  const int64_t length = S32(4);
  const auto bytes = static_cast<uint64_t>(length < 0 ? -length : length);
  if (length < 0 && bytes < 4) return Violation("the viewer sent a broken clipboard message");
  if (bytes > limits_.cut_text_bytes_wall) {
    return Fail(Code::kResourceExhausted, "the viewer sent a clipboard that is far too large");
  }
  if (!controls()) return Skip(bytes, Payload::kDrop, &RfbClientParser::NextMessage);
  if (bytes > limits_.cut_text_bytes_max) {
    clipboard_notice_ = true;
    return Skip(bytes, Payload::kDrop, &RfbClientParser::NextMessage);
  }
  last_input_at_ = clock_.Now();
  Forward();
  return Skip(bytes, Payload::kPass, &RfbClientParser::NextMessage);
}

Result<void> RfbClientParser::OnFence() {
  const size_t bytes = Byte(8);
  if (bytes > kFenceBytesMax) return Violation("the viewer sent a fence that is too long");
  return More(bytes, &RfbClientParser::OnFenceData);
}

Result<void> RfbClientParser::OnFenceData() {
  return OnPassOn();
}

Result<void> RfbClientParser::OnDesktopSize() {
  const uint16_t width = U16(2);
  const uint16_t height = U16(4);
  const size_t screens = Byte(6);
  if (width == 0 || height == 0 || width > kSideMax || height > kSideMax || screens > kScreensMax) {
    return Violation("the viewer asked for an impossible desktop size");
  }
  return More(screens * 16, &RfbClientParser::OnScreens);
}

// Xtigervnc 1.12 crashes on the size of a viewer that has not announced the encoding that answers
// it.
Result<void> RfbClientParser::OnScreens() {
  return controls() && may_resize_ ? OnPassOn() : NextMessage();
}

// Shutting the machine down is not the viewer's to ask.
Result<void> RfbClientParser::OnXvp() {
  return NextMessage();
}

Result<void> RfbClientParser::OnQemu() {
  if (Byte(1) != 0) return Violation("the viewer sent an unknown extended message");
  return More(10, &RfbClientParser::OnQemuKey);
}

Result<void> RfbClientParser::OnQemuKey() {
  return ForwardInput(InputKind::kOther);
}

}  // namespace sluice::stream::internal
