// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(TakeCodePoint, ReadsEachLength) {
  std::string_view text = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80";
  EXPECT_EQ(TakeCodePoint(text), U'a');
  EXPECT_EQ(TakeCodePoint(text), U'\u00E9');
  EXPECT_EQ(TakeCodePoint(text), U'\u4E2D');
  EXPECT_EQ(TakeCodePoint(text), U'\U0001F600');
  EXPECT_EQ(TakeCodePoint(text), std::nullopt);
}

TEST(TakeCodePoint, LeavesTheTextWhenItIsMalformed) {
  std::string_view text = "\xC3(";
  EXPECT_EQ(TakeCodePoint(text), std::nullopt);
  EXPECT_EQ(text, "\xC3(");
}

TEST(IsUtf8, RefusesWhatRfc3629Forbids) {
  for (const char* text : {"\x80",              // a continuation on its own
                           "\xC3",              // cut short
                           "\xC0\xAF",          // '/' in two bytes
                           "\xE0\x80\xAF",      // '/' in three
                           "\xF0\x80\x80\xAF",  // '/' in four
                           "\xED\xA0\x80",      // a surrogate
                           "\xF4\x90\x80\x80",  // above U+10FFFF
                           "\xF8\x88\x80\x80\x80",
                           "\xFF"}) {
    EXPECT_FALSE(IsUtf8(text)) << testing::PrintToString(std::string_view(text));
  }
}

TEST(IsUtf8, AcceptsTheEdges) {
  for (const char* text : {"",
                           "\x7F",
                           "\xC2\x80",
                           "\xDF\xBF",
                           "\xE0\xA0\x80",
                           "\xED\x9F\xBF",
                           "\xEE\x80\x80",
                           "\xF0\x90\x80\x80",
                           "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(text));
  }
}

}  // namespace
}  // namespace sluice
