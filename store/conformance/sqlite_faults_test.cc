// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "store/conformance/child.h"
#include "store/conformance/fixture.h"

// What the world does to a file, and how the store says so.
namespace sluice::store {
namespace {

Write Set(std::string id, std::string body = "{}") {
  return {Kind::kPool, std::move(id), std::nullopt, std::move(body)};
}

Result<uint64_t> CommitOne(Store& store, const Write& write) {
  return store.Commit({&write, 1});
}

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Runs SQL on the file as another program would.
void RunSql(const std::string& path, const char* sql) {
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sql;
  sqlite3_close(handle);
}

void ExpectOpenFails(const std::string& path, Code code, std::string_view words) {
  const auto store = OpenSqlite(path);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, code) << store.error().message;
  EXPECT_TRUE(Contains(store.error().message, words)) << store.error().message;
  EXPECT_TRUE(Contains(store.error().message, path)) << store.error().message;
}

TEST(SqliteStore, KeepsObjectsAndVersionsAcrossARestart) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  uint64_t version = 0;
  {
    const auto store = OpenSqlite(path);
    ASSERT_TRUE(CommitOne(**store, Set("a", "1")));
    ASSERT_TRUE(CommitOne(**store, {Kind::kAudit, "r", 0, "2"}));
    version = *CommitOne(**store, Set("b", "3"));
  }
  const auto store = OpenSqlite(path);
  EXPECT_EQ((*store)->Version(), version);
  EXPECT_EQ((*store)->Get(Kind::kPool, "a")->version, version - 2);
  EXPECT_EQ((*store)->Get(Kind::kAudit, "r")->body, "2");
  EXPECT_EQ(*CommitOne(**store, Set("c")), version + 1);
}

TEST(SqliteStore, ResumesAWatchAcrossARestartOnlyFromTheNewestVersion) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  uint64_t version = 0;
  {
    const auto store = OpenSqlite(path);
    ASSERT_TRUE(CommitOne(**store, Set("a")));
    version = *CommitOne(**store, Set("b"));
  }
  const auto store = OpenSqlite(path);
  ASSERT_TRUE(CommitOne(**store, Set("c")));
  EXPECT_EQ((*store)->WatchFrom(version, {})->Next(Duration(0))->size(), 1u);
  EXPECT_EQ((*store)->WatchFrom(version - 1, {})->Next(Duration(0)).error().code,
            Code::kOutOfRange);
}

TEST(SqliteStore, LetsAWatchOutliveIt) {
  const TempFolder folder;
  auto store = OpenSqlite(folder.Path("sluice.db"));
  const auto watch = (*store)->WatchFrom(0, {});
  ASSERT_TRUE(CommitOne(**store, Set("a")));
  store->reset();
  EXPECT_EQ(watch->Next(Duration(0))->size(), 1u);
}

TEST(SqliteStore, KeepsItsFileFromOtherUsers) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  const auto store = OpenSqlite(path);
  ASSERT_TRUE(CommitOne(**store, Set("a")));
  for (const char* suffix : {"", "-wal"}) {
    struct stat status {};
    ASSERT_EQ(stat((path + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 077u, 0u) << suffix;
  }
}

TEST(SqliteStore, RefusesAFileOfANewerSluiceAndLeavesIt) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  ASSERT_TRUE(CommitOne(**OpenSqlite(path), Set("a")));
  RunSql(path, "PRAGMA user_version = 2");
  ExpectOpenFails(path, Code::kFailedPrecondition, "was written by a newer Sluice (format 2;");
  RunSql(path, "PRAGMA user_version = 1");
  EXPECT_TRUE((*OpenSqlite(path))->Get(Kind::kPool, "a"));
}

TEST(SqliteStore, RefusesADatabaseOfAnotherProgram) {
  const TempFolder folder;
  const std::string path = folder.Path("other.db");
  RunSql(path, "CREATE TABLE mine(x)");
  ExpectOpenFails(path, Code::kDataLoss, "not a store of Sluice");
}

TEST(SqliteStore, RefusesAFileThatIsNoDatabase) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  std::ofstream(path) << std::string(8192, 'x');
  ExpectOpenFails(path, Code::kDataLoss, "is not a database");
}

TEST(SqliteStore, SaysThatAFileIsDamaged) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  {
    const auto store = OpenSqlite(path);
    std::vector<Write> many;
    for (int i = 0; i < 2'000; ++i) many.push_back(Set(std::to_string(i), std::string(100, 'x')));
    ASSERT_TRUE((*store)->Commit(many));
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  for (int page = 3; page < 40; ++page) {
    file.seekp(page * 4096);
    file << std::string(4096, '\xA5');
  }
  file.close();
  ExpectOpenFails(path, Code::kDataLoss, "the file is damaged");
}

TEST(SqliteStore, RefusesASecondProcess) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  const auto store = OpenSqlite(path);
  ASSERT_TRUE(CommitOne(**store, Set("a")));
  // A process of its own, because a process does not lock itself out.
  EXPECT_EQ(InChild([&] {
              const auto second = OpenSqlite(path);
              return second ? std::string("opened") : second.error().message;
            }),
            "the store " + path + ": another process has it open");
  EXPECT_TRUE(CommitOne(**store, Set("b")));
}

TEST(SqliteStore, SaysThatTheFolderIsMissing) {
  ExpectOpenFails("/nonexistent-folder/sluice.db", Code::kUnavailable, "No such file");
}

// As a user whom the permissions bind, which root is not.
std::string AsNobody(const std::function<std::string()>& work) {
  return InChild([&work]() -> std::string {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return "cannot drop root";
    return work();
  });
}

std::string OpenAndSay(const std::string& path) {
  const auto store = OpenSqlite(path);
  if (store) return "opened";
  return std::string(ToString(store.error().code)) + ": " + store.error().message;
}

TEST(SqliteStore, SaysThatTheFolderIsReadOnly) {
  const TempFolder folder;
  chmod(folder.path().c_str(), 0555);
  const std::string path = folder.Path("sluice.db");
  EXPECT_EQ(AsNobody([&] { return OpenAndSay(path); }),
            "unavailable: the store " + path +
                ": the file cannot be opened for writing (Permission denied)");
}

TEST(SqliteStore, SaysThatTheFileIsReadOnly) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  ASSERT_TRUE(CommitOne(**OpenSqlite(path), Set("a")));
  chmod(path.c_str(), 0444);
  chmod(folder.path().c_str(), 0555);
  EXPECT_EQ(AsNobody([&] { return OpenAndSay(path); }),
            "unavailable: the store " + path + ": the file or its folder is read-only");
}

TEST(SqliteStore, SaysThatTheFolderOfAWritableFileIsReadOnly) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  ASSERT_TRUE(CommitOne(**OpenSqlite(path), Set("a")));
  chmod(path.c_str(), 0666);
  chmod(folder.path().c_str(), 0555);
  const std::string said = AsNobody([&] { return OpenAndSay(path); });
  EXPECT_TRUE(Contains(said, "unavailable: the store " + path)) << said;
}

// The kernel then refuses to let any file of the child grow, as a full disk does.
void LimitFileSize(rlim_t bytes_max) {
  struct rlimit limit {};
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = std::min(bytes_max, limit.rlim_max);
  setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(SqliteStore, SaysThatTheDiskIsFullAndGoesOnWhenThereIsRoom) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  EXPECT_EQ(InChild([&]() -> std::string {
              std::signal(SIGXFSZ, SIG_IGN);
              const auto store = OpenSqlite(path);
              if (!CommitOne(**store, Set("before"))) return "first commit failed";
              const uint64_t version = (*store)->Version();
              LimitFileSize(64 << 10);
              const std::string large(128 << 10, 'x');
              const auto full = CommitOne(**store, Set("large", large));
              if (full) return "committed past the limit";
              if (full.error().code != Code::kResourceExhausted) return full.error().message;
              if (full.error().message != "the store " + path + ": the disk is full") {
                return full.error().message;
              }
              if ((*store)->Get(Kind::kPool, "large")) return "what failed is visible";
              if ((*store)->Version() != version) return "what failed raised the version";
              LimitFileSize(RLIM_INFINITY);
              if (!CommitOne(**store, Set("large", large))) return "no commit when there is room";
              return "";
            }),
            "");
  const auto store = OpenSqlite(path);
  ASSERT_TRUE(store);
  EXPECT_TRUE((*store)->Get(Kind::kPool, "before"));
  EXPECT_EQ((*store)->Get(Kind::kPool, "large")->body.size(), size_t{128} << 10);
}

TEST(SqliteStore, FailsOnlyTheCommitThatIsTooLargeForTheDisk) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  EXPECT_EQ(InChild([&]() -> std::string {
              std::signal(SIGXFSZ, SIG_IGN);
              const auto store = OpenSqlite(path);
              LimitFileSize(512 << 10);
              std::atomic<int> small_failed{0};
              std::atomic<int> large_done{0};
              std::vector<std::jthread> threads;
              for (int t = 0; t < 4; ++t) {
                threads.emplace_back([&, t] {
                  const Write small = Set("s" + std::to_string(t));
                  for (int i = 0; i < 5; ++i) small_failed += CommitOne(**store, small) ? 0 : 1;
                });
                threads.emplace_back([&, t] {
                  const Write large = Set("l" + std::to_string(t), std::string(1 << 20, 'x'));
                  for (int i = 0; i < 5; ++i) large_done += CommitOne(**store, large) ? 1 : 0;
                });
              }
              threads.clear();
              if (small_failed != 0) return std::to_string(small_failed) + " small ones failed";
              if (large_done != 0) return std::to_string(large_done) + " large ones were done";
              return "";
            }),
            "");
}

TEST(SqliteStore, GoesOnWithSmallChangesOnAFullDisk) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  EXPECT_EQ(InChild([&]() -> std::string {
              std::signal(SIGXFSZ, SIG_IGN);
              const auto store = OpenSqlite(path);
              LimitFileSize(128 << 10);  // The log alone would need some 2 MiB.
              for (int i = 0; i < 300; ++i) {
                const auto done = CommitOne(**store, Set("a", std::to_string(i)));
                if (!done) return std::to_string(i) + ": " + done.error().message;
              }
              return "";
            }),
            "");
  EXPECT_EQ((*OpenSqlite(path))->Get(Kind::kPool, "a")->body, "299");
}

TEST(SqliteStore, OpensAFileWithoutRoomToGrow) {
  const TempFolder folder;
  const std::string path = folder.Path("sluice.db");
  ASSERT_TRUE(CommitOne(**OpenSqlite(path), Set("a")));
  EXPECT_EQ(InChild([&]() -> std::string {
              std::signal(SIGXFSZ, SIG_IGN);
              LimitFileSize(0);
              const auto store = OpenSqlite(path);
              if (!store) return store.error().message;
              if (!(*store)->Get(Kind::kPool, "a")) return "cannot be read";
              const auto full = CommitOne(**store, Set("b"));
              return full || full.error().code != Code::kResourceExhausted ? "not refused" : "";
            }),
            "");
}

}  // namespace
}  // namespace sluice::store
