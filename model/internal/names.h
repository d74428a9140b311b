// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace sluice::internal {

// The names of an enum's values, in the enum's order, which begins at 0 and has no gaps. They are
// part of the stored format and of the API: add at the end, never rename.
template <typename E, size_t N>
struct Names {
  std::array<std::string_view, N> names;

  constexpr std::string_view Of(E value) const {
    const auto index = static_cast<size_t>(value);
    return index < N ? names[index] : std::string_view("unknown");
  }
  constexpr std::optional<E> Find(std::string_view text) const {
    for (size_t i = 0; i < N; ++i) {
      if (names[i] == text) return static_cast<E>(i);
    }
    return std::nullopt;
  }
};

}  // namespace sluice::internal
