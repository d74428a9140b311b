// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace sluice::cli {

// A bar on the terminal's last line, if errors go to a terminal; else nothing. Its end clears it.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Show(size_t done, size_t of);

 private:
  std::string what_;
  bool shown_;
  int percent_ = -1;
};

}  // namespace sluice::cli
