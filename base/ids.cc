// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

namespace sluice {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Ascending.
constexpr size_t kDigits = 26;

// The text's number plus one. The time stands at its front, so it does not overflow before the
// year 10889.
void Increment(std::string& text) {
  for (size_t i = text.size(); i > text.size() - kDigits; --i) {
    const size_t digit = kAlphabet.find(text[i - 1]) + 1;
    text[i - 1] = kAlphabet[digit % kAlphabet.size()];
    if (digit < kAlphabet.size()) return;
  }
}

}  // namespace

std::string NewIdText(std::string_view prefix, TimePoint now, Random& random) {
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

std::string IdSequence::Next(TimePoint now, Random& random) {
  std::string text = NewIdText(prefix_, now, random);
  if (text <= last_) {
    text = last_;
    Increment(text);
  }
  last_ = text;
  return text;
}

}  // namespace sluice
