// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace sluice::store {

// The kinds of object that are kept. Names are part of the stored format: add, never rename.
enum class Kind {
  kGpu,
  kClaim,
  kDesktop,
  kTemplate,
  kPool,
  kUser,
  kSession,      // A sign-in of a person.
  kToken,        // An API token, hashed.
  kAudit,        // One row of the audit log; id = sequence number, 20 digits.
  kIdempotency,  // A remembered answer to a POST.
  kSetting,      // Single facts: schema version, usual stage times, …
  kTeam,
  kPastClaim,  // Claims that have ended; id = the claim's.
  kReservation,
  kPastReservation,  // Those that are over, as long as they were in force; id = the reservation's.
};
inline constexpr int kKindCount = 15;
std::string_view ToString(Kind kind);

// A stored object. `version` is the store-wide revision of the commit that last wrote it: it only
// grows, and it is the resource_version and the ETag that users see.
struct Object {
  Kind kind = Kind::kSetting;
  std::string id;
  uint64_t version = 0;
  std::string body;  // JSON.
};

// One write of a transaction.
struct Write {
  Kind kind = Kind::kSetting;
  std::string id;
  // The version the caller has read; 0: must not exist; nullopt: whatever is there.
  std::optional<uint64_t> expected;
  // nullopt: delete. Deleting what does not exist is no error unless `expected` says it should.
  std::optional<std::string> body;
};

// A change as a watcher sees it. `object.body` is empty for a deletion.
struct Event {
  uint64_t version = 0;
  bool deleted = false;
  Object object;
};

// A subscription. One thread at a time.
class Watch {
 public:
  virtual ~Watch() = default;

  // The changes since the last call, oldest first, all of a commit together; waits up to `at_most`
  // when there are none, then returns an empty list. Fails with kOutOfRange when this watcher fell
  // behind the history that is kept: list again, then watch from the list's version.
  virtual Result<std::vector<Event>> Next(Duration at_most) = 0;

  // Makes a Next() that waits in another thread return at once, now or later.
  virtual void Cancel() = 0;
};

struct Listing {
  std::vector<Object> objects;  // By id, ascending.
  uint64_t version = 0;         // The revision this listing is of; watch from here.
};

// Objects with versions. All methods are thread-safe. What Commit has acknowledged survives
// kill -9 and power loss (sqlite/), and is seen by every later Get, List and Watch.
class Store {
 public:
  virtual ~Store() = default;

  // Fails with kNotFound.
  virtual Result<Object> Get(Kind kind, std::string_view id) = 0;

  // Objects of a kind with id > `after`, at most `limit` (0: all).
  virtual Result<Listing> List(Kind kind, std::string_view after, size_t limit) = 0;

  // All writes or none, as one revision, which is returned. Fails with kAborted and names the
  // object when an `expected` does not hold; kResourceExhausted when the disk is full;
  // kUnavailable when the disk cannot be written. Nothing is changed then.
  // Requires: ids are not empty; no two writes are to the same object.
  virtual Result<uint64_t> Commit(std::span<const Write> writes) = 0;

  // Changes after revision `version`; see Watch::Next for how it ends. An empty `kinds` is all. A
  // watch may outlive the store.
  virtual std::unique_ptr<Watch> WatchFrom(uint64_t version, std::vector<Kind> kinds) = 0;

  // The newest revision.
  virtual uint64_t Version() = 0;
};

}  // namespace sluice::store
