// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <array>

namespace sluice {

std::string_view ToString(Code code) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "ok",
      "cancelled",
      "unknown",
      "invalid_argument",
      "deadline_exceeded",
      "not_found",
      "already_exists",
      "permission_denied",
      "resource_exhausted",
      "failed_precondition",
      "aborted",
      "out_of_range",
      "unimplemented",
      "internal",
      "unavailable",
      "data_loss",
      "unauthenticated",
  };
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "unknown";
}

std::string ToString(const Error& error) {
  std::string text(ToString(error.code));
  text += ": ";
  text += error.message;
  return text;
}

}  // namespace sluice
