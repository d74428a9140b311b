// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/units.h"
#include "control/control.h"
#include "store/store.h"

namespace sluice::portal {

// One row of the audit log. `hash` is the SHA-256 over the hash of the row before and all the other
// members, so that changing, removing or inserting a row breaks every later one.
struct AuditRow {
  uint64_t seq = 0;  // 1 is the first.
  TimePoint at;
  std::string actor;
  std::string on_behalf_of;  // Whose object it is, when not the actor's; empty otherwise.
  std::string action;        // "desktop.create".
  std::string target;
  std::string outcome;  // "ok", "refused".
  std::string detail;
  std::string source;
  std::string request_id;
  std::string hash;
};

// What an audit row says, before it has its place in the chain.
struct AuditEntry {
  control::Actor actor;
  control::AuditNote note;
  std::string on_behalf_of;
};

struct AuditIntegrity {
  bool ok = true;
  uint64_t checked = 0;
  std::optional<uint64_t> first_bad_seq;
  std::string head_hash;
  std::string detail;  // A sentence.
};

// The one writer of the audit log of a store. Thread-safe; writers wait for each other, because
// each row needs the hash of the one before.
class AuditLog final : public control::AuditSink {
 public:
  // Requires: one AuditLog for a store at a time. Fails as the store does.
  static Result<std::unique_ptr<AuditLog>> Create(store::Store& store, const Clock& clock);

  // A row by itself. What cannot be stored goes to the log of the program and is counted.
  void Append(const control::Actor& actor, const control::AuditNote& note) override;
  void Append(const AuditEntry& entry);

  // The writes and the row that tells of them, in one transaction; the revision. Fails as
  // Store::Commit does, and then no row is written either.
  Result<uint64_t> Commit(std::vector<store::Write> writes, const AuditEntry& entry);

  // Rows with seq in [first, last], ascending.
  Result<std::vector<AuditRow>> Read(uint64_t first, uint64_t last) const;

  // Follows the chain from the first row to the head. Reads everything: a second for 100,000 rows.
  Result<AuditIntegrity> Check() const;

  uint64_t head_seq() const;
  // Rows that could not be stored since the program started.
  uint64_t lost() const;

 private:
  struct State {
    uint64_t seq = 0;
    std::string hash;
    uint64_t lost = 0;
  };

  AuditLog(store::Store& store, const Clock& clock, State state);

  store::Store& store_;
  const Clock& clock_;
  Guarded<State> state_;
};

// A row as it is stored, and back. Fails with kDataLoss.
std::string EncodeAuditRow(const AuditRow& row);
Result<AuditRow> DecodeAuditRow(std::string_view json);

}  // namespace sluice::portal
