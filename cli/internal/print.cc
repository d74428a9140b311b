// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/print.h"

#include <algorithm>
#include <cstdio>

#include "base/units.h"

namespace sluice::cli {
namespace {

bool Continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return !Continues(c); }));
}

std::string Cut(const std::string& text, size_t columns) {
  size_t seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Continues(text[i])) continue;
    if (seen++ == columns) return text.substr(0, i);
  }
  return text;
}

}  // namespace

std::string Safe(std::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c0 = c < 0x20 || c == 0x7F;
    // U+0080 to U+009F are C2 80 to C2 9F.
    const bool c1 =
        c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0U;
    if (c1) ++i;
    safe += c0 || c1 ? '?' : text[i];
  }
  return safe;
}

std::string Text(const Json& object, std::string_view member) {
  const auto found = object.find(member);
  if (found == object.end() || found->is_null()) return "";
  return Safe(found->is_string() ? found->get<std::string>() : found->dump());
}

int64_t Number(const Json& object, std::string_view member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_number() ? found->get<int64_t>() : 0;
}

bool Flag(const Json& object, std::string_view member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

const Json& Object(const Json& object, std::string_view member) {
  static const Json kEmpty = Json::object();
  const auto found = object.find(member);
  return found != object.end() && found->is_object() ? *found : kEmpty;
}

const Json& Array(const Json& object, std::string_view member) {
  static const Json kEmpty = Json::array();
  const auto found = object.find(member);
  return found != object.end() && found->is_array() ? *found : kEmpty;
}

std::string BytesText(const Json& object, std::string_view member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_number()) return "-";
  return ToText(Bytes(found->get<int64_t>()));
}

std::string TimeText(const Json& object, std::string_view member) {
  std::string text = Text(object, member);
  if (text.size() < 19) return "-";
  text[10] = ' ';
  return text.substr(0, 19);
}

std::string Table::Lines(std::string_view none, size_t width) const {
  if (rows_.size() == 1) return std::string(none) + "\n";
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  std::string lines;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - Columns(row[i]) + 2, ' ');
    }
    lines += (width > 0 ? Cut(line, width) : line) + "\n";
  }
  return lines;
}

void Out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void OutJson(const Json& json) {
  Out(json.dump(2) + "\n");
}

void Err(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace sluice::cli
