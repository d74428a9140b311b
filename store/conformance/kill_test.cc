// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdlib>
#include <cstring>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/random.h"
#include "store/conformance/child.h"
#include "store/conformance/fixture.h"

// What kill -9 at any moment must not do: lose what was acknowledged, or leave half a transaction.
namespace sluice::store {
namespace {

constexpr int kThreads = 3;
constexpr int kObjectsPerWrite = 5;

// One acknowledged transaction of one thread.
struct Ack {
  int32_t thread;
  int32_t number;
};

using Numbers = std::array<int, kThreads>;

// SLUICE_SEED repeats a run.
uint64_t Seed() {
  const char* given = std::getenv("SLUICE_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : SystemRandom().Next();
  fmt::print("SLUICE_SEED={}\n", seed);
  return seed;
}

std::string ObjectId(int thread, int object) {
  return fmt::format("{}.{}", thread, object);
}
std::string AuditId(int thread, int number) {
  return fmt::format("{}.{:08}", thread, number);
}

// Transaction `number` of a thread: its objects all get the number, and the log gets a row.
std::vector<Write> Transaction(int thread, int number) {
  std::vector<Write> writes;
  for (int i = 0; i < kObjectsPerWrite; ++i) {
    const Kind kind = i % 2 == 0 ? Kind::kGpu : Kind::kClaim;
    writes.push_back({kind, ObjectId(thread, i), std::nullopt, std::to_string(number)});
  }
  writes.push_back({Kind::kAudit, AuditId(thread, number), 0, std::to_string(number)});
  return writes;
}

// In the child: commits until it is killed.
void WriteForEver(const std::string& path, const Numbers& last, int output) {
  auto store = OpenSqlite(path);
  if (!store) _exit(1);
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int32_t n = last[static_cast<size_t>(t)] + 1;; ++n) {
        if (!(*store)->Commit(Transaction(t, n))) _exit(1);
        const Ack ack{t, n};
        if (write(output, &ack, sizeof(ack)) != sizeof(ack)) _exit(1);
      }
    });
  }
}

Numbers Newest(Numbers acked, const std::string& acks) {
  for (size_t at = 0; at + sizeof(Ack) <= acks.size(); at += sizeof(Ack)) {
    Ack ack;
    std::memcpy(&ack, acks.data() + at, sizeof(ack));
    acked[static_cast<size_t>(ack.thread)] = ack.number;
  }
  return acked;
}

int NumberOf(Store& store, Kind kind, const std::string& id) {
  const auto object = store.Get(kind, id);
  return object ? std::stoi(object->body) : 0;
}

// Checks a thread's objects and log after a kill and returns the number they are all at.
int CheckThread(Store& store, int thread, int acked) {
  const int number = NumberOf(store, Kind::kGpu, ObjectId(thread, 0));
  EXPECT_GE(number, acked) << "an acknowledged transaction is lost";
  EXPECT_LE(number, acked + 1) << "more was written than was asked for";
  for (int i = 1; i < kObjectsPerWrite; ++i) {
    const Kind kind = i % 2 == 0 ? Kind::kGpu : Kind::kClaim;
    EXPECT_EQ(NumberOf(store, kind, ObjectId(thread, i)), number) << "half a transaction";
  }
  const auto log = store.List(Kind::kAudit, fmt::format("{}.", thread), 0);
  EXPECT_TRUE(log);
  int rows = 0;
  for (const Object& row : log->objects) {
    if (row.id[0] != '0' + thread) break;  // The next thread's.
    EXPECT_EQ(row.id, AuditId(thread, ++rows));
  }
  EXPECT_EQ(rows, number) << "log and objects differ";
  return number;
}

TEST(SqliteStore, LosesNothingAcknowledgedAndTearsNothingIn200Kills) {
  SeededRandom random(Seed());
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  Numbers last{};
  uint64_t version = 0;
  for (int round = 0; round < 200 && !HasFailure(); ++round) {
    Child child([&](int output) { WriteForEver(path, last, output); });
    std::string acks = child.Read(random.Next() % 24 * sizeof(Ack));
    // Somewhere between two acknowledgements: spin, for a sleep would end at a tick.
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(random.Next() % 2'000);
    while (std::chrono::steady_clock::now() < until) {
    }
    child.Kill();
    acks += child.ReadAll();
    const Numbers acked = Newest(last, acks);
    const auto store = OpenSqlite(path);
    ASSERT_TRUE(store) << store.error().message;
    for (int t = 0; t < kThreads; ++t) {
      const auto i = static_cast<size_t>(t);
      last[i] = CheckThread(**store, t, acked[i]);
    }
    EXPECT_GE((*store)->Version(), version) << "the version went back";
    version = (*store)->Version();
    EXPECT_EQ(version, static_cast<uint64_t>(last[0] + last[1] + last[2]));
  }
  EXPECT_GT(version, 200u) << "the kills came before any work";
}

TEST(SqliteStore, OpensAgainAfterAKillWhileItIsMade) {
  SeededRandom random(Seed());
  for (int round = 0; round < 30; ++round) {
    const TempFolder folder;
    const std::string path = folder.Path("sluice.db");
    Child child([&](int output) {
      if (write(output, "x", 1) != 1) _exit(1);
      const auto made = OpenSqlite(path);
      _exit(made ? 0 : 1);
    });
    child.Read(1);
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(random.Next() % 3'000);
    while (std::chrono::steady_clock::now() < until) {
    }
    child.Kill();
    const auto store = OpenSqlite(path);
    ASSERT_TRUE(store) << store.error().message;
    const Write write{Kind::kPool, "a", 0, "{}"};
    EXPECT_TRUE((*store)->Commit({&write, 1}));
  }
}

}  // namespace
}  // namespace sluice::store
