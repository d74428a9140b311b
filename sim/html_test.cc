// SPDX-License-Identifier: Apache-2.0
#include "sim/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::sim {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Html, EscapesWhatPeopleHaveTyped) {
  const std::string evil = "<script>alert('\"&')</script>";
  const std::string html = ToHtml(
      {.title = evil,
       .notes = {evil},
       .tables = {{evil, {{evil}, {evil}}}},
       .charts = {
           {.title = evil, .x_name = evil, .y_name = evil, .series = {{evil, {{0, 1}, {1, 2}}}}}}});
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)"));
}

TEST(Html, NeedsNothingFromElsewhere) {
  const std::string html =
      ToHtml({.title = "t", .charts = {{.title = "c", .series = {{"s", {{0, 1}}}}}}});
  for (const char* word : {"http:", "https:", "src=", "url(", "@import", "<link", "<script"}) {
    EXPECT_THAT(html, Not(HasSubstr(word)));
  }
}

TEST(Html, DrawsPointsInsideTheFrameWhateverTheyAre) {
  const auto points = [](std::vector<std::pair<double, double>> of) {
    const std::string html = ToHtml({.charts = {{.series = {{"s", std::move(of)}}}}});
    const size_t at = html.find("points=\"") + 8;
    return html.substr(at, html.find('"', at) - at);
  };
  EXPECT_EQ(points({{0, 0}, {50, 5}, {100, 10}}), "64.0,236.0 406.0,124.0 748.0,12.0 ");
  EXPECT_EQ(points({}), "");
  EXPECT_EQ(points({{7, 0}}), "64.0,236.0 ");
  EXPECT_THAT(points({{1, -5}}), "64.0,236.0 ");
}

}  // namespace
}  // namespace sluice::sim
