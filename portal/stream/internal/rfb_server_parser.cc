// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/rfb_server_parser.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

namespace sluice::stream::internal {
namespace {

constexpr uint32_t kNameBytesMax = 4096;
constexpr size_t kFenceBytesMax = 64;
constexpr uint32_t kTileSide = 16;
// What a compressor may add to data that does not compress.
constexpr uint64_t kCompressionSlack = 64 * 1024;

tl::unexpected<Error> Violation(std::string sentence) {
  return Fail(Code::kInvalidArgument, std::move(sentence));
}

uint64_t BitmapBytes(uint64_t width, uint64_t height) {
  return (width + 7) / 8 * height;
}

// The most bytes that compressed data of so many plain bytes may claim.
uint64_t CompressedMax(uint64_t plain) {
  return plain + plain / 64 + kCompressionSlack;
}

}  // namespace

RfbServerParser::RfbServerParser(Mode mode, const ServerLimits& limits)
    : mode_(mode), limits_(limits) {
  static_cast<void>(Expect(kRfbVersion.size(), &RfbServerParser::OnVersion));
}

bool RfbServerParser::TakeClipboardNotice() {
  return std::exchange(clipboard_notice_, false);
}

Result<void> RfbServerParser::OnVersion() {
  if (head() != kRfbVersion) return Violation("the display does not speak RFB 3.8");
  Forward();
  return Expect(1, &RfbServerParser::OnSecurityCount);
}

Result<void> RfbServerParser::OnSecurityCount() {
  if (Byte(0) == 0) return Violation("the display refused the connection");
  return Expect(Byte(0), &RfbServerParser::OnSecurityTypes);
}

Result<void> RfbServerParser::OnSecurityTypes() {
  if (head().find('\x01') == std::string::npos) {
    return Violation("the display asks for a password of its own");
  }
  // Only "none" is passed on, so that no viewer picks another.
  Forward(std::string_view("\x01\x01", 2));
  return Expect(4, &RfbServerParser::OnSecurityResult);
}

Result<void> RfbServerParser::OnSecurityResult() {
  if (U32(0) != 0) return Violation("the display refused the connection");
  Forward();
  return Expect(24, &RfbServerParser::OnServerInit);
}

Result<void> RfbServerParser::OnServerInit() {
  if (auto resized = Resize(U16(0), U16(2)); !resized) return resized;
  const auto format = ParsePixelFormat(std::string_view(head()).substr(4, 16));
  if (!format) return Violation("the display has an impossible pixel format");
  const uint32_t name_bytes = U32(20);
  if (name_bytes > kNameBytesMax) return Violation("the display's name is too long");
  format_ = *format;
  ready_ = true;
  Forward();
  return PassThen(name_bytes, &RfbServerParser::NextMessage);
}

Result<void> RfbServerParser::Resize(uint32_t width, uint32_t height) {
  if (width == 0 || height == 0 || width > limits_.side_max || height > limits_.side_max ||
      uint64_t{width} * height > limits_.pixels_max) {
    return Violation(fmt::format("the display claims a size of {} by {}", width, height));
  }
  width_ = width;
  height_ = height;
  return {};
}

Result<void> RfbServerParser::NextMessage() {
  return Expect(1, &RfbServerParser::OnType);
}

Result<void> RfbServerParser::OnType() {
  struct Row {
    uint8_t type;
    size_t more_bytes;
    Result<void> (RfbServerParser::*next)();
  };
  using P = RfbServerParser;
  static constexpr Row kRows[] = {
      {0, 3, &P::OnUpdate},
      {1, 5, &P::OnColourMap},
      {2, 0, &P::OnPassOn},  // Bell.
      {3, 7, &P::OnCutText},
      {150, 0, &P::OnPassOn},  // EndOfContinuousUpdates.
      {248, 8, &P::OnFence},
  };
  for (const Row& row : kRows) {
    if (row.type == Byte(0)) return More(row.more_bytes, row.next);
  }
  return Violation(fmt::format("the display sent an unknown message ({})", Byte(0)));
}

Result<void> RfbServerParser::OnPassOn() {
  Forward();
  return NextMessage();
}

Result<void> RfbServerParser::OnColourMap() {
  const uint64_t first = U16(2);
  const uint64_t count = U16(4);
  if (first + count > 0x10000) return Violation("the display sent a broken colour map");
  Forward();
  return PassThen(count * 6, &RfbServerParser::NextMessage);
}

Result<void> RfbServerParser::OnCutText() {
  const int64_t length = S32(4);
  const auto bytes = static_cast<uint64_t>(length < 0 ? -length : length);
  if (length < 0 && bytes < 4) return Violation("the display sent a broken clipboard message");
  if (bytes > limits_.cut_text_bytes_wall) {
    return Fail(Code::kResourceExhausted, "the desktop sent a clipboard that is far too large");
  }
  if (mode_ == Mode::kView) return Skip(bytes, Payload::kDrop, &RfbServerParser::NextMessage);
  if (bytes > limits_.cut_text_bytes_max) {
    clipboard_notice_ = true;
    return Skip(bytes, Payload::kDrop, &RfbServerParser::NextMessage);
  }
  Forward();
  return PassThen(bytes, &RfbServerParser::NextMessage);
}

Result<void> RfbServerParser::OnFence() {
  const size_t bytes = Byte(8);
  if (bytes > kFenceBytesMax) return Violation("the display sent a fence that is too long");
  Forward();
  return PassThen(bytes, &RfbServerParser::NextMessage);
}

Result<void> RfbServerParser::OnUpdate() {
  rectangles_left_ = U16(2);
  until_last_ = rectangles_left_ == 0xffff;
  Forward();
  return NextRectangle();
}

Result<void> RfbServerParser::NextRectangle() {
  if (!until_last_ && rectangles_left_ == 0) return EndUpdate();
  if (!until_last_) --rectangles_left_;
  return Expect(12, &RfbServerParser::OnRectangle);
}

Result<void> RfbServerParser::EndUpdate() {
  ++updates_;
  return NextMessage();
}

Result<void> RfbServerParser::OnRectangle() {
  rectangle_ = {U16(0), U16(2), U16(4), U16(6), S32(8)};
  const Encoding* row = FindEncoding(rectangle_.encoding);
  if (row == nullptr || row->kind == EncodingKind::kRequest) {
    return Violation(fmt::format("the display sent an encoding that nobody asked for ({})",
                                 rectangle_.encoding));
  }
  Forward();
  switch (row->kind) {
    case EncodingKind::kPixels:
      return StartPixels();
    case EncodingKind::kCursor:
      return StartCursor();
    case EncodingKind::kNotice:
    case EncodingKind::kRequest:
      break;
  }
  return OnNotice();
}

Result<void> RfbServerParser::StartPixels() {
  using P = RfbServerParser;
  const Rectangle& r = rectangle_;
  if (r.x + r.width > width_ || r.y + r.height > height_) {
    return Violation("the display sent a rectangle outside of the screen");
  }
  switch (r.encoding) {
    case encoding::kRaw:
      return PassThen(r.area() * format_.Bytes(), &P::NextRectangle);
    case encoding::kCopyRect:
      return Expect(4, &P::OnCopySource);
    case encoding::kRre:
      return Expect(4 + format_.Bytes(), &P::OnRreCount);
    case encoding::kHextile:
      tile_x_ = 0;
      tile_y_ = 0;
      return NextTile();
    case encoding::kTight:
    case encoding::kTightPng:
      return Expect(1, &P::OnTightControl);
    default:  // Zlib and ZRLE: a length and compressed data.
      return Expect(4, &P::OnZlibLength);
  }
}

Result<void> RfbServerParser::StartCursor() {
  const Rectangle& r = rectangle_;
  if (r.width > limits_.cursor_side_max || r.height > limits_.cursor_side_max) {
    return Violation("the display sent a mouse pointer that is too large");
  }
  const uint64_t mask = BitmapBytes(r.width, r.height);
  switch (rectangle_.encoding) {
    case encoding::kCursor:
      return PassThen(r.area() * format_.Bytes() + mask, &RfbServerParser::NextRectangle);
    case encoding::kXCursor:
      return PassThen(r.area() == 0 ? 0 : 6 + 2 * mask, &RfbServerParser::NextRectangle);
    default:
      return Expect(2, &RfbServerParser::OnVmwareCursor);
  }
}

Result<void> RfbServerParser::OnVmwareCursor() {
  Forward();
  const uint8_t kind = Byte(0);
  if (kind > 1) return Violation("the display sent an unknown kind of mouse pointer");
  const uint64_t bytes = rectangle_.area() * (kind == 0 ? 2 * format_.Bytes() : 4);
  return PassThen(bytes, &RfbServerParser::NextRectangle);
}

Result<void> RfbServerParser::OnNotice() {
  using P = RfbServerParser;
  const Rectangle& r = rectangle_;
  switch (r.encoding) {
    case encoding::kLastRect:
      return EndUpdate();
    case encoding::kDesktopSize:
      if (auto resized = Resize(r.width, r.height); !resized) return resized;
      return NextRectangle();
    case encoding::kExtendedDesktopSize:
      return Expect(4, &P::OnScreens);
    case encoding::kDesktopName:
      return Expect(4, &P::OnName);
    case encoding::kLedState:
      return PassThen(1, &P::NextRectangle);
    case encoding::kVmwareLedState:
      return PassThen(4, &P::NextRectangle);
    default:  // QEMU key event: the rectangle itself is the message.
      return NextRectangle();
  }
}

Result<void> RfbServerParser::OnScreens() {
  const Rectangle& r = rectangle_;
  // y is the status of an earlier wish; the size stands only if it was granted.
  if (r.y == 0) {
    if (auto resized = Resize(r.width, r.height); !resized) return resized;
  }
  Forward();
  return PassThen(uint64_t{Byte(0)} * 16, &RfbServerParser::NextRectangle);
}

Result<void> RfbServerParser::OnName() {
  if (U32(0) > kNameBytesMax) return Violation("the display's name is too long");
  Forward();
  return PassThen(U32(0), &RfbServerParser::NextRectangle);
}

Result<void> RfbServerParser::OnCopySource() {
  if (U16(0) + rectangle_.width > width_ || U16(2) + rectangle_.height > height_) {
    return Violation("the display copied from outside of the screen");
  }
  Forward();
  return NextRectangle();
}

Result<void> RfbServerParser::OnRreCount() {
  const uint64_t count = U32(0);
  if (count > rectangle_.area()) return Violation("the display sent too many parts of a rectangle");
  Forward();
  return PassThen(count * (format_.Bytes() + 8), &RfbServerParser::NextRectangle);
}

Result<void> RfbServerParser::OnZlibLength() {
  // ZRLE adds at most a byte per tile and run; twice the plain size is more than it can need.
  if (U32(0) > CompressedMax(2 * rectangle_.area() * format_.Bytes())) {
    return Violation("the display sent more data than its rectangle can hold");
  }
  Forward();
  return PassThen(U32(0), &RfbServerParser::NextRectangle);
}

Result<void> RfbServerParser::NextTile() {
  if (tile_x_ >= rectangle_.width) {
    tile_x_ = 0;
    tile_y_ += kTileSide;
  }
  if (tile_y_ >= rectangle_.height || rectangle_.width == 0) return NextRectangle();
  return Expect(1, &RfbServerParser::OnTileFlags);
}

Result<void> RfbServerParser::OnTileFlags() {
  const uint8_t flags = Byte(0);
  const uint64_t width = std::min(kTileSide, rectangle_.width - tile_x_);
  const uint64_t height = std::min(kTileSide, rectangle_.height - tile_y_);
  if ((flags & 1) != 0) {
    Forward();
    tile_x_ += kTileSide;
    return PassThen(width * height * format_.Bytes(), &RfbServerParser::NextTile);
  }
  size_t more = 0;
  if ((flags & 2) != 0) more += format_.Bytes();
  if ((flags & 4) != 0) more += format_.Bytes();
  if ((flags & 8) != 0) more += 1;
  return More(more, &RfbServerParser::OnTileCount);
}

Result<void> RfbServerParser::OnTileCount() {
  const uint8_t flags = Byte(0);
  const uint64_t count = (flags & 8) != 0 ? Byte(head().size() - 1) : 0;
  const uint64_t each = (flags & 16) != 0 ? format_.Bytes() + 2 : 2;
  tile_x_ += kTileSide;
  Forward();
  return PassThen(count * each, &RfbServerParser::NextTile);
}

Result<void> RfbServerParser::OnTightControl() {
  using P = RfbServerParser;
  const uint8_t control = Byte(0) >> 4;
  const bool png = rectangle_.encoding == encoding::kTightPng;
  const uint64_t plain = rectangle_.area() * format_.TightBytes();
  if (control == 8) {
    Forward();
    return PassThen(format_.TightBytes(), &P::NextRectangle);
  }
  if (control == 9 || (control == 10 && png)) {
    Forward();
    tight_bytes_max_ = CompressedMax(2 * rectangle_.area() * 3);
    return Expect(1, &P::OnTightLength);
  }
  if (control > 7 || png) return Violation("the display sent an unknown kind of Tight rectangle");
  if ((control & 4) != 0) return More(1, &P::OnTightFilter);
  Forward();
  return StartTightData(plain);
}

Result<void> RfbServerParser::OnTightFilter() {
  switch (Byte(1)) {
    case 0:  // Copy.
    case 2:  // Gradient.
      Forward();
      return StartTightData(rectangle_.area() * format_.TightBytes());
    case 1:
      return More(1, &RfbServerParser::OnTightPalette);
    default:
      return Violation("the display sent an unknown Tight filter");
  }
}

Result<void> RfbServerParser::OnTightPalette() {
  const size_t colours = size_t{Byte(2)} + 1;
  const size_t palette_end = 3 + colours * format_.TightBytes();
  // The first time the head ends behind the number of colours, the second behind the palette.
  if (head().size() < palette_end) {
    return More(palette_end - head().size(), &RfbServerParser::OnTightPalette);
  }
  Forward();
  return StartTightData(colours <= 2 ? BitmapBytes(rectangle_.width, rectangle_.height)
                                     : rectangle_.area());
}

Result<void> RfbServerParser::StartTightData(uint64_t bytes) {
  constexpr uint64_t kShortest = 12;  // Less is sent as it is.
  if (bytes < kShortest) return PassThen(bytes, &RfbServerParser::NextRectangle);
  tight_bytes_max_ = CompressedMax(bytes);
  return Expect(1, &RfbServerParser::OnTightLength);
}

Result<void> RfbServerParser::OnTightLength() {
  const std::string& length = head();
  const bool goes_on = (static_cast<uint8_t>(length.back()) & 0x80) != 0 && length.size() < 3;
  if (goes_on) return More(1, &RfbServerParser::OnTightLength);
  uint64_t bytes = Byte(0) & 0x7fu;
  if (length.size() > 1) bytes |= (Byte(1) & 0x7full) << 7;
  if (length.size() > 2) bytes |= uint64_t{Byte(2)} << 14;
  if (bytes > tight_bytes_max_) {
    return Violation("the display sent more data than its rectangle can hold");
  }
  Forward();
  return PassThen(bytes, &RfbServerParser::NextRectangle);
}

}  // namespace sluice::stream::internal
