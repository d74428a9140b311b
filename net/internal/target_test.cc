// SPDX-License-Identifier: Apache-2.0
#include "net/internal/target.h"

#include <gtest/gtest.h>

namespace sluice::net::internal {
namespace {

TEST(Target, DecodesPathAndQuery) {
  const auto target = ParseTarget("/v1/a%20b/%E4%BD%A0?limit=5&q=a+b%26c&empty=&flag&&x=1=2");
  ASSERT_TRUE(target) << target.error().message;
  EXPECT_EQ(target->path, "/v1/a b/你");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"limit", "5"}, {"q", "a b&c"}, {"empty", ""}, {"flag", ""}, {"x", "1=2"}};
  EXPECT_EQ(target->query, expected);
}

TEST(Target, TakesTheAbsoluteForm) {
  EXPECT_EQ(ParseTarget("http://host:80/a?b=c")->path, "/a");
  EXPECT_EQ(ParseTarget("HTTPS://host")->path, "/");
}

TEST(Target, KeepsATrailingSlash) {
  EXPECT_EQ(ParseTarget("/a/")->path, "/a/");
}

TEST(Target, RefusesWhatCouldClimbOrConfuse) {
  const std::string cases[] = {
      "",         "*",          "a/b",
      "/..",      "/a/../b",    "/a/./b",
      "/%2e%2E/", "/a/%2e",     "//a",
      "/a//b",    "/a%2fb",     "/a%2Fb",
      "/a%00",    "/a%",        "/a%4",
      "/a%zz",    "/a\\b",      "/a%5cb",
      "/a%0ab",   "/a%7f",      "/%ff",
      "/%c0%af",  "/a?b=%zz",   "/a?b=%00",
      "/a?%ff=1", "/%ed%a0%80", "/" + std::string(5000, 'a'),
  };
  for (const std::string& text : cases) EXPECT_FALSE(ParseTarget(text)) << text;
}

TEST(Target, RefusesTooManyFields) {
  std::string text = "/?";
  for (size_t i = 0; i <= kQueryFieldsMax; ++i) text += "a=1&";
  EXPECT_FALSE(ParseTarget(text));
}

TEST(Cookie, FindsTheFirstOfAName) {
  const std::string_view field = "a=1; __Host-session=abc; b=\"quoted\"; a=2; odd; c=d=e";
  EXPECT_EQ(FindCookie(field, "a"), "1");
  EXPECT_EQ(FindCookie(field, "__Host-session"), "abc");
  EXPECT_EQ(FindCookie(field, "b"), "quoted");
  EXPECT_EQ(FindCookie(field, "c"), "d=e");
  EXPECT_EQ(FindCookie(field, "odd"), "");
  EXPECT_EQ(FindCookie(field, "session"), "");
  EXPECT_EQ(FindCookie("", "a"), "");
}

TEST(Tokens, AreComparedWithoutCase) {
  EXPECT_TRUE(HasToken("keep-alive, Upgrade", "upgrade"));
  EXPECT_FALSE(HasToken("keep-alive, Upgraded", "upgrade"));
  EXPECT_FALSE(HasToken("", "upgrade"));
}

}  // namespace
}  // namespace sluice::net::internal
