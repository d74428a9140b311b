// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/random.h"
#include "portal/internal/problem.h"
#include "store/store.h"

namespace sluice::portal {

// One request with an Idempotency-Key, while it is served.
struct ReplayKey {
  std::string key;             // As the client sent it; opens the remembered answer.
  std::string id;              // Of the record.
  std::string request_sha256;  // Method, path and body.
};

// Remembers the answers of POSTs for 24 hours, sealed under the client's key. Thread-safe.
class Replays {
 public:
  Replays(store::Store& store, const Clock& clock, Random& random)
      : store_(store), clock_(clock), random_(random) {}

  static ReplayKey KeyFor(std::string_view user, const net::Request& request);

  // nullopt: not seen before; the request is then marked as being served until End(). An answer:
  // send that again. Fails with kIdempotencyMismatch, or kStateConflict when the first request is
  // still being served or was cut off after its change.
  OrProblem<std::optional<net::Response>> Begin(const ReplayKey& key);

  // The write that belongs in the same transaction as the creation of `target`.
  store::Write Pending(const ReplayKey& key, std::string_view target) const;

  // Keeps a successful answer.
  void Keep(const ReplayKey& key, const net::Response& response);
  void End(const ReplayKey& key);

  // Deletes what is older than a day. Call now and then.
  void Sweep();

 private:
  store::Store& store_;
  const Clock& clock_;
  Random& random_;
  Guarded<std::set<std::string>> serving_;
};

}  // namespace sluice::portal
