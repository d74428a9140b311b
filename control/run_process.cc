// SPDX-License-Identifier: Apache-2.0
#include "control/run_process.h"

#include <fstream>
#include <sstream>
#include <string>

namespace sluice::control {

std::optional<int64_t> ProcessStart(int64_t pid) {
  if (pid <= 0) return std::nullopt;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The command, field 2, is in brackets and may hold anything: go on behind the last bracket.
  const size_t end = line.rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(end + 1));
  std::string state;
  fields >> state;
  if (state.empty() || state == "Z" || state == "X") return std::nullopt;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  int64_t start = 0;
  if (!(fields >> start)) return std::nullopt;
  return start;
}

}  // namespace sluice::control
