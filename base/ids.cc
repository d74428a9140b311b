// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include <array>

namespace sluice {

std::string NewIdText(std::string_view prefix, TimePoint now, Random& random) {
  static constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::string text(prefix);
  text += '_';
  const auto ms = static_cast<uint64_t>(now.time_since_epoch().count());
  for (int shift = 45; shift >= 0; shift -= 5) text += kAlphabet[(ms >> shift) & 31];
  uint64_t bits = 0;
  for (int i = 0; i < 16; ++i) {
    if (i % 12 == 0) bits = random.Next();
    text += kAlphabet[bits & 31];
    bits >>= 5;
  }
  return text;
}

}  // namespace sluice
