// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// The pure parsers of what a request line and a Cookie field hold. Everything comes from strangers.
namespace sluice::net::internal {

inline constexpr size_t kTargetBytesMax = 4096;
inline constexpr size_t kQueryFieldsMax = 64;

struct Target {
  std::string path;  // Decoded; starts with "/".
  std::vector<std::pair<std::string, std::string>> query;
};

// Reads an origin-form ("/a?b=c") or absolute-form ("http://host/a") target. Fails with
// kInvalidArgument on: no leading "/", a segment "." or "..", "//", an encoded "/", a backslash, a
// control character, a broken percent escape, text that is not UTF-8, more than kTargetBytesMax
// bytes or kQueryFieldsMax fields.
Result<Target> ParseTarget(std::string_view target);

// The value of the first cookie `name` in a Cookie field, without quotes; empty if none.
std::string_view FindCookie(std::string_view field, std::string_view name);

// ASCII only; for names of header fields and their tokens.
bool EqualNoCase(std::string_view a, std::string_view b);

// Whether a comma-separated field ("keep-alive, Upgrade") holds `token`, without case.
bool HasToken(std::string_view field, std::string_view token);

}  // namespace sluice::net::internal
