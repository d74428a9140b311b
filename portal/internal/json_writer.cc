// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/json_writer.h"

#include <array>
#include <charconv>

#include "base/utf8.h"

namespace sluice::portal {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void AppendEscape(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default: {
      const auto value = static_cast<unsigned char>(c);
      out += "\\u00";
      out += kHex[value >> 4];
      out += kHex[value & 15U];
    }
  }
}

}  // namespace

void AppendJsonText(std::string& out, std::string_view value) {
  out += '"';
  while (!value.empty()) {
    const auto c = static_cast<unsigned char>(value.front());
    if (c < 0x20 || c == '"' || c == '\\' || c == 0x7F) {
      AppendEscape(out, value.front());
      value.remove_prefix(1);
    } else if (c < 0x80) {
      out += value.front();
      value.remove_prefix(1);
    } else {
      std::string_view rest = value;
      if (TakeCodePoint(rest)) {
        out.append(value.substr(0, value.size() - rest.size()));
        value = rest;
      } else {
        out += kReplacement;
        value.remove_prefix(1);
      }
    }
  }
  out += '"';
}

void JsonWriter::Separate() {
  if (!first_) out_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::BeginObject() {
  Separate();
  out_ += '{';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::EndObject() {
  out_ += '}';
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::BeginArray() {
  Separate();
  out_ += '[';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::EndArray() {
  out_ += ']';
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view name) {
  Separate();
  AppendJsonText(out_, name);
  out_ += ':';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::Text(std::string_view value) {
  Separate();
  AppendJsonText(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Int(int64_t value) {
  Separate();
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out_.append(digits.data(), end);
  return *this;
}

JsonWriter& JsonWriter::Bool(bool value) {
  Separate();
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::Null() {
  Separate();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::Time(TimePoint value) {
  return Text(ToRfc3339(value));
}

JsonWriter& JsonWriter::TimeOrNull(TimePoint value) {
  return value == TimePoint() ? Null() : Time(value);
}

JsonWriter& JsonWriter::TextOrNull(std::string_view value) {
  return value.empty() ? Null() : Text(value);
}

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Separate();
  out_ += json;
  return *this;
}

}  // namespace sluice::portal
