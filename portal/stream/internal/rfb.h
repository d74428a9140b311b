// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

// RFB as both parsers know it: RFC 6143, and the registry of its extensions.
namespace sluice::stream::internal {

inline constexpr std::string_view kRfbVersion = "RFB 003.008\n";

struct PixelFormat {
  uint8_t bits_per_pixel = 32;
  uint8_t depth = 24;
  bool true_colour = true;
  uint16_t red_max = 255;
  uint16_t green_max = 255;
  uint16_t blue_max = 255;

  uint64_t Bytes() const { return bits_per_pixel / 8; }
  // Tight leaves the unused byte of a 24-bit pixel out.
  uint64_t TightBytes() const {
    const bool is_888 = bits_per_pixel == 32 && depth == 24 && red_max == 255 && green_max == 255 &&
                        blue_max == 255;
    return is_888 ? 3 : Bytes();
  }
  friend bool operator==(const PixelFormat&, const PixelFormat&) = default;
};

// Reads the 16 bytes of a PIXEL_FORMAT; nullopt when it is not true colour of 8, 16 or 32 bits.
std::optional<PixelFormat> ParsePixelFormat(std::string_view bytes);

enum class EncodingKind {
  kPixels,   // A rectangle of the framebuffer.
  kCursor,   // A picture beside it.
  kNotice,   // Sizes, names, states.
  kRequest,  // Named by clients only: quality, compression, what they understand.
};

struct Encoding {
  int32_t number;
  EncodingKind kind;
  bool in_view_mode;
};

namespace encoding {
inline constexpr int32_t kRaw = 0;
inline constexpr int32_t kCopyRect = 1;
inline constexpr int32_t kRre = 2;
inline constexpr int32_t kHextile = 5;
inline constexpr int32_t kZlib = 6;
inline constexpr int32_t kTight = 7;
inline constexpr int32_t kZrle = 16;
inline constexpr int32_t kTightPng = -260;
inline constexpr int32_t kDesktopSize = -223;
inline constexpr int32_t kLastRect = -224;
inline constexpr int32_t kCursor = -239;
inline constexpr int32_t kXCursor = -240;
inline constexpr int32_t kQemuKeyEvent = -258;
inline constexpr int32_t kLedState = -261;
inline constexpr int32_t kDesktopName = -307;
inline constexpr int32_t kExtendedDesktopSize = -308;
inline constexpr int32_t kFence = -312;
inline constexpr int32_t kContinuousUpdates = -313;
inline constexpr int32_t kVmwareCursor = 0x574d5664;
inline constexpr int32_t kVmwareLedState = 0x574d5668;
inline constexpr int32_t kExtendedClipboard = -1063131698;  // 0xc0a1e5ce.
}  // namespace encoding

// The row of an encoding that the server parser can frame; null: a client may not ask for it.
const Encoding* FindEncoding(int32_t number);

}  // namespace sluice::stream::internal
