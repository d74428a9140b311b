// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::store::sqlite {

// The rows of one SQLite file: the only place that calls SQLite. One thread at a time.
//
//   object(kind, id, version, body)   primary key (kind, id)
//   meta(name, value)                 "revision": the newest one
//   user_version                      the format's version, kFormat
//   application_id                    "SLUC"
//
// Every method fails with kResourceExhausted (disk full), kUnavailable (cannot be read or written)
// or kDataLoss (damaged), and a sentence that names the file.
class Database {
 public:
  static constexpr int kFormat = 1;

  // See OpenSqlite.
  static Result<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Result<uint64_t> Revision();
  // The object's version; 0: not there.
  Result<uint64_t> VersionOf(Kind kind, std::string_view id);
  Result<std::optional<Object>> Find(Kind kind, std::string_view id);
  // In ascending order of id. `limit` 0: all.
  Result<void> Each(Kind kind,
                    std::string_view after,
                    size_t limit,
                    const std::function<void(Object)>& take);

  // One transaction: Begin, then any of Put, Erase, SetRevision, then End. When any of them fails,
  // the transaction is over and Undo must be called; End makes it durable.
  Result<void> Begin();
  Result<void> Put(const Object& object);
  // Returns whether there was one.
  Result<bool> Erase(Kind kind, std::string_view id);
  Result<void> SetRevision(uint64_t revision);
  Result<void> End();
  void Undo();

  // Moves the log into the file, so that the log's room can be used again. What does not succeed
  // now is done later.
  void ReuseLog();

 private:
  class Statement;
  struct Statements;

  Database(sqlite3* handle, std::string path);

  Result<void> Prepare();
  // Returns whether the tables are there already.
  Result<bool> CheckOurs();
  Result<void> UseLog();
  Result<void> MakeTables();
  Result<void> Run(const char* sql);
  Result<int64_t> Number(const char* sql);
  // What went wrong with the last call.
  tl::unexpected<Error> Failed(int code);

  sqlite3* handle_;
  const std::string path_;
  std::unique_ptr<Statements> statements_;
};

}  // namespace sluice::store::sqlite
