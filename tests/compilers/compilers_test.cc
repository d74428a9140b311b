// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

// Two compilers, one input: the core decides the same, byte for byte.
namespace sluice {
namespace {

const std::string kOwn = SLUICE_BUILD_DIR "/tests/decisions";
const std::string kOther = SLUICE_OTHER_DECISIONS;

// Standard output by line; empty if the program did not end well.
std::vector<std::string> LinesOf(const std::string& command) {
  std::vector<std::string> lines;
  std::string text;
  std::FILE* const out = popen(command.c_str(), "r");
  if (out == nullptr) return lines;
  std::array<char, 65'536> part{};
  for (size_t read = 0; (read = std::fread(part.data(), 1, part.size(), out)) > 0;) {
    text.append(part.data(), read);
  }
  if (pclose(out) != 0) return lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) lines.push_back(line);
  return lines;
}

TEST(Compilers, DecideTheSameByteForByte) {
  ASSERT_NE(kOther, "") << "there was no second compiler when the build was configured; `./dev "
                           "setup check` installs clang++-14, then configure again";
  const std::vector<std::string> own = LinesOf(kOwn + " 260");
  const std::vector<std::string> other = LinesOf(kOther + " 260");
  ASSERT_FALSE(own.empty());
  std::string seed;
  for (size_t i = 0; i < std::min(own.size(), other.size()); ++i) {
    if (own[i].starts_with("seed ")) seed = own[i];
    ASSERT_EQ(own[i], other[i]) << "line " << i + 1 << ", " << seed;
  }
  ASSERT_EQ(own.size(), other.size());
  // Every part of the core had its say, more than once and not always the same.
  std::map<std::string, std::map<std::string, int>> said;
  for (const std::string& line : own) {
    const size_t word = line.find(' ');
    ++said[line.substr(0, word)][line.substr(word)];
  }
  for (const char* part :
       {"random",      "first_fit", "best_fit", "packing",      "clustering", "dot_product",
        "fgd",         "sluice",    "rescue",   "rescue_plan",  "fragment",   "explain",
        "pod",         "queue",     "likely",   "preempt",      "estimate",   "decide",
        "consolidate", "replay",    "timed",    "tightest_card"}) {
    EXPECT_GT(said[part].size(), 20U) << part;
  }
}

}  // namespace
}  // namespace sluice
