// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "cli/cli.h"
#include "cli/internal/verb.h"

namespace sluice::cli {

// What the simulator gives, or the command's end with its sentence.
template <typename T>
T Need(Result<T> result) {
  if (result) return std::move(*result);
  throw CommandFailed{{.exit_code = kError, .text = result.error().message, .code = {}}};
}

// "45 s", "12.5 min", "3.0 h".
std::string SpanText(double seconds);

// `sluice sim replay --timed`.
struct TimedWords {
  bool timed = false;
  int every_node = 1;
  std::string from;
  double pace = 1;
  int offered = 0;
  int estimates = 40;
  int moves = 0;  // As of the other replay.
  int movable = 0;
  uint64_t seed = 42;
  std::string restart;
  std::string html;  // Where the report goes; empty: none.
};
void AddTimedOptions(CLI::App& app, TimedWords& words);
int ReplayInTime(const std::string& nodes,
                 const std::string& pods,
                 const TimedWords& words,
                 bool json);

}  // namespace sluice::cli
