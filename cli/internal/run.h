// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/internal/api.h"

namespace sluice::cli {

struct RunWish {
  std::string memory;
  std::vector<std::string> also;  // Memory of further shares, each on another card.
  std::string compute;            // "30%"; empty: like the memory.
  std::string cap;                // Empty: none.
  int priority = 0;
  std::string model;
  std::string simulate;  // A fleet; empty: the instance, or a private agent where none runs.
  bool no_wait = false;
  std::vector<std::string> argv;
};

// Runs the command under a share of a card on this machine and returns its exit code, or
// kRunFailed when it could not be started.
int Run(Api& api, const RunWish& wish);

}  // namespace sluice::cli
