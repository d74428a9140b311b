// SPDX-License-Identifier: Apache-2.0
#include "portal/stream/internal/rfb.h"

namespace sluice::stream::internal {
namespace {

using Kind = EncodingKind;

constexpr Encoding kEncodings[] = {
    {encoding::kRaw, Kind::kPixels, true},
    {encoding::kCopyRect, Kind::kPixels, true},
    {encoding::kRre, Kind::kPixels, true},
    {encoding::kHextile, Kind::kPixels, true},
    {encoding::kZlib, Kind::kPixels, true},
    {encoding::kTight, Kind::kPixels, true},
    {encoding::kZrle, Kind::kPixels, true},
    {encoding::kTightPng, Kind::kPixels, true},
    {encoding::kCursor, Kind::kCursor, true},
    {encoding::kXCursor, Kind::kCursor, true},
    {encoding::kVmwareCursor, Kind::kCursor, true},
    {encoding::kDesktopSize, Kind::kNotice, true},
    {encoding::kLastRect, Kind::kNotice, true},
    {encoding::kQemuKeyEvent, Kind::kNotice, true},
    {encoding::kLedState, Kind::kNotice, true},
    {encoding::kVmwareLedState, Kind::kNotice, true},
    {encoding::kDesktopName, Kind::kNotice, true},
    {encoding::kExtendedDesktopSize, Kind::kNotice, true},
    {encoding::kFence, Kind::kRequest, true},
    {encoding::kContinuousUpdates, Kind::kRequest, true},
    // Somebody who only looks has no business in the clipboard.
    {encoding::kExtendedClipboard, Kind::kRequest, false},
};

// JPEG quality (plain and TurboVNC's finer one), compression level, chroma subsampling.
constexpr struct {
  int32_t first;
  int32_t last;
} kRequestRanges[] = {{-32, -23}, {-256, -247}, {-512, -412}, {-768, -763}};

constexpr Encoding kRequest{0, Kind::kRequest, true};

}  // namespace

std::optional<PixelFormat> ParsePixelFormat(std::string_view bytes) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  const auto u16 = [&](size_t at) { return static_cast<uint16_t>(byte(at) << 8 | byte(at + 1)); };
  PixelFormat format;
  format.bits_per_pixel = byte(0);
  format.depth = byte(1);
  format.true_colour = byte(3) != 0;
  format.red_max = u16(4);
  format.green_max = u16(6);
  format.blue_max = u16(8);
  const bool known_bits =
      format.bits_per_pixel == 8 || format.bits_per_pixel == 16 || format.bits_per_pixel == 32;
  if (!known_bits || !format.true_colour || format.depth == 0 ||
      format.depth > format.bits_per_pixel) {
    return std::nullopt;
  }
  return format;
}

const Encoding* FindEncoding(int32_t number) {
  for (const Encoding& row : kEncodings) {
    if (row.number == number) return &row;
  }
  for (const auto& range : kRequestRanges) {
    if (number >= range.first && number <= range.last) return &kRequest;
  }
  return nullptr;
}

}  // namespace sluice::stream::internal
