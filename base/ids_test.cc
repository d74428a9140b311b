// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include <gtest/gtest.h>
#include <set>

namespace sluice {
namespace {

TEST(NewIdText, SortsByCreation) {
  SeededRandom random(1);
  const auto first = NewIdText("dsk", TimePoint(Duration(1'000)), random);
  const auto second = NewIdText("dsk", TimePoint(Duration(1'001)), random);
  EXPECT_LT(first, second);
  EXPECT_EQ(first.size(), std::string("dsk_").size() + 26);
}

TEST(NewIdText, DoesNotRepeatWithinOneMillisecond) {
  SeededRandom random(2);
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(seen.insert(NewIdText("clm", TimePoint(Duration(5)), random)).second);
  }
}

// Gives the same number again and again.
class Stuck final : public Random {
 public:
  explicit Stuck(uint64_t value) : value_(value) {}
  uint64_t Next() override { return value_; }

 private:
  uint64_t value_;
};

TEST(IdSequence, GrowsWithinOneMillisecondAndWhenTheClockGoesBack) {
  SeededRandom random(3);
  IdSequence ids("clm");
  std::string last;
  for (int i = 0; i < 10'000; ++i) {
    const std::string next = ids.Next(TimePoint(Duration(i < 9'000 ? 7'000 : 6'999)), random);
    ASSERT_LT(last, next);
    last = next;
  }
}

TEST(IdSequence, CarriesOver) {
  Stuck all_ones(~uint64_t{0});
  IdSequence ids("clm");
  EXPECT_EQ(ids.Next(TimePoint(Duration(1)), all_ones), "clm_0000000001ZZZZZZZZZZZZZZZZ");
  EXPECT_EQ(ids.Next(TimePoint(Duration(1)), all_ones), "clm_00000000020000000000000000");
  EXPECT_EQ(ids.Next(TimePoint(Duration(1)), all_ones), "clm_00000000020000000000000001");
}

}  // namespace
}  // namespace sluice
