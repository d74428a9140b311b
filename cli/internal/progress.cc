// SPDX-License-Identifier: Apache-2.0
#include "cli/internal/progress.h"

#include <fmt/core.h>
#include <unistd.h>
#include <utility>

#include "cli/internal/print.h"

namespace sluice::cli {

Progress::Progress(std::string what) : what_(std::move(what)), shown_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_ && percent_ >= 0) Err("\r\033[K");
}

void Progress::Show(size_t done, size_t of) {
  const int percent = of == 0 ? 100 : static_cast<int>(done * 100 / of);
  if (!shown_ || percent == percent_) return;
  percent_ = percent;
  const auto full = static_cast<size_t>(percent / 4);
  Err(fmt::format(
      "\r{} [{}{}] {}%", what_, std::string(full, '#'), std::string(25 - full, '.'), percent));
}

}  // namespace sluice::cli
