// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/run_queue.h"

#include <gtest/gtest.h>
#include <map>

namespace sluice::simgpu {
namespace {

constexpr int64_t kSlice = 1000;

std::vector<Stretch> RunAll(RunQueue& queue, int64_t from, int64_t until) {
  std::vector<Stretch> all;
  Stretch stretch;
  while (queue.Next(from, until, stretch)) {
    all.push_back(stretch);
    from = stretch.to_ns;
  }
  return all;
}

TEST(RunQueue, GivesAWholeLaneToWhoIsAlone) {
  RunQueue queue({{3, 5500}}, {}, kSlice);
  std::vector<Stretch> all = RunAll(queue, 100, 20'000);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].slot, 3);
  EXPECT_EQ(all[0].from_ns, 100);
  EXPECT_EQ(all[0].to_ns, 5600);
}

TEST(RunQueue, TakesTurnsOfOneSlice) {
  RunQueue queue({{1, 2500}, {4, 1500}, {9, 400}}, {}, kSlice);
  std::vector<int> order;
  for (const Stretch& stretch : RunAll(queue, 0, 100'000)) order.push_back(stretch.slot);
  // 9 gives up what it does not need; 1 has the lane to itself at the end.
  EXPECT_EQ(order, (std::vector<int>{1, 4, 9, 1, 4, 1}));
}

TEST(RunQueue, GoesOnInTheMiddleOfASlice) {
  RunQueue first({{1, 9000}, {2, 9000}}, {}, kSlice);
  std::vector<Stretch> head = RunAll(first, 0, 1300);
  RunQueue second({{1, 8000}, {2, 8700}}, first.turn(), kSlice);
  std::vector<Stretch> tail = RunAll(second, 1300, 2500);
  ASSERT_EQ(head.size(), 2u);
  ASSERT_EQ(tail.size(), 2u);
  EXPECT_EQ(tail[0].slot, 2);
  EXPECT_EQ(tail[0].to_ns, 2000);
  EXPECT_EQ(tail[1].slot, 1);
}

TEST(RunQueue, GivesNothingAwayAndNothingTwice) {
  RunQueue queue({{1, 123'456}, {2, 77}, {3, 50'000}}, {2, 10}, kSlice);
  std::map<int, int64_t> got;
  int64_t at = 0;
  for (const Stretch& stretch : RunAll(queue, 0, 1'000'000)) {
    EXPECT_EQ(stretch.from_ns, at);
    EXPECT_LE(stretch.to_ns - stretch.from_ns, stretch.slot == 1 ? 123'456 : kSlice);
    at = stretch.to_ns;
    got[stretch.slot] += stretch.to_ns - stretch.from_ns;
  }
  EXPECT_EQ(got, (std::map<int, int64_t>{{1, 123'456}, {2, 77}, {3, 50'000}}));
}

}  // namespace
}  // namespace sluice::simgpu
