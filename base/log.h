// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>
#include <string_view>

namespace sluice {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One line to stderr: time, level, text. Thread-safe. Secrets never go here.
void LogLine(LogLevel level, std::string_view text);
void SetLogLevel(LogLevel least);

template <typename... Args>
void Log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  LogLine(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sluice
