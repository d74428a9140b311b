// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/json_body.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "portal/internal/json_writer.h"

namespace sluice::portal {
namespace {

ProblemCode CodeOf(std::string_view body) {
  const auto parsed = ParseBody(body);
  return parsed ? ProblemCode::kInternal : parsed.error().code;
}

TEST(ParseBody, TakesAnObject) {
  const auto body = ParseBody(R"({"a":1,"b":["x"]})");
  ASSERT_TRUE(body);
  EXPECT_EQ((*body)["a"], 1);
}

TEST(ParseBody, RefusesWhatIsNoObject) {
  for (const std::string_view text : {"", "null", "[]", "1", "\"x\"", "{", "{\"a\":}", "{} {}"}) {
    EXPECT_EQ(CodeOf(text), ProblemCode::kMalformedJson) << text;
  }
}

TEST(ParseBody, RefusesTenThousandLevels) {
  std::string body = "{\"a\":";
  body += std::string(10'000, '[') + std::string(10'000, ']') + "}";
  EXPECT_EQ(CodeOf(body), ProblemCode::kMalformedJson);
}

TEST(ParseBody, CountsNoBracketsInsideText) {
  const std::string body = R"({"a":")" + std::string(200, '[') + R"(\"[["})";
  EXPECT_TRUE(ParseBody(body));
}

TEST(ParseBody, TakesExactlyTheGreatestDepth) {
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth - 1), '[') +
           std::string(static_cast<size_t>(depth - 1), ']') + "}";
  };
  EXPECT_TRUE(ParseBody(nested(kJsonDepthMax)));
  EXPECT_FALSE(ParseBody(nested(kJsonDepthMax + 1)));
}

TEST(ParseBody, RefusesTooManyBytes) {
  EXPECT_EQ(CodeOf("{\"a\":\"" + std::string(kJsonBytesMax, 'x') + "\"}"), ProblemCode::kTooLarge);
}

TEST(ParseBody, RefusesWhatIsNotUtf8AndLoneSurrogates) {
  EXPECT_EQ(CodeOf("{\"a\":\"\xFF\"}"), ProblemCode::kMalformedJson);
  EXPECT_EQ(CodeOf(R"({"a":"\ud800"})"), ProblemCode::kMalformedJson);
}

class Fields : public ::testing::Test {
 protected:
  FieldReader Reader(std::string_view text) {
    json_ = nlohmann::json::parse(text);
    return FieldReader(json_, errors_);
  }
  nlohmann::json json_;
  FieldErrors errors_;
};

TEST_F(Fields, NamesEachUnknownMember) {
  auto fields = Reader(R"({"a":1,"b/c":2,"gpu":{"x":3}})");
  (void)fields.Int("a", {0, 9});
  auto gpu = fields.Object("gpu");
  gpu->RejectUnknown();
  fields.RejectUnknown();
  ASSERT_EQ(errors_.size(), 2U);
  EXPECT_EQ(errors_[0].pointer, "/gpu/x");
  EXPECT_EQ(errors_[1].pointer, "/b~1c");
  EXPECT_EQ(errors_[1].code, "unknown");
}

TEST_F(Fields, TakesWholeNumbersInRangeOnly) {
  auto fields = Reader(R"({"a":8,"b":8.0,"c":8.5,"d":10,"e":"8","f":18446744073709551615})");
  EXPECT_EQ(fields.Int("a", {0, 9}), 8);
  EXPECT_EQ(fields.Int("b", {0, 9}), 8);
  for (const char* name : {"c", "d", "e", "f"}) EXPECT_FALSE(fields.Int(name, {0, 9})) << name;
  EXPECT_EQ(errors_.size(), 4U);
}

TEST_F(Fields, TellsMissingFromWrong) {
  auto fields = Reader(R"({"a":null})");
  fields.Require({"a", "b"});
  EXPECT_FALSE(fields.Text("a", 10));
  ASSERT_EQ(errors_.size(), 2U);
  EXPECT_EQ(errors_[0].pointer, "/b");
  EXPECT_EQ(errors_[0].code, "required");
  EXPECT_EQ(errors_[1].code, "type");
}

TEST_F(Fields, CountsCharactersNotBytes) {
  auto fields = Reader(R"({"four":"😀😀😀😀","five":"😀😀😀😀😀"})");
  EXPECT_TRUE(fields.DisplayText("four", 4));
  EXPECT_FALSE(fields.DisplayText("five", 4));
}

TEST_F(Fields, RefusesControlAndDirectionCharactersInDisplayText) {
  auto fields = Reader(R"({"bell":"a\u0007","rtl":"a\u202eb","blank":"  ","nul":"a\u0000b"})");
  for (const char* name : {"bell", "rtl", "blank", "nul"}) {
    EXPECT_FALSE(fields.DisplayText(name, 20)) << name;
  }
  EXPECT_EQ(errors_.size(), 4U);
}

TEST_F(Fields, RefusesSetsWithStrangersAndTwins) {
  static constexpr std::array<std::string_view, 2> kWords = {"a", "b"};
  auto fields = Reader(R"({"good":["b","a"],"twins":["a","a"],"stranger":["c"],"none":[]})");
  EXPECT_TRUE(fields.SetOf("good", kWords));
  for (const char* name : {"twins", "stranger", "none"}) EXPECT_FALSE(fields.SetOf(name, kWords));
}

TEST(JsonWriter, WritesWhatAParserReadsBack) {
  JsonWriter json;
  json.BeginObject().Field("text", "a\"b\\c\n\x01 é 😀").Field("n", -5).Field("yes", true);
  json.Key("list").BeginArray().Int(1).BeginObject().EndObject().Null().EndArray();
  json.Key("at").TimeOrNull(TimePoint()).EndObject();
  const auto read = nlohmann::json::parse(json.text());
  EXPECT_EQ(read["text"], "a\"b\\c\n\x01 é 😀");
  EXPECT_EQ(read["n"], -5);
  EXPECT_EQ(read["list"].size(), 3U);
  EXPECT_TRUE(read["at"].is_null());
}

TEST(JsonWriter, ReplacesBytesThatAreNotUtf8) {
  JsonWriter json;
  json.BeginArray().Text("a\xC3(\xF0\x9F\x98").EndArray();
  EXPECT_EQ(nlohmann::json::parse(json.text())[0], "a\uFFFD(\uFFFD\uFFFD\uFFFD");
}

}  // namespace
}  // namespace sluice::portal
