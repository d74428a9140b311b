// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/internal/api.h"

// Words and tables for a terminal. Whatever comes from a server may have been typed by a tenant:
// control characters never reach the terminal.
namespace sluice::cli {

// Text without control characters; each becomes "?".
std::string Safe(std::string_view text);

// Members of a JSON object as text; absent or null: "".
std::string Text(const Json& object, std::string_view member);
int64_t Number(const Json& object, std::string_view member);
bool Flag(const Json& object, std::string_view member);
// A member that is an object; an empty one if it is not there.
const Json& Object(const Json& object, std::string_view member);
const Json& Array(const Json& object, std::string_view member);

// "8 GiB"; "-" for null.
std::string BytesText(const Json& object, std::string_view member);
// "2026-11-22T18:00:00.000Z" → "2026-11-22 18:00:00"; "-" for null.
std::string TimeText(const Json& object, std::string_view member);

// Rows in columns, wide as their widest cell; the first row is the head.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // The lines, each cut at `width` columns (0: not cut). An empty table says `none` instead.
  std::string Lines(std::string_view none, size_t width = 0) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

void Out(std::string_view text);
// The answer as JSON, indented.
void OutJson(const Json& json);
void Err(std::string_view text);

}  // namespace sluice::cli
