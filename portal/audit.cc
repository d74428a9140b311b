// SPDX-License-Identifier: Apache-2.0
#include "portal/audit.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "portal/internal/json_writer.h"
#include "portal/internal/secrets.h"

namespace sluice::portal {
namespace {

// Where the chain ends. Kept apart from the rows, so that cutting off the newest rows shows too.
constexpr std::string_view kHeadId = "audit-head";
constexpr size_t kPage = 512;

std::string RowId(uint64_t seq) {
  return fmt::format("{:020}", seq);
}

using TextMember = std::pair<std::string_view, std::string AuditRow::*>;
constexpr std::array<TextMember, 8> kTexts = {{{"actor", &AuditRow::actor},
                                               {"on_behalf_of", &AuditRow::on_behalf_of},
                                               {"action", &AuditRow::action},
                                               {"target", &AuditRow::target},
                                               {"outcome", &AuditRow::outcome},
                                               {"detail", &AuditRow::detail},
                                               {"source", &AuditRow::source},
                                               {"request_id", &AuditRow::request_id}}};

// The members in a fixed order: what is hashed.
std::string Canonical(const AuditRow& row) {
  JsonWriter json;
  json.BeginArray().Int(static_cast<int64_t>(row.seq)).Int(row.at.time_since_epoch().count());
  for (const auto& [name, member] : kTexts) json.Text(row.*member);
  return json.EndArray().Take();
}

std::string HashOf(const AuditRow& row, std::string_view previous_hash) {
  return Sha256Hex(std::string(previous_hash) + "\n" + Canonical(row));
}

// JSON parsing replaces what is not UTF-8, so a row must be hashed in the form it is read back in.
std::string ValidUtf8(std::string_view text) {
  std::string quoted;
  AppendJsonText(quoted, text);
  return nlohmann::json::parse(quoted, nullptr, false).get<std::string>();
}

AuditRow MakeRow(const AuditEntry& entry, uint64_t seq, TimePoint now) {
  AuditRow row;
  row.seq = seq;
  row.at = now;
  row.actor = ValidUtf8(entry.actor.name);
  row.on_behalf_of = ValidUtf8(entry.on_behalf_of);
  row.action = ValidUtf8(entry.note.action);
  row.target = ValidUtf8(entry.note.target);
  row.outcome = ValidUtf8(entry.note.outcome);
  row.detail = ValidUtf8(entry.note.detail);
  row.source = ValidUtf8(entry.actor.source);
  row.request_id = ValidUtf8(entry.actor.request_id);
  return row;
}

struct Head {
  uint64_t seq = 0;
  std::string hash;
};

std::string EncodeHead(const Head& head) {
  JsonWriter json;
  return json.BeginObject().Field("seq", head.seq).Field("hash", head.hash).EndObject().Take();
}

Result<Head> ReadHead(store::Store& store) {
  const auto object = store.Get(store::Kind::kSetting, kHeadId);
  if (!object) {
    if (object.error().code == Code::kNotFound) return Head{};
    return Fail(object.error());
  }
  const auto json = nlohmann::json::parse(object->body, nullptr, false);
  if (!json.is_object() || !json.contains("seq") || !json["seq"].is_number_unsigned() ||
      !json.contains("hash") || !json["hash"].is_string()) {
    return Fail(Code::kDataLoss, "the end of the audit log cannot be read");
  }
  return Head{json["seq"].get<uint64_t>(), json["hash"].get<std::string>()};
}

}  // namespace

std::string EncodeAuditRow(const AuditRow& row) {
  JsonWriter json;
  json.BeginObject().Field("seq", row.seq).Field("at_ms", row.at.time_since_epoch().count());
  for (const auto& [name, member] : kTexts) json.Field(name, row.*member);
  return json.Field("hash", row.hash).EndObject().Take();
}

Result<AuditRow> DecodeAuditRow(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto lost = [](std::string_view name) {
    return Fail(Code::kDataLoss, fmt::format("an audit row cannot be read: {}", name));
  };
  if (!json.is_object()) return lost("not an object");
  AuditRow row;
  if (!json.contains("seq") || !json["seq"].is_number_unsigned()) return lost("seq");
  row.seq = json["seq"].get<uint64_t>();
  if (!json.contains("at_ms") || !json["at_ms"].is_number_integer()) return lost("at_ms");
  row.at = TimePoint(Duration(json["at_ms"].get<int64_t>()));
  for (const auto& [name, member] : kTexts) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_string()) return lost(name);
    row.*member = found->get<std::string>();
  }
  if (!json.contains("hash") || !json["hash"].is_string()) return lost("hash");
  row.hash = json["hash"].get<std::string>();
  return row;
}

AuditLog::AuditLog(store::Store& store, const Clock& clock, State state)
    : store_(store), clock_(clock), state_(std::move(state)) {}

Result<std::unique_ptr<AuditLog>> AuditLog::Create(store::Store& store, const Clock& clock) {
  auto head = ReadHead(store);
  if (!head) return Fail(head.error());
  State state{.seq = head->seq, .hash = std::move(head->hash)};
  return std::unique_ptr<AuditLog>(new AuditLog(store, clock, std::move(state)));
}

Result<uint64_t> AuditLog::Commit(std::vector<store::Write> writes, const AuditEntry& entry) {
  return state_.With([&](State& state) -> Result<uint64_t> {
    AuditRow row = MakeRow(entry, state.seq + 1, clock_.Now());
    row.hash = HashOf(row, state.hash);
    writes.push_back({store::Kind::kAudit, RowId(row.seq), 0, EncodeAuditRow(row)});
    writes.push_back({store::Kind::kSetting,
                      std::string(kHeadId),
                      std::nullopt,
                      EncodeHead({row.seq, row.hash})});
    const auto revision = store_.Commit(writes);
    if (!revision) return Fail(revision.error());
    state.seq = row.seq;
    state.hash = row.hash;
    return *revision;
  });
}

void AuditLog::Append(const AuditEntry& entry) {
  const auto done = Commit({}, entry);
  if (done) return;
  state_.With([](State& state) { ++state.lost; });
  Log(LogLevel::kError,
      "audit: {} {} {} by {} could not be stored: {}",
      entry.note.action,
      entry.note.target,
      entry.note.outcome,
      entry.actor.name,
      ToString(done.error()));
}

void AuditLog::Append(const control::Actor& actor, const control::AuditNote& note) {
  Append(AuditEntry{actor, note, ""});
}

Result<std::vector<AuditRow>> AuditLog::Read(uint64_t first, uint64_t last) const {
  std::vector<AuditRow> rows;
  if (first == 0) first = 1;
  if (last < first) return rows;
  const auto listing =
      store_.List(store::Kind::kAudit, RowId(first - 1), static_cast<size_t>(last - first + 1));
  if (!listing) return Fail(listing.error());
  for (const store::Object& object : listing->objects) {
    auto row = DecodeAuditRow(object.body);
    if (!row) return Fail(row.error());
    if (row->seq > last) break;
    rows.push_back(std::move(*row));
  }
  return rows;
}

Result<AuditIntegrity> AuditLog::Check() const {
  const auto head = ReadHead(store_);
  if (!head) return Fail(head.error());
  AuditIntegrity verdict{.head_hash = head->hash};
  const auto bad = [&](uint64_t seq, std::string detail) {
    verdict.ok = false;
    verdict.first_bad_seq = seq;
    verdict.detail = std::move(detail);
    return verdict;
  };
  std::string hash;
  while (verdict.checked < head->seq) {
    const auto listing = store_.List(store::Kind::kAudit, RowId(verdict.checked), kPage);
    if (!listing) return Fail(listing.error());
    if (listing->objects.empty()) break;
    for (const store::Object& object : listing->objects) {
      const uint64_t expected = verdict.checked + 1;
      if (expected > head->seq) break;
      const auto row = DecodeAuditRow(object.body);
      if (!row) return bad(expected, fmt::format("Row {} cannot be read.", expected));
      if (object.id != RowId(expected) || row->seq != expected) {
        return bad(expected, fmt::format("Row {} is missing.", expected));
      }
      if (row->hash != HashOf(*row, hash)) {
        return bad(
            expected,
            fmt::format("Row {} or one before it was changed after it was written.", expected));
      }
      hash = row->hash;
      verdict.checked = expected;
    }
  }
  if (verdict.checked < head->seq) {
    return bad(verdict.checked + 1,
               fmt::format("The rows from {} to {} are missing.", verdict.checked + 1, head->seq));
  }
  if (hash != head->hash) return bad(head->seq, "The newest row is not the one that was written.");
  verdict.detail = fmt::format("All {} rows follow from each other.", verdict.checked);
  return verdict;
}

uint64_t AuditLog::head_seq() const {
  return state_.With([](const State& state) { return state.seq; });
}

uint64_t AuditLog::lost() const {
  return state_.With([](const State& state) { return state.lost; });
}

}  // namespace sluice::portal
