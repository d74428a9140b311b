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

}  // namespace
}  // namespace sluice
