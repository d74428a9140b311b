// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <deque>
#include <iterator>
#include <utility>

#include "base/guarded.h"
#include "store/internal/index.h"
#include "store/sqlite.h"
#include "store/sqlite/database.h"

// Lock order: the queue's lock is never held together with another; the database's before the
// index's.
namespace sluice::store {
namespace {

using internal::Change;
using internal::Index;
using internal::SharedIndex;
using sqlite::Database;

// The audit log only grows and is read in pages, so it stays in the file; all else is in memory.
bool HeldInMemory(Kind kind) {
  return kind != Kind::kAudit;
}

// A commit that waits for its turn. The fields below `writes` belong to the queue's lock while the
// ticket waits, and to the leader from then until it is done.
struct Ticket {
  std::span<const Write> writes;
  Result<uint64_t> result = 0;
  std::vector<Change> changes;
  bool done = false;
  bool leads = false;
};

// Commits that wait for the one that is being synced. Whoever finds no leader leads: it writes all
// that wait as one SQLite transaction, with one sync, and names its successor.
struct Queue {
  std::deque<Ticket*> waiting;
  bool led = false;
};

// More in one batch: fewer syncs, but the first of it waits longer.
constexpr size_t kBatchMax = 256;

// Thread-safe.
class SqliteStore final : public Store {
 public:
  SqliteStore(std::unique_ptr<Database> database, SharedIndex index)
      : database_(std::move(database)), index_(std::move(index)) {}

  Result<Object> Get(Kind kind, std::string_view id) override {
    if (!HeldInMemory(kind)) return GetFromFile(kind, id);
    const auto object = index_->With([&](const Index& index) { return index.Find(kind, id); });
    if (object == nullptr) return Fail(internal::NoSuchObject(kind, id));
    return *object;
  }

  Result<Listing> List(Kind kind, std::string_view after, size_t limit) override {
    if (!HeldInMemory(kind)) return ListFromFile(kind, after, limit);
    uint64_t version = 0;
    const auto listed = index_->With([&](const Index& index) {
      version = index.version();
      return index.List(kind, after, limit);
    });
    return Listing{internal::Copy(listed), version};
  }

  Result<uint64_t> Commit(std::span<const Write> writes) override {
    internal::CheckWrites(writes);
    if (writes.empty()) return Version();
    Ticket ticket{.writes = writes};
    queue_.With([&](Queue& queue) {
      queue.waiting.push_back(&ticket);
      ticket.leads = !std::exchange(queue.led, true);
    });
    const auto my_turn = [&ticket](const Queue&) { return ticket.done || ticket.leads; };
    while (!queue_.WaitFor(std::chrono::minutes(1), my_turn)) {
    }
    if (!ticket.done) Lead();
    return std::move(ticket.result);
  }

  std::unique_ptr<Watch> WatchFrom(uint64_t version, std::vector<Kind> kinds) override {
    return internal::MakeWatch(index_, version, std::move(kinds));
  }

  uint64_t Version() override {
    return index_->With([](const Index& index) { return index.version(); });
  }

 private:
  Result<Object> GetFromFile(Kind kind, std::string_view id) {
    auto found = database_.With([&](auto& database) { return database->Find(kind, id); });
    if (!found) return Fail(found.error());
    if (!*found) return Fail(internal::NoSuchObject(kind, id));
    return std::move(**found);
  }

  // Under the database's lock the file and the index are at the same revision.
  Result<Listing> ListFromFile(Kind kind, std::string_view after, size_t limit) {
    return database_.With([&](auto& database) -> Result<Listing> {
      Listing listing;
      listing.version = Version();
      const auto read = database->Each(
          kind, after, limit, [&](Object object) { listing.objects.push_back(std::move(object)); });
      if (!read) return Fail(read.error());
      return listing;
    });
  }

  // Serves the batch that this thread's ticket is the first of.
  void Lead() {
    std::vector<Ticket*> batch;
    queue_.With([&](Queue& queue) {
      while (!queue.waiting.empty() && batch.size() < kBatchMax) {
        batch.push_back(queue.waiting.front());
        queue.waiting.pop_front();
      }
    });
    database_.With([&](auto& database) { CommitBatch(*database, batch); });
    queue_.Change([&](Queue& queue) {
      for (Ticket* ticket : batch) ticket->done = true;
      queue.led = !queue.waiting.empty();
      if (queue.led) queue.waiting.front()->leads = true;
    });
  }

  // All together, or, when that fails, each alone, so that one that is too large for what is left
  // of the disk does not fail the others. On a full disk the log's own room is used again first:
  // changes that need no more room than there is in the file still succeed.
  void CommitBatch(Database& database, std::span<Ticket* const> batch) {
    const auto together = CommitTogether(database, batch);
    if (together) return;
    const bool full = together.error().code == Code::kResourceExhausted;
    if (full) database.ReuseLog();
    for (Ticket* const& ticket : batch) {
      const bool again = full || batch.size() > 1;
      const auto alone = again ? CommitTogether(database, std::span(&ticket, 1)) : together;
      if (!alone) ticket->result = Fail(alone.error());
    }
  }

  Result<void> CommitTogether(Database& database, std::span<Ticket* const> batch) {
    uint64_t version = Version();
    const auto written = WriteAll(database, batch, version);
    if (!written) {
      database.Undo();
      return written;
    }
    index_->Change([&](Index& index) {
      for (Ticket* ticket : batch) {
        if (ticket->result) index.Apply(*ticket->result, std::move(ticket->changes), HeldInMemory);
      }
    });
    return {};
  }

  static Result<void> WriteAll(Database& database,
                               std::span<Ticket* const> batch,
                               uint64_t version) {
    if (auto begun = database.Begin(); !begun) return begun;
    const uint64_t before = version;
    for (Ticket* ticket : batch) {
      auto held = CheckAll(database, ticket->writes);
      if (!held && held.error().code != Code::kAborted) return held;
      ticket->result = held ? Result<uint64_t>(++version) : Fail(held.error());
      if (!held) continue;
      if (auto written = WriteOne(database, *ticket, version); !written) return written;
    }
    if (version == before) {
      database.Undo();
      return {};
    }
    if (auto set = database.SetRevision(version); !set) return set;
    return database.End();
  }

  static Result<void> CheckAll(Database& database, std::span<const Write> writes) {
    for (const Write& write : writes) {
      if (!write.expected) continue;
      const auto version = database.VersionOf(write.kind, write.id);
      if (!version) return Fail(version.error());
      if (auto held = internal::CheckExpected(write, *version); !held) return held;
    }
    return {};
  }

  static Result<void> WriteOne(Database& database, Ticket& ticket, uint64_t version) {
    ticket.changes.clear();
    for (const Write& write : ticket.writes) {
      Object object{write.kind, write.id, version, write.body.value_or("")};
      if (write.body) {
        if (auto put = database.Put(object); !put) return put;
      } else {
        const auto erased = database.Erase(write.kind, write.id);
        if (!erased) return Fail(erased.error());
        if (!*erased) continue;
      }
      ticket.changes.push_back({std::make_shared<const Object>(std::move(object)), !write.body});
    }
    return {};
  }

  Guarded<std::unique_ptr<Database>> database_;
  Guarded<Queue> queue_;
  const SharedIndex index_;
};

Result<void> Load(Database& database, Index& index) {
  for (int i = 0; i < kKindCount; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (!HeldInMemory(kind)) continue;
    const auto read =
        database.Each(kind, "", 0, [&](Object object) { index.Load(std::move(object)); });
    if (!read) return read;
  }
  const auto revision = database.Revision();
  if (!revision) return Fail(revision.error());
  index.Begin(*revision);
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> OpenSqlite(const std::string& path) {
  auto database = Database::Open(path);
  if (!database) return Fail(database.error());
  auto index = std::make_shared<Guarded<Index>>();
  const auto loaded = index->With([&](Index& empty) { return Load(**database, empty); });
  if (!loaded) return Fail(loaded.error());
  return std::make_unique<SqliteStore>(std::move(*database), std::move(index));
}

}  // namespace sluice::store
