// SPDX-License-Identifier: Apache-2.0
#include "model/user.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "model/internal/names.h"

namespace sluice {
namespace {

constexpr internal::Names<Role, 3> kRoles{{"user", "operator", "admin"}};

constexpr size_t kUserNameBytesMax = 32;

struct Range {
  char32_t first;
  char32_t last;

  constexpr bool Holds(char32_t point) const { return first <= point && point <= last; }
};

// Never part of a displayed text: they break lines, move the cursor or turn what follows around.
constexpr Range kRefused[] = {
    {0x0000, 0x001F},      // C0 controls.
    {0x007F, 0x009F},      // DEL and C1 controls.
    {0x2028, 0x202E},      // Line and paragraph separators, embeddings and overrides.
    {0x2066, 0x2069},      // Isolates.
    {0xFDD0, 0xFDEF},      // Noncharacters.
    {0xFFF9, 0xFFFB},      // Interlinear annotation.
    {0xFFFE, 0xFFFF},      // Noncharacters.
    {0xE0000, 0xE007F},    // Tags: text that no one sees.
    {0x10FFFE, 0x10FFFF},  // Noncharacters.
};

// Allowed beside something visible, but a text of nothing else is blank.
constexpr Range kInvisible[] = {
    {0x0020, 0x0020},    // Space.
    {0x00A0, 0x00A0},    // No-break space.
    {0x00AD, 0x00AD},    // Soft hyphen.
    {0x034F, 0x034F},    // Combining grapheme joiner.
    {0x061C, 0x061C},    // Arabic letter mark.
    {0x115F, 0x1160},    // Hangul fillers.
    {0x1680, 0x1680},    // Ogham space mark.
    {0x17B4, 0x17B5},    // Khmer inherent vowels.
    {0x180B, 0x180F},    // Mongolian selectors and separator.
    {0x2000, 0x200F},    // Spaces of a width, zero-width ones, direction marks.
    {0x202F, 0x202F},    // Narrow no-break space.
    {0x205F, 0x2065},    // Mathematical space, word joiner, invisible operators.
    {0x206A, 0x206F},    // Deprecated format characters.
    {0x2800, 0x2800},    // Braille blank.
    {0x3000, 0x3000},    // Ideographic space.
    {0x3164, 0x3164},    // Hangul filler.
    {0xFE00, 0xFE0F},    // Variation selectors.
    {0xFEFF, 0xFEFF},    // Byte order mark.
    {0xFFA0, 0xFFA0},    // Half-width Hangul filler.
    {0xE0100, 0xE01EF},  // More variation selectors.
};

template <size_t N>
bool Among(const Range (&ranges)[N], char32_t point) {
  return std::ranges::any_of(ranges, [point](const Range& range) { return range.Holds(point); });
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool IsLowerLetter(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsUserNameByte(char c) {
  return IsLowerLetter(c) || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

}  // namespace

std::string_view ToString(Role role) {
  return kRoles.Of(role);
}
std::optional<Role> ParseRole(std::string_view text) {
  return kRoles.Find(text);
}

Result<void> CheckUserName(std::string_view name) {
  if (name.empty()) return Fail(Code::kInvalidArgument, "a sign-in name is needed", "/name");
  if (name.size() > kUserNameBytesMax) {
    return Fail(Code::kInvalidArgument,
                "a sign-in name has at most " + std::to_string(kUserNameBytesMax) + " characters",
                "/name");
  }
  if (!IsLowerLetter(name.front()) || !std::ranges::all_of(name, IsUserNameByte)) {
    return Fail(Code::kInvalidArgument,
                "a sign-in name begins with a letter and has only a-z, 0-9, '.', '_' and '-'",
                "/name");
  }
  return {};
}

Result<std::string> CleanDisplayText(std::string_view text,
                                     size_t bytes_max,
                                     std::string_view field) {
  const auto wrong = [field](std::string why) {
    return Fail(Code::kInvalidArgument, std::move(why), std::string(field));
  };
  text = Trim(text);
  if (text.size() > bytes_max) {
    return wrong("the text is too long: " + std::to_string(text.size()) + " bytes, at most " +
                 std::to_string(bytes_max));
  }
  bool visible = false;
  for (std::string_view rest = text; !rest.empty();) {
    const auto point = TakeCodePoint(rest);
    if (!point) return wrong("the text is not valid UTF-8");
    if (Among(kRefused, *point)) {
      return wrong("the text has a control character or one that changes its direction");
    }
    visible = visible || !Among(kInvisible, *point);
  }
  if (!visible) return wrong("the text is blank");
  return std::string(text);
}

}  // namespace sluice
