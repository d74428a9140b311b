// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/random.h"
#include "store/conformance/fixture.h"

// Random transactions, readers, watchers and restarts against a model of ten lines. Every answer of
// every store must be the model's. SLUICE_SEED=seed runs one life, SLUICE_SEEDS=n more of them.
namespace sluice::store {
namespace {

constexpr Duration kNow{0};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

struct Row {
  uint64_t version = 0;
  std::string body;

  friend bool operator==(const Row&, const Row&) = default;
};
using Rows = std::map<std::pair<Kind, std::string>, Row>;

// What a store promises, said as simply as can be.
struct Model {
  Rows rows;
  uint64_t version = 0;

  uint64_t VersionOf(const Write& write) const {
    const auto row = rows.find({write.kind, write.id});
    return row == rows.end() ? 0 : row->second.version;
  }
  // Returns whether the transaction is taken.
  bool Commit(const std::vector<Write>& writes) {
    for (const Write& write : writes) {
      if (write.expected && *write.expected != VersionOf(write)) return false;
    }
    if (!writes.empty()) ++version;
    for (const Write& write : writes) {
      if (write.body) rows[{write.kind, write.id}] = {version, *write.body};
      if (!write.body) rows.erase({write.kind, write.id});
    }
    return true;
  }
};

// Rows that a watcher has built from nothing but a listing and events.
struct Follower {
  std::unique_ptr<Watch> watch;
  Rows rows;
};

class Life {
 public:
  Life(uint64_t seed, const OpenedBy& opened_by)
      : random_(seed), opened_(opened_by.open()), durable_(opened_.folder != nullptr) {}

  void Live(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      switch (Pick(10)) {
        case 0:
          CompareListing();
          break;
        case 1:
          CompareOne();
          break;
        case 2:
          Follow();
          break;
        case 3:
          if (Pick(5) == 0) Restart();
          break;
        default:
          Commit();
      }
      EXPECT_EQ(store().Version(), model_.version);
    }
    Follow();
    CompareListing();
  }

 private:
  int Pick(int below) { return static_cast<int>(random_.Next() % static_cast<uint64_t>(below)); }
  Store& store() { return *opened_.store; }

  // Few kinds and ids, so that writes meet.
  Kind SomeKind() {
    static constexpr Kind kKinds[] = {Kind::kGpu, Kind::kClaim, Kind::kAudit};
    return kKinds[Pick(3)];
  }
  std::string SomeId() { return std::string(1, static_cast<char>('a' + Pick(6))); }

  std::optional<uint64_t> SomeExpectation(const Write& write) {
    switch (Pick(4)) {
      case 0:
        return std::nullopt;
      case 1:
        return static_cast<uint64_t>(Pick(static_cast<int>(model_.version) + 2));
      default:
        return model_.VersionOf(write);
    }
  }

  std::vector<Write> SomeWrites() {
    std::map<std::pair<Kind, std::string>, Write> writes;
    for (int i = Pick(5); i > 0; --i) {
      Write write{SomeKind(), SomeId(), {}, {}};
      write.expected = SomeExpectation(write);
      if (Pick(4) != 0) write.body = std::string(static_cast<size_t>(Pick(300)), 'x');
      writes[{write.kind, write.id}] = write;
    }
    std::vector<Write> list;
    for (auto& [name, write] : writes) list.push_back(std::move(write));
    return list;
  }

  void Commit() {
    const std::vector<Write> writes = SomeWrites();
    const auto version = store().Commit(writes);
    ASSERT_EQ(version.has_value(), model_.Commit(writes));
    if (version) {
      EXPECT_EQ(*version, model_.version);
    } else {
      EXPECT_EQ(version.error().code, Code::kAborted);
    }
  }

  void CompareOne() {
    const Kind kind = SomeKind();
    const std::string id = SomeId();
    const auto object = store().Get(kind, id);
    const auto row = model_.rows.find({kind, id});
    ASSERT_EQ(object.has_value(), row != model_.rows.end());
    if (!object) return;
    EXPECT_EQ((Row{object->version, object->body}), row->second);
  }

  void CompareListing() {
    const Kind kind = SomeKind();
    const std::string after = Pick(2) == 0 ? "" : SomeId();
    const auto limit = static_cast<size_t>(Pick(4));
    std::vector<std::pair<std::string, Row>> expected;
    for (const auto& [name, row] : model_.rows) {
      const bool wanted = name.first == kind && name.second > after;
      if (wanted && (limit == 0 || expected.size() < limit)) {
        expected.emplace_back(name.second, row);
      }
    }
    const auto listing = store().List(kind, after, limit);
    ASSERT_TRUE(listing);
    EXPECT_EQ(listing->version, model_.version);
    std::vector<std::pair<std::string, Row>> listed;
    for (const Object& object : listing->objects) {
      listed.emplace_back(object.id, Row{object.version, object.body});
    }
    EXPECT_EQ(listed, expected);
  }

  // The follower catches up and must then have the model's rows; sometimes a new one takes over.
  void Follow() {
    if (follower_.watch == nullptr) return BeginToFollow();
    const auto events = follower_.watch->Next(kNow);
    ASSERT_TRUE(events) << events.error().message;
    uint64_t last = 0;
    for (const Event& event : *events) {
      EXPECT_GE(event.version, last);
      last = event.version;
      const std::pair name(event.object.kind, event.object.id);
      if (event.deleted) {
        EXPECT_EQ(follower_.rows.erase(name), 1u) << "deletion of what was not there";
      } else {
        follower_.rows[name] = {event.version, event.object.body};
      }
    }
    EXPECT_EQ(follower_.rows, model_.rows);
    if (Pick(3) == 0) BeginToFollow();
  }

  void BeginToFollow() {
    follower_.rows.clear();
    uint64_t version = 0;
    for (int i = 0; i < kKindCount; ++i) {
      const auto listing = store().List(static_cast<Kind>(i), "", 0);
      ASSERT_TRUE(listing);
      version = listing->version;
      for (const Object& object : listing->objects) {
        follower_.rows[{object.kind, object.id}] = {object.version, object.body};
      }
    }
    follower_.watch = store().WatchFrom(version, {});
  }

  void Restart() {
    if (!durable_) return;
    const uint64_t version = store().Version();
    opened_.store.reset();
    auto again = OpenSqlite(opened_.folder->Path("sluice.db"));
    ASSERT_TRUE(again) << again.error().message;
    opened_.store = std::move(*again);
    EXPECT_EQ(store().Version(), version);
    follower_.watch.reset();
  }

  SeededRandom random_;
  Opened opened_;
  const bool durable_;
  Model model_;
  Follower follower_;
};

class StoreSim : public testing::TestWithParam<OpenedBy> {};

TEST_P(StoreSim, AnswersAsTheModelDoes) {
  const uint64_t first = FromEnvironment("SLUICE_SEED", 1);
  const uint64_t lives = FromEnvironment("SLUICE_SEEDS", 40);
  for (uint64_t seed = first; seed < first + lives && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " (repeat it with SLUICE_SEED)");
    Life(seed, GetParam()).Live(150);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, StoreSim, testing::ValuesIn(EveryStore()), [](const auto& tested) {
  return tested.param.name;
});

}  // namespace
}  // namespace sluice::store
