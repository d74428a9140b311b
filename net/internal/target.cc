// SPDX-License-Identifier: Apache-2.0
#include "net/internal/target.h"

#include <algorithm>

#include "base/utf8.h"

namespace sluice::net::internal {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// Decodes percent escapes; in a query "+" is a space.
Result<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) {
        return Fail(Code::kInvalidArgument, "a percent escape in the address is cut short");
      }
      const int first = HexValue(text[i + 1]);
      const int second = HexValue(text[i + 2]);
      if (first < 0 || second < 0) {
        return Fail(Code::kInvalidArgument, "a percent escape in the address is not hexadecimal");
      }
      c = static_cast<char>(first * 16 + second);
      i += 2;
      if (c == '\0') return Fail(Code::kInvalidArgument, "the address holds a NUL");
      if (c == '/' && !plus_is_space) {
        return Fail(Code::kInvalidArgument, "the path holds an encoded slash");
      }
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    out.push_back(c);
  }
  if (!IsUtf8(out)) return Fail(Code::kInvalidArgument, "the address is not UTF-8");
  return out;
}

Result<void> CheckPath(std::string_view path) {
  for (const char c : path) {
    if (IsControl(c)) return Fail(Code::kInvalidArgument, "the path holds a control character");
    if (c == '\\') return Fail(Code::kInvalidArgument, "the path holds a backslash");
  }
  size_t start = 1;
  while (start < path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (segment.empty()) return Fail(Code::kInvalidArgument, "the path holds an empty segment");
    if (segment == "." || segment == "..") {
      return Fail(Code::kInvalidArgument, "the path holds a dot segment");
    }
    start = end + 1;
  }
  return {};
}

Result<void> ParseQuery(std::string_view text, Target& target) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (field.empty()) continue;
    if (target.query.size() == kQueryFieldsMax) {
      return Fail(Code::kInvalidArgument, "the query has too many fields");
    }
    const size_t equals = std::min(field.find('='), field.size());
    auto name = Decode(field.substr(0, equals), true);
    if (!name) return Fail(name.error());
    auto value = Decode(field.substr(std::min(equals + 1, field.size())), true);
    if (!value) return Fail(value.error());
    target.query.emplace_back(*std::move(name), *std::move(value));
  }
  return {};
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<Target> ParseTarget(std::string_view text) {
  if (text.size() > kTargetBytesMax) {
    return Fail(Code::kInvalidArgument, "the address is longer than 4096 bytes");
  }
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.size() >= scheme.size() && EqualNoCase(text.substr(0, scheme.size()), scheme)) {
      const size_t slash = text.find('/', scheme.size());
      text = slash == std::string_view::npos ? std::string_view("/") : text.substr(slash);
      break;
    }
  }
  if (text.empty() || text.front() != '/') {
    return Fail(Code::kInvalidArgument, "the address does not start with a slash");
  }
  const size_t question = std::min(text.find('?'), text.size());
  Target target;
  auto path = Decode(text.substr(0, question), false);
  if (!path) return Fail(path.error());
  if (auto checked = CheckPath(*path); !checked) return Fail(checked.error());
  target.path = *std::move(path);
  if (question < text.size()) {
    auto parsed = ParseQuery(text.substr(question + 1), target);
    if (!parsed) return Fail(parsed.error());
  }
  return target;
}

std::string_view FindCookie(std::string_view field, std::string_view name) {
  while (!field.empty()) {
    const size_t end = std::min(field.find(';'), field.size());
    const std::string_view pair = Trim(field.substr(0, end));
    field.remove_prefix(std::min(end + 1, field.size()));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return {};
}

bool EqualNoCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

bool HasToken(std::string_view field, std::string_view token) {
  while (!field.empty()) {
    const size_t end = std::min(field.find(','), field.size());
    if (EqualNoCase(Trim(field.substr(0, end)), token)) return true;
    field.remove_prefix(std::min(end + 1, field.size()));
  }
  return false;
}

}  // namespace sluice::net::internal
