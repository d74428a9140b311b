// SPDX-License-Identifier: Apache-2.0
#include <future>
#include <gtest/gtest.h>
#include <set>
#include <thread>
#include <vector>

#include "store/conformance/fixture.h"

// What every Store must do, whatever it keeps its objects in.
namespace sluice::store {
namespace {

using std::vector;

constexpr Duration kSoon{10'000};  // Far longer than anything here takes.
constexpr Duration kNow{0};

class StoreConformance : public testing::TestWithParam<OpenedBy> {
 protected:
  Store& store() { return *opened_.store; }

  uint64_t MustCommit(vector<Write> writes) {
    const auto version = store().Commit(writes);
    EXPECT_TRUE(version) << version.error().message;
    return version ? *version : 0;
  }
  vector<std::string> Ids(Kind kind, std::string_view after = "", size_t limit = 0) {
    vector<std::string> ids;
    const auto listing = store().List(kind, after, limit);
    EXPECT_TRUE(listing);
    for (const Object& object : listing->objects) ids.push_back(object.id);
    return ids;
  }

 private:
  Opened opened_ = GetParam().open();
};

Write Create(Kind kind, std::string id, std::string body = "{}") {
  return {kind, std::move(id), 0, std::move(body)};
}
Write Set(Kind kind, std::string id, std::string body) {
  return {kind, std::move(id), std::nullopt, std::move(body)};
}
Write Delete(Kind kind, std::string id, std::optional<uint64_t> expected = std::nullopt) {
  return {kind, std::move(id), expected, std::nullopt};
}

TEST_P(StoreConformance, ReturnsWhatWasCommitted) {
  const uint64_t version = MustCommit({Create(Kind::kPool, "a", R"({"x":1})")});
  const auto object = store().Get(Kind::kPool, "a");
  ASSERT_TRUE(object);
  EXPECT_EQ(object->kind, Kind::kPool);
  EXPECT_EQ(object->id, "a");
  EXPECT_EQ(object->body, R"({"x":1})");
  EXPECT_EQ(object->version, version);
  EXPECT_EQ(store().Version(), version);
}

TEST_P(StoreConformance, FailsToGetWhatIsNotThere) {
  MustCommit({Create(Kind::kPool, "a")});
  for (const auto& [kind, id] : {std::pair(Kind::kPool, "b"), std::pair(Kind::kUser, "a")}) {
    const auto object = store().Get(kind, id);
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().code, Code::kNotFound);
    EXPECT_NE(object.error().message.find(id), std::string::npos);
  }
}

TEST_P(StoreConformance, KeepsEveryKindApart) {
  for (int i = 0; i < kKindCount; ++i) {
    MustCommit({Create(static_cast<Kind>(i), "same", std::to_string(i))});
  }
  for (int i = 0; i < kKindCount; ++i) {
    EXPECT_EQ(store().Get(static_cast<Kind>(i), "same")->body, std::to_string(i));
    EXPECT_EQ(Ids(static_cast<Kind>(i)), vector<std::string>{"same"});
  }
}

TEST_P(StoreConformance, KeepsAnyBytesInIdAndBody) {
  const std::string odd("q'\"\xE4\xB8\xAD%\n_\xFF", 10);
  MustCommit({Create(Kind::kPool, odd, odd), Create(Kind::kAudit, odd, odd)});
  EXPECT_EQ(store().Get(Kind::kPool, odd)->body, odd);
  EXPECT_EQ(store().Get(Kind::kAudit, odd)->body, odd);
  EXPECT_EQ(Ids(Kind::kAudit), vector<std::string>{odd});
}

TEST_P(StoreConformance, ListsByIdFromAfterUpToLimit) {
  for (const Kind kind : {Kind::kUser, Kind::kAudit}) {
    MustCommit({Create(kind, "c"), Create(kind, "a"), Create(kind, "d"), Create(kind, "b")});
    EXPECT_EQ(Ids(kind), (vector<std::string>{"a", "b", "c", "d"}));
    EXPECT_EQ(Ids(kind, "b"), (vector<std::string>{"c", "d"}));
    EXPECT_EQ(Ids(kind, "aa", 2), (vector<std::string>{"b", "c"}));
    EXPECT_EQ(Ids(kind, "d"), vector<std::string>{});
  }
}

TEST_P(StoreConformance, ListsAtTheNewestRevision) {
  EXPECT_EQ(store().List(Kind::kUser, "", 0)->version, store().Version());
  const uint64_t version = MustCommit({Create(Kind::kUser, "a")});
  EXPECT_EQ(store().List(Kind::kUser, "", 0)->version, version);
  EXPECT_EQ(store().List(Kind::kAudit, "", 0)->version, version);
}

TEST_P(StoreConformance, RaisesTheVersionWithEveryCommit) {
  const uint64_t first = MustCommit({Create(Kind::kUser, "a"), Create(Kind::kUser, "b")});
  const uint64_t second = MustCommit({Set(Kind::kUser, "a", "2")});
  EXPECT_GT(first, 0u);
  EXPECT_GT(second, first);
  EXPECT_EQ(store().Get(Kind::kUser, "a")->version, second);
  EXPECT_EQ(store().Get(Kind::kUser, "b")->version, first);
}

TEST_P(StoreConformance, ChangesNothingWithoutWrites) {
  const uint64_t version = MustCommit({Create(Kind::kUser, "a")});
  EXPECT_EQ(MustCommit({}), version);
  EXPECT_EQ(store().Version(), version);
}

TEST_P(StoreConformance, ComparesAndSwaps) {
  for (const Kind kind : {Kind::kUser, Kind::kAudit}) {
    const uint64_t first = MustCommit({Create(kind, "a", "1")});
    const uint64_t second = MustCommit({{kind, "a", first, "2"}});
    const vector<Write> stale = {{kind, "a", first, "3"}};
    const auto refused = store().Commit(stale);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kAborted);
    EXPECT_NE(refused.error().message.find(" a has changed"), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(store().Get(kind, "a")->body, "2");
    EXPECT_EQ(store().Get(kind, "a")->version, second);
    EXPECT_EQ(store().Version(), second);
  }
}

TEST_P(StoreConformance, CreatesOnlyWhatDoesNotExist) {
  MustCommit({Create(Kind::kUser, "a", "1")});
  const vector<Write> again = {Create(Kind::kUser, "a", "2")};
  const auto refused = store().Commit(again);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kAborted);
  EXPECT_EQ(refused.error().message, "user a exists already");
  EXPECT_EQ(store().Get(Kind::kUser, "a")->body, "1");
}

TEST_P(StoreConformance, RefusesToChangeWhatWasDeleted) {
  const uint64_t first = MustCommit({Create(Kind::kUser, "a", "1")});
  MustCommit({Delete(Kind::kUser, "a", first)});
  EXPECT_EQ(store().Get(Kind::kUser, "a").error().code, Code::kNotFound);
  for (const Write& late : {Write{Kind::kUser, "a", first, "2"}, Delete(Kind::kUser, "a", first)}) {
    const auto refused = store().Commit({&late, 1});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kAborted);
    EXPECT_EQ(refused.error().message, "user a no longer exists");
  }
  MustCommit({Create(Kind::kUser, "a", "3")});
}

TEST_P(StoreConformance, DeletesWhatIsNotThereInSilence) {
  const uint64_t version = MustCommit({Create(Kind::kUser, "a")});
  MustCommit({Delete(Kind::kUser, "b"), Delete(Kind::kAudit, "b"), Delete(Kind::kUser, "c", 0)});
  EXPECT_TRUE(store().WatchFrom(version, {})->Next(kNow)->empty());
}

TEST_P(StoreConformance, WritesAllOfATransactionOrNothing) {
  const uint64_t first = MustCommit({Create(Kind::kUser, "a", "1"), Create(Kind::kAudit, "z")});
  const vector<Write> mixed = {Set(Kind::kUser, "a", "2"),
                               Create(Kind::kPool, "new"),
                               Delete(Kind::kAudit, "z"),
                               {Kind::kUser, "missing", 99, "3"}};
  const auto refused = store().Commit(mixed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kAborted);
  EXPECT_EQ(store().Get(Kind::kUser, "a")->body, "1");
  EXPECT_FALSE(store().Get(Kind::kPool, "new"));
  EXPECT_TRUE(store().Get(Kind::kAudit, "z"));
  EXPECT_EQ(store().Version(), first);
}

TEST_P(StoreConformance, GivesOneVersionToAllOfATransaction) {
  const uint64_t version = MustCommit({Create(Kind::kUser, "a"), Create(Kind::kGpu, "g")});
  EXPECT_EQ(store().Get(Kind::kUser, "a")->version, version);
  EXPECT_EQ(store().Get(Kind::kGpu, "g")->version, version);
}

TEST_P(StoreConformance, ShowsAWatcherEveryChangeInOrder) {
  const uint64_t start = MustCommit({Create(Kind::kUser, "before")});
  const auto watch = store().WatchFrom(start, {});
  const uint64_t first =
      MustCommit({Create(Kind::kUser, "a", "1"), Create(Kind::kAudit, "x", "2")});
  const uint64_t second = MustCommit({Delete(Kind::kUser, "a")});
  const auto events = watch->Next(kSoon);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 3u);
  EXPECT_EQ((*events)[0].version, first);
  EXPECT_EQ((*events)[0].object.body, "1");
  EXPECT_EQ((*events)[1].version, first);
  EXPECT_EQ((*events)[1].object.kind, Kind::kAudit);
  EXPECT_EQ((*events)[2].version, second);
  EXPECT_TRUE((*events)[2].deleted);
  EXPECT_EQ((*events)[2].object.id, "a");
  EXPECT_EQ((*events)[2].object.body, "");
  EXPECT_TRUE(watch->Next(kNow)->empty());
}

TEST_P(StoreConformance, ShowsAWatcherOnlyTheKindsItAskedFor) {
  const auto watch = store().WatchFrom(store().Version(), {Kind::kGpu, Kind::kClaim});
  MustCommit({Create(Kind::kUser, "a"), Create(Kind::kClaim, "c")});
  MustCommit({Create(Kind::kUser, "b")});
  MustCommit({Create(Kind::kGpu, "g")});
  const auto events = watch->Next(kSoon);
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].object.id, "c");
  EXPECT_EQ((*events)[1].object.id, "g");
}

TEST_P(StoreConformance, ResumesAWatchWhereAnotherEnded) {
  const uint64_t first = MustCommit({Create(Kind::kUser, "a")});
  const uint64_t second = MustCommit({Create(Kind::kUser, "b")});
  MustCommit({Create(Kind::kUser, "c")});
  EXPECT_EQ(store().WatchFrom(first, {})->Next(kNow)->size(), 2u);
  EXPECT_EQ(store().WatchFrom(second, {})->Next(kNow)->size(), 1u);
}

TEST_P(StoreConformance, MissesNothingBetweenListAndWatch) {
  std::jthread writer([this] {
    for (int i = 0; i < 200; ++i) MustCommit({Create(Kind::kUser, "u" + std::to_string(i))});
  });
  const auto listing = store().List(Kind::kUser, "", 0);
  std::set<std::string> seen;
  for (const Object& object : listing->objects) seen.insert(object.id);
  const auto watch = store().WatchFrom(listing->version, {Kind::kUser});
  while (seen.size() < 200) {
    const auto events = watch->Next(kSoon);
    ASSERT_TRUE(events);
    ASSERT_FALSE(events->empty());
    for (const Event& event : *events) EXPECT_TRUE(seen.insert(event.object.id).second);
  }
}

TEST_P(StoreConformance, WakesAWaitingWatcher) {
  const auto watch = store().WatchFrom(store().Version(), {});
  auto next = std::async(std::launch::async, [&] { return watch->Next(kSoon); });
  MustCommit({Create(Kind::kUser, "a")});
  EXPECT_EQ(next.get()->size(), 1u);
}

TEST_P(StoreConformance, ReturnsAnEmptyListWhenNothingHappens) {
  const auto watch = store().WatchFrom(store().Version(), {});
  const auto events = watch->Next(Duration(1));
  ASSERT_TRUE(events);
  EXPECT_TRUE(events->empty());
}

TEST_P(StoreConformance, CancelsAWaitNowAndLater) {
  const auto watch = store().WatchFrom(store().Version(), {});
  auto next = std::async(std::launch::async, [&] { return watch->Next(kSoon); });
  watch->Cancel();
  EXPECT_TRUE(next.get()->empty());
  EXPECT_TRUE(watch->Next(kSoon)->empty());
}

TEST_P(StoreConformance, TellsAWatcherThatItFellBehind) {
  const auto watch = store().WatchFrom(store().Version(), {});
  vector<Write> many;
  for (int i = 0; i < 20'000; ++i) many.push_back(Create(Kind::kUser, std::to_string(i)));
  MustCommit(many);
  const auto lost = watch->Next(kNow);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kOutOfRange);
  const auto listing = store().List(Kind::kUser, "", 0);
  EXPECT_EQ(listing->objects.size(), 20'000u);
  EXPECT_TRUE(store().WatchFrom(listing->version, {})->Next(kNow)->empty());
}

TEST_P(StoreConformance, RefusesToWatchFromTheFuture) {
  const auto lost = store().WatchFrom(store().Version() + 1, {})->Next(kSoon);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kOutOfRange);
}

TEST_P(StoreConformance, LetsExactlyOneOfManyWritersWin) {
  const uint64_t start = MustCommit({Create(Kind::kGpu, "g", "0")});
  std::atomic<int> won{0};
  {
    vector<std::jthread> writers;
    for (int i = 0; i < 8; ++i) {
      writers.emplace_back([&, i] {
        const Write write{Kind::kGpu, "g", start, std::to_string(i)};
        if (store().Commit({&write, 1})) ++won;
      });
    }
  }
  EXPECT_EQ(won, 1);
}

TEST_P(StoreConformance, LosesNoIncrementOfManyWriters) {
  MustCommit({Create(Kind::kSetting, "n", "0")});
  {
    vector<std::jthread> writers;
    for (int i = 0; i < 8; ++i) {
      writers.emplace_back([this] {
        for (int done = 0; done < 25;) {
          const auto read = store().Get(Kind::kSetting, "n");
          const std::string next = std::to_string(std::stoi(read->body) + 1);
          const Write write{Kind::kSetting, "n", read->version, next};
          if (store().Commit({&write, 1})) ++done;
        }
      });
    }
  }
  EXPECT_EQ(store().Get(Kind::kSetting, "n")->body, "200");
}

TEST_P(StoreConformance, GivesEveryConcurrentCommitItsOwnVersion) {
  const auto watch = store().WatchFrom(store().Version(), {});
  {
    vector<std::jthread> writers;
    for (int t = 0; t < 8; ++t) {
      writers.emplace_back([this, t] {
        for (int i = 0; i < 25; ++i) {
          const std::string id = std::to_string(t) + "." + std::to_string(i);
          const uint64_t version = MustCommit({Create(Kind::kUser, id)});
          EXPECT_EQ(store().Get(Kind::kUser, id)->version, version);
        }
      });
    }
  }
  const auto events = watch->Next(kNow);
  ASSERT_EQ(events->size(), 200u);
  for (size_t i = 1; i < events->size(); ++i) {
    EXPECT_GT((*events)[i].version, (*events)[i - 1].version);
  }
}

INSTANTIATE_TEST_SUITE_P(Every,
                         StoreConformance,
                         testing::ValuesIn(EveryStore()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace sluice::store
