// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

// Rows of separated text, plain or gzip, one at a time.
namespace sluice::sim {

struct RowLimits {
  char separator = ',';
  size_t fields_max = 256;          // More in one row are kResourceExhausted.
  size_t field_bytes_max = 65'536;  // A longer field is kResourceExhausted.
};

struct Row {
  int64_t line = 0;  // Where the row starts; the first line of a file is 1.
  std::vector<std::string> fields;
};

// Called for each row that is not blank. A failure ends the reading and becomes its answer.
using OnRow = std::function<Result<void>(const Row&)>;

// Reads `path` in memory that depends on the limits alone, never on the length of the file. Fails
// with kNotFound (no such file), kInvalidArgument (quotes that do not match), kDataLoss (broken or
// cut-off gzip), kResourceExhausted (a limit), each with file and line.
Result<void> ForEachRow(const std::string& path, const RowLimits& limits, const OnRow& on_row);

}  // namespace sluice::sim
