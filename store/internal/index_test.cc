// SPDX-License-Identifier: Apache-2.0
#include "store/internal/index.h"

#include <gtest/gtest.h>

namespace sluice::store::internal {
namespace {

bool KeepAll(Kind) {
  return true;
}
bool KeepAllButAudit(Kind kind) {
  return kind != Kind::kAudit;
}

Change Written(Kind kind, std::string id, uint64_t version, std::string body = "{}") {
  return {std::make_shared<const Object>(Object{kind, std::move(id), version, std::move(body)})};
}

TEST(Index, CutsHistoryByWholeCommits) {
  Index index;
  const uint64_t commits = Index::kHistoryEventsMax / 2 + 1;
  for (uint64_t v = 1; v <= commits; ++v) {
    index.Apply(v, {Written(Kind::kPool, "a", v), Written(Kind::kPool, "b", v)}, KeepAll);
  }
  EXPECT_FALSE(index.CanResume(0));
  ASSERT_TRUE(index.CanResume(1));
  EXPECT_EQ(index.After(1, {}).size(), 2 * (commits - 1));
}

TEST(Index, CutsHistoryByBytes) {
  Index index;
  const std::string large(Index::kHistoryBytesMax / 2, 'x');
  for (uint64_t v = 1; v <= 3; ++v) {
    index.Apply(v, {Written(Kind::kPool, "a", v, large)}, KeepAll);
  }
  EXPECT_FALSE(index.CanResume(1));
  EXPECT_TRUE(index.CanResume(2));
  EXPECT_EQ(index.Find(Kind::kPool, "a")->version, 3u);
}

TEST(Index, KeepsNothingOfACommitLargerThanItsHistory) {
  Index index;
  std::vector<Change> changes;
  for (size_t i = 0; i <= Index::kHistoryEventsMax; ++i) {
    changes.push_back(Written(Kind::kPool, std::to_string(i), 1));
  }
  index.Apply(1, std::move(changes), KeepAll);
  EXPECT_FALSE(index.CanResume(0));
  EXPECT_TRUE(index.CanResume(1));
}

TEST(Index, ReportsButDoesNotHoldKindsThatAreNotKept) {
  Index index;
  index.Apply(1, {Written(Kind::kAudit, "a", 1)}, KeepAllButAudit);
  EXPECT_EQ(index.Find(Kind::kAudit, "a"), nullptr);
  EXPECT_EQ(index.After(0, {}).size(), 1u);
}

TEST(Index, ResumesNeitherBeforeItsBeginningNorInTheFuture) {
  Index index;
  index.Begin(7);
  EXPECT_FALSE(index.CanResume(6));
  EXPECT_TRUE(index.CanResume(7));
  EXPECT_FALSE(index.CanResume(8));
}

TEST(CheckWrites, EndsTheProcessOnTwoWritesToOneObject) {
  const std::vector<Write> writes = {{Kind::kPool, "a", {}, "1"}, {Kind::kPool, "a", {}, "2"}};
  EXPECT_DEATH(CheckWrites(writes), "adjacent_find");
}

}  // namespace
}  // namespace sluice::store::internal
