// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

// Takes the first code point off `text`. nullopt, and `text` untouched, when `text` is empty or
// does not begin with a well-formed UTF-8 sequence (RFC 3629: shortest form, no surrogates, at
// most U+10FFFF). Own code because base/ and model/ carry no library for thirty lines.
std::optional<char32_t> TakeCodePoint(std::string_view& text);

// Whether all of `text` is well-formed UTF-8. The empty text is.
bool IsUtf8(std::string_view text);

}  // namespace sluice
