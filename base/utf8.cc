// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <array>

namespace sluice {
namespace {

// How a sequence begins: (first byte & mask) == lead; `least` refuses longer forms than needed.
struct Form {
  uint8_t mask;
  uint8_t lead;
  size_t length_bytes;
  char32_t least;
};

constexpr std::array<Form, 4> kForms = {{
    {0x80, 0x00, 1, 0x0},
    {0xE0, 0xC0, 2, 0x80},
    {0xF0, 0xE0, 3, 0x800},
    {0xF8, 0xF0, 4, 0x10000},
}};

}  // namespace

std::optional<char32_t> TakeCodePoint(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto first = static_cast<uint8_t>(text.front());
  for (const Form& form : kForms) {
    if ((first & form.mask) != form.lead) continue;
    if (text.size() < form.length_bytes) return std::nullopt;
    char32_t point = first & static_cast<uint8_t>(~form.mask);
    for (size_t i = 1; i < form.length_bytes; ++i) {
      const auto next = static_cast<uint8_t>(text[i]);
      if ((next & 0xC0) != 0x80) return std::nullopt;
      point = (point << 6) | (next & 0x3F);
    }
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    if (point < form.least || surrogate || point > 0x10FFFF) return std::nullopt;
    text.remove_prefix(form.length_bytes);
    return point;
  }
  return std::nullopt;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    if (!TakeCodePoint(text)) return false;
  }
  return true;
}

}  // namespace sluice
