// SPDX-License-Identifier: Apache-2.0
#include "model/user.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Role, ReadsBackEveryName) {
  for (const Role role : {Role::kUser, Role::kOperator, Role::kAdmin}) {
    EXPECT_EQ(ParseRole(ToString(role)), role);
  }
  EXPECT_EQ(ParseRole("root"), std::nullopt);
}

TEST(CheckUserName, AcceptsPlainNames) {
  for (const char* name : {"a", "li.na", "ops-2", "x_1", "abcdefghijklmnopqrstuvwxyz012345"}) {
    EXPECT_TRUE(CheckUserName(name)) << name;
  }
}

TEST(CheckUserName, RefusesEverythingElseAndNamesTheField) {
  for (const char* name : {"",
                           "Li",
                           "1a",
                           ".a",
                           "-a",
                           "a b",
                           "a/b",
                           "..",
                           "a\n",
                           "\xE6\x9D\x8E",
                           "abcdefghijklmnopqrstuvwxyz0123456"}) {
    const auto checked = CheckUserName(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, Code::kInvalidArgument);
    EXPECT_EQ(checked.error().field, "/name");
  }
}

TEST(CleanDisplayText, TrimsAndKeepsAnyScript) {
  EXPECT_EQ(*CleanDisplayText("  training run 7\n", 64, "/name"), "training run 7");
  EXPECT_EQ(*CleanDisplayText("训练", 64, "/name"), "训练");
  EXPECT_EQ(*CleanDisplayText("שלום", 64, "/name"), "שלום");
  EXPECT_EQ(*CleanDisplayText("👩‍💻 desk", 64, "/name"), "👩‍💻 desk");
}

TEST(CleanDisplayText, CountsBytesAfterTrimming) {
  EXPECT_TRUE(CleanDisplayText(" abcd ", 4, "/name"));
  const auto cut = CleanDisplayText("abcde", 4, "/name");
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().message, "the text is too long: 5 bytes, at most 4");
}

TEST(CleanDisplayText, RefusesWhatDeceivesTheReader) {
  for (const std::string_view text : {std::string_view("a\0b", 3),
                                      std::string_view("a\tb"),
                                      std::string_view("a\x1B[31m"),
                                      std::string_view("a\xC2\x85"
                                                       "b"),  // C1
                                      std::string_view("a\xE2\x80\xAE"
                                                       "b"),  // RLO
                                      std::string_view("a\xE2\x81\xA6"
                                                       "b"),  // LRI
                                      std::string_view("a\xE2\x80\xA8"
                                                       "b"),                  // line separator
                                      std::string_view("a\xF3\xA0\x81\xA1"),  // tag
                                      std::string_view("a\xFF"),
                                      std::string_view("\xED\xA0\x80")}) {
    const auto cleaned = CleanDisplayText(text, 64, "/message");
    ASSERT_FALSE(cleaned) << testing::PrintToString(text);
    EXPECT_EQ(cleaned.error().code, Code::kInvalidArgument);
    EXPECT_EQ(cleaned.error().field, "/message");
  }
}

TEST(CleanDisplayText, RefusesBlankTextOfAnyKind) {
  for (const char* text : {"",
                           " ",
                           "\t\n",
                           "\xE3\x80\x80",
                           "\xC2\xA0 ",
                           "\xE2\x80\x8B",
                           "\xE2\xA0\x80",
                           "\xE3\x85\xA4",
                           "\xEF\xBB\xBF"}) {
    const auto cleaned = CleanDisplayText(text, 64, "/name");
    ASSERT_FALSE(cleaned);
    EXPECT_EQ(cleaned.error().message, "the text is blank");
  }
}

}  // namespace
}  // namespace sluice
