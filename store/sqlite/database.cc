// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/database.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/core.h>
#include <sqlite3.h>
#include <unistd.h>
#include <utility>

#include "base/check.h"

namespace sluice::store::sqlite {
namespace {

constexpr int kApplicationId = 0x534C5543;  // "SLUC".

// What SQLite's primary result codes mean for a caller. Anything else is kUnavailable.
struct Meaning {
  int code;
  Code result;
  const char* sentence;
};
constexpr Meaning kMeanings[] = {
    {SQLITE_FULL, Code::kResourceExhausted, "the disk is full"},
    {SQLITE_TOOBIG, Code::kResourceExhausted, "an object is too large"},
    {SQLITE_NOMEM, Code::kResourceExhausted, "memory is exhausted"},
    {SQLITE_READONLY, Code::kUnavailable, "the file or its folder is read-only"},
    {SQLITE_CANTOPEN, Code::kUnavailable, "the file cannot be opened for writing"},
    {SQLITE_PERM, Code::kUnavailable, "access is not permitted"},
    {SQLITE_AUTH, Code::kUnavailable, "access is not permitted"},
    {SQLITE_IOERR, Code::kUnavailable, "reading or writing failed"},
    {SQLITE_BUSY, Code::kFailedPrecondition, "another process has it open"},
    {SQLITE_LOCKED, Code::kFailedPrecondition, "another process has it open"},
    {SQLITE_CORRUPT, Code::kDataLoss, "the file is damaged"},
    {SQLITE_NOTADB, Code::kDataLoss, "the file is not a database"},
};

bool MeansDiskFull(int system_error) {
  return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

// `system_error` is errno of the failed call, or 0.
Error ToError(int code, int system_error, const std::string& path) {
  Meaning meaning{code, Code::kUnavailable, sqlite3_errstr(code)};
  for (const Meaning& known : kMeanings) {
    if (known.code == (code & 0xFF)) meaning = known;
  }
  const bool system_failed = meaning.code == SQLITE_IOERR || meaning.code == SQLITE_CANTOPEN;
  if (system_failed && MeansDiskFull(system_error)) meaning = kMeanings[0];
  std::string sentence = fmt::format("the store {}: {}", path, meaning.sentence);
  if (system_failed && meaning.code != SQLITE_FULL && system_error != 0) {
    sentence += fmt::format(" ({})", std::strerror(system_error));
  }
  return {meaning.result, std::move(sentence), {}};
}

// Creates the file, if it is not there, readable by its owner alone: it holds password hashes, and
// SQLite gives "-wal" the mode of the file. Returns errno when it is not there and cannot be made.
int CreatePrivate(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return errno == EEXIST ? 0 : errno;
  close(file);
  return 0;
}

}  // namespace

// A prepared statement. Text that is bound must live until Reset.
class Database::Statement {
 public:
  Statement() = default;
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  int Prepare(sqlite3* handle, const char* sql) {
    errno = 0;
    return sqlite3_prepare_v3(handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  }
  // Ids and bodies are bound as blobs: they may hold any bytes, and blobs compare by memcmp.
  Statement& Bind(int at, std::string_view text) {
    const char* data = text.empty() ? "" : text.data();  // A null pointer would bind NULL.
    const int bound = sqlite3_bind_blob64(statement_, at, data, text.size(), SQLITE_STATIC);
    SLUICE_CHECK(bound == SQLITE_OK || bound == SQLITE_TOOBIG || bound == SQLITE_NOMEM);
    return *this;
  }
  Statement& Bind(int at, int64_t number) {
    SLUICE_CHECK(sqlite3_bind_int64(statement_, at, number) == SQLITE_OK);
    return *this;
  }
  int Step() {
    errno = 0;
    return sqlite3_step(statement_);
  }
  // Leaves errno as Step left it.
  void Reset() {
    const int kept = errno;
    sqlite3_reset(statement_);
    errno = kept;
  }

  int64_t Number(int column) { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) {
    const void* data = sqlite3_column_blob(statement_, column);
    const auto size_bytes = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
    return data == nullptr ? std::string()
                           : std::string(static_cast<const char*>(data), size_bytes);
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

struct Database::Statements {
  Statement begin, commit, rollback, put, erase, set_revision, version, find, each;

  struct Row {
    Statement Statements::*statement;
    const char* sql;
  };
  static constexpr int kCount = 9;
  static const Row kRows[kCount];
};

const Database::Statements::Row Database::Statements::kRows[kCount] = {
    {&Statements::begin, "BEGIN IMMEDIATE"},
    {&Statements::commit, "COMMIT"},
    {&Statements::rollback, "ROLLBACK"},
    {&Statements::put,
     "INSERT INTO object(kind, id, version, body) VALUES(?1, ?2, ?3, ?4) "
     "ON CONFLICT(kind, id) DO UPDATE SET version = excluded.version, body = excluded.body"},
    {&Statements::erase, "DELETE FROM object WHERE kind = ?1 AND id = ?2"},
    {&Statements::set_revision, "UPDATE meta SET value = ?1 WHERE name = 'revision'"},
    {&Statements::version, "SELECT version FROM object WHERE kind = ?1 AND id = ?2"},
    {&Statements::find, "SELECT version, body FROM object WHERE kind = ?1 AND id = ?2"},
    {&Statements::each,
     "SELECT id, version, body FROM object WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3"},
};

Database::Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}

Database::~Database() {
  statements_.reset();
  sqlite3_close_v2(handle_);
}

// SQLite tells the errno of the database file, but not of its log; the thread's own is that of the
// latest call that failed, which is the one that ended the statement.
tl::unexpected<Error> Database::Failed(int code) {
  const int system_error = errno;
  return Fail(ToError(code, system_error, path_));
}

Result<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  if (const int refused = CreatePrivate(path); refused != 0) {
    return Fail(ToError(SQLITE_CANTOPEN, refused, path));
  }
  sqlite3* handle = nullptr;
  // No locks inside SQLite: the caller's lock is enough.
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int opened = sqlite3_open_v2(path.c_str(), &handle, kFlags, nullptr);
  std::unique_ptr<Database> database(new Database(handle, path));
  if (opened != SQLITE_OK) {
    return Fail(ToError(opened, handle == nullptr ? 0 : sqlite3_system_errno(handle), path));
  }
  sqlite3_extended_result_codes(handle, 1);
  if (sqlite3_db_readonly(handle, "main") == 1) return database->Failed(SQLITE_READONLY);
  if (auto prepared = database->Prepare(); !prepared) return Fail(prepared.error());
  return database;
}

Result<void> Database::Prepare() {
  // Exclusive: objects are held in memory, so nobody else may write; and no "-shm" file is needed.
  // FULL: the log is synced before a commit is acknowledged. The limit keeps a log that once grew
  // from taking its place for ever.
  if (auto done = Run("PRAGMA locking_mode = EXCLUSIVE"); !done) return done;
  const auto made = CheckOurs();
  if (!made) return Fail(made.error());
  if (auto done = UseLog(); !done) return done;
  for (const char* pragma : {"PRAGMA synchronous = FULL",
                             "PRAGMA journal_size_limit = 67108864",
                             "PRAGMA cache_size = -8192"}) {
    if (auto done = Run(pragma); !done) return done;
  }
  if (!*made) {
    if (auto done = MakeTables(); !done) return done;
  }
  statements_ = std::make_unique<Statements>();
  for (const auto& [statement, sql] : Statements::kRows) {
    const int prepared = ((*statements_).*statement).Prepare(handle_, sql);
    if (prepared != SQLITE_OK) return Failed(prepared);
  }
  return {};
}

Result<bool> Database::CheckOurs() {
  const auto application = Number("PRAGMA application_id");
  if (!application) return Fail(application.error());
  const auto format = Number("PRAGMA user_version");
  if (!format) return Fail(format.error());
  const auto tables = Number("SELECT count(*) FROM sqlite_master");
  if (!tables) return Fail(tables.error());
  const bool empty = *tables == 0 && *application == 0;
  if (!empty && *application != kApplicationId) {
    return Fail(Code::kDataLoss, fmt::format("the store {}: not a store of Sluice", path_));
  }
  if (*format > kFormat) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("the store {} was written by a newer Sluice (format {}; this one knows "
                            "up to {}); start the newer one, or use another state folder",
                            path_,
                            *format,
                            kFormat));
  }
  return !empty;
}

// SQLite answers with the mode that is in force, which is another one where the folder is
// read-only.
Result<void> Database::UseLog() {
  Statement statement;
  int done = statement.Prepare(handle_, "PRAGMA journal_mode = WAL");
  if (done == SQLITE_OK) done = statement.Step();
  if (done != SQLITE_ROW) return Failed(done);
  if (statement.Text(0) != "wal") return Failed(SQLITE_READONLY);
  return {};
}

Result<void> Database::MakeTables() {
  // One transaction: a kill in the middle leaves an empty file, which is a good start again.
  const std::string sql = fmt::format(
      "BEGIN IMMEDIATE;"
      "CREATE TABLE IF NOT EXISTS object(kind BLOB NOT NULL, id BLOB NOT NULL,"
      " version INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(kind, id)) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
      " WITHOUT ROWID;"
      "INSERT OR IGNORE INTO meta VALUES('revision', 0);"
      "PRAGMA application_id = {};"
      "PRAGMA user_version = {};"
      "COMMIT",
      kApplicationId,
      kFormat);
  return Run(sql.c_str());
}

Result<void> Database::Run(const char* sql) {
  errno = 0;
  const int done = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (done != SQLITE_OK) return Failed(done);
  return {};
}

Result<int64_t> Database::Number(const char* sql) {
  Statement statement;
  int done = statement.Prepare(handle_, sql);
  if (done == SQLITE_OK) done = statement.Step();
  if (done != SQLITE_ROW) return Failed(done);
  return statement.Number(0);
}

Result<uint64_t> Database::Revision() {
  const auto revision = Number("SELECT value FROM meta WHERE name = 'revision'");
  if (!revision) return Fail(revision.error());
  return static_cast<uint64_t>(*revision);
}

Result<uint64_t> Database::VersionOf(Kind kind, std::string_view id) {
  Statement& statement = statements_->version;
  const int done = statement.Bind(1, ToString(kind)).Bind(2, id).Step();
  const auto version = done == SQLITE_ROW ? static_cast<uint64_t>(statement.Number(0)) : 0;
  statement.Reset();
  if (done != SQLITE_ROW && done != SQLITE_DONE) return Failed(done);
  return version;
}

Result<std::optional<Object>> Database::Find(Kind kind, std::string_view id) {
  Statement& statement = statements_->find;
  std::optional<Object> found;
  const int done = statement.Bind(1, ToString(kind)).Bind(2, id).Step();
  if (done == SQLITE_ROW) {
    found = Object{
        kind, std::string(id), static_cast<uint64_t>(statement.Number(0)), statement.Text(1)};
  }
  statement.Reset();
  if (done != SQLITE_ROW && done != SQLITE_DONE) return Failed(done);
  return found;
}

Result<void> Database::Each(Kind kind,
                            std::string_view after,
                            size_t limit,
                            const std::function<void(Object)>& take) {
  Statement& statement = statements_->each;
  const int64_t rows_max = limit == 0 ? -1 : static_cast<int64_t>(limit);
  statement.Bind(1, ToString(kind)).Bind(2, after).Bind(3, rows_max);
  int done = statement.Step();
  for (; done == SQLITE_ROW; done = statement.Step()) {
    take({kind, statement.Text(0), static_cast<uint64_t>(statement.Number(1)), statement.Text(2)});
  }
  statement.Reset();
  if (done != SQLITE_DONE) return Failed(done);
  return {};
}

Result<void> Database::Begin() {
  const int done = statements_->begin.Step();
  statements_->begin.Reset();
  if (done != SQLITE_DONE) return Failed(done);
  return {};
}

Result<void> Database::Put(const Object& object) {
  Statement& statement = statements_->put;
  const int done = statement.Bind(1, ToString(object.kind))
                       .Bind(2, object.id)
                       .Bind(3, static_cast<int64_t>(object.version))
                       .Bind(4, object.body)
                       .Step();
  statement.Reset();
  if (done != SQLITE_DONE) return Failed(done);
  return {};
}

Result<bool> Database::Erase(Kind kind, std::string_view id) {
  Statement& statement = statements_->erase;
  const int done = statement.Bind(1, ToString(kind)).Bind(2, id).Step();
  statement.Reset();
  if (done != SQLITE_DONE) return Failed(done);
  return sqlite3_changes(handle_) > 0;
}

Result<void> Database::SetRevision(uint64_t revision) {
  Statement& statement = statements_->set_revision;
  const int done = statement.Bind(1, static_cast<int64_t>(revision)).Step();
  statement.Reset();
  if (done != SQLITE_DONE) return Failed(done);
  return {};
}

Result<void> Database::End() {
  const int done = statements_->commit.Step();
  statements_->commit.Reset();
  if (done != SQLITE_DONE) return Failed(done);
  return {};
}

void Database::Undo() {
  // Some failures have rolled back already.
  if (sqlite3_get_autocommit(handle_) != 0) return;
  statements_->rollback.Step();
  statements_->rollback.Reset();
}

void Database::ReuseLog() {
  // Restart rather than truncate: on a full disk others would take the room at once.
  sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
}

}  // namespace sluice::store::sqlite
