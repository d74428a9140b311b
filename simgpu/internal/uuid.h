// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

// How a card is named: by UUID and by its place on a bus that does not exist.
namespace sluice::simgpu {

using UuidBytes = std::array<unsigned char, 16>;

// Requires: the text was checked by ParseScene ("GPU-" and a lower-case UUID).
inline UuidBytes ParseUuid(std::string_view text) {
  UuidBytes bytes{};
  size_t nibbles = 0;
  for (char c : text.substr(4)) {
    if (c == '-' || nibbles == 32) continue;
    int value = c <= '9' ? c - '0' : c - 'a' + 10;
    unsigned char& byte = bytes[nibbles / 2];
    byte = static_cast<unsigned char>((byte << 4) | value);
    ++nibbles;
  }
  return bytes;
}

// "0000:01:00.0" with 4 digits of domain, "00000000:01:00.0" with 8, "01:00.0" with none.
inline std::string PciText(int card, int domain_digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%02X:00.0", static_cast<unsigned>(card + 1) & 0xff);
  if (domain_digits == 0) return text;
  return std::string(static_cast<size_t>(domain_digits), '0') + ":" + text;
}

}  // namespace sluice::simgpu
