// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

// For tests: RFB messages as strings of bytes.
namespace sluice::stream::testing {

inline std::string B(std::initializer_list<int> bytes) {
  std::string out;
  for (const int byte : bytes) out.push_back(static_cast<char>(byte));
  return out;
}

inline std::string U16(uint32_t value) {
  return B({static_cast<int>(value >> 8 & 0xff), static_cast<int>(value & 0xff)});
}

inline std::string U32(uint32_t value) {
  return U16(value >> 16) + U16(value & 0xffff);
}

// 32 bits, depth 24, little endian, true colour, 8 bits each at 16, 8, 0.
inline const std::string kPixelFormat32 =
    B({32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0});

inline std::string ServerHandshake(uint16_t width, uint16_t height) {
  return "RFB 003.008\n" + B({1, 1}) + U32(0) + U16(width) + U16(height) + kPixelFormat32 + U32(4) +
         "desk";
}

struct Rect {
  uint16_t x;
  uint16_t y;
  uint16_t width;
  uint16_t height;
  int32_t encoding;
};

inline std::string RectHead(const Rect& rect) {
  return U16(rect.x) + U16(rect.y) + U16(rect.width) + U16(rect.height) +
         U32(static_cast<uint32_t>(rect.encoding));
}

inline std::string UpdateHead(uint16_t rectangles) {
  return B({0, 0}) + U16(rectangles);
}

// An update of one rectangle.
inline std::string Update(const Rect& rect, const std::string& body) {
  return UpdateHead(1) + RectHead(rect) + body;
}

}  // namespace sluice::stream::testing
