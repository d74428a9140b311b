// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <utility>

#include "portal/internal/audit_view.h"
#include "portal/internal/handlers.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr size_t kReadRows = 512;
constexpr size_t kTextMax = 200;
constexpr std::array<std::string_view, 2> kFormats = {"csv", "jsonl"};

struct Filter {
  std::string actor;
  std::string action;
  std::string target;
  std::string outcome;
  std::string text;  // Lower case.
  std::optional<TimePoint> since;
  std::optional<TimePoint> until;

  bool Admits(const AuditRow& row) const;
};

// Lower case of ASCII only: what people search for here are names and ids.
std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool Filter::Admits(const AuditRow& row) const {
  if (!actor.empty() && row.actor != actor) return false;
  if (!target.empty() && row.target != target) return false;
  if (!outcome.empty() && row.outcome != outcome) return false;
  if (!action.empty() && row.action != action && !row.action.starts_with(action + ".")) {
    return false;
  }
  if (since && row.at < *since) return false;
  if (until && row.at >= *until) return false;
  if (text.empty()) return true;
  const auto has = [this](const std::string& field) {
    return Lower(field).find(text) != std::string::npos;
  };
  return has(row.actor) || has(row.action) || has(row.target) || has(row.detail);
}

OrProblem<Filter> ReadFilter(const net::Request& request) {
  Filter filter;
  const std::array<std::pair<std::string_view, std::string*>, 5> texts = {
      {{"actor", &filter.actor},
       {"action", &filter.action},
       {"target", &filter.target},
       {"outcome", &filter.outcome},
       {"q", &filter.text}}};
  for (const auto& [name, member] : texts) {
    const std::string_view value = request.Query(name);
    if (CountCharacters(value) > kTextMax) {
      return NoField(ProblemCode::kBadRequest, "?" + std::string(name), "The text is too long.");
    }
    *member = value;
  }
  filter.text = Lower(filter.text);
  const auto since = QueryTime(request, "since");
  if (!since) return tl::unexpected(since.error());
  const auto until = QueryTime(request, "until");
  if (!until) return tl::unexpected(until.error());
  filter.since = *since;
  filter.until = *until;
  return filter;
}

// The row before which a page begins, from its cursor.
OrProblem<uint64_t> BeginBefore(const PageRequest& page, uint64_t head) {
  if (page.after.empty()) return head + 1;
  uint64_t before = 0;
  const char* end = page.after.data() + page.after.size();
  const auto [at, error] = std::from_chars(page.after.data(), end, before);
  if (error != std::errc() || at != end || before == 0) {
    return NoField(
        ProblemCode::kInvalidField, "?cursor", "The cursor is not one that a page gave.");
  }
  return std::min(before, head + 1);
}

}  // namespace

Answer ListAuditEvents(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto filter = ReadFilter(call.request);
  if (!filter) return tl::unexpected(filter.error());
  const auto begin = BeginBefore(*page, app.audit.head_seq());
  if (!begin) return tl::unexpected(begin.error());
  const uint64_t version = app.store.Version();
  ListWriter list;
  size_t count = 0;
  uint64_t last = 0;
  for (uint64_t before = *begin; before > 1;) {
    const uint64_t first = before > kReadRows ? before - kReadRows : 1;
    const auto rows = app.audit.Read(first, before - 1);
    if (!rows) return No(rows.error());
    for (auto row = rows->rbegin(); row != rows->rend(); ++row) {
      if (!filter->Admits(*row)) continue;
      if (count++ == page->limit) return list.Finish(version, CursorFor(std::to_string(last)));
      WriteAuditRow(list.json(), *row);
      last = row->seq;
    }
    before = first;
  }
  return list.Finish(version);
}

Answer ExportAuditEvents(App& app, const Call& call) {
  const auto format = QueryWord(call.request, "format", kFormats, "");
  if (!format) return tl::unexpected(format.error());
  if (format->empty()) return NoField(ProblemCode::kBadRequest, "?format", "format is missing.");
  const auto filter = ReadFilter(call.request);
  if (!filter) return tl::unexpected(filter.error());
  const bool csv = *format == "csv";
  std::string text = csv ? AuditCsvHead() : "";
  const uint64_t head = app.audit.head_seq();
  for (uint64_t first = 1; first <= head; first += kReadRows) {
    const auto rows = app.audit.Read(first, std::min(head, first + kReadRows - 1));
    if (!rows) return No(rows.error());
    for (const AuditRow& row : *rows) {
      if (!filter->Admits(row)) continue;
      if (csv) {
        AppendAuditCsv(text, row);
      } else {
        JsonWriter json;
        WriteAuditRow(json, row);
        text += json.text();
        text += '\n';
      }
    }
  }
  app.audit.Append(call.Actor(), {"audit.export", "", "ok", *format});
  net::Response response;
  response.headers.Set("Content-Type", csv ? "text/csv; charset=utf-8" : "application/jsonl");
  response.headers.Set("Content-Disposition",
                       fmt::format("attachment; filename=\"sluice-audit.{}\"", *format));
  response.body = std::move(text);
  return response;
}

Answer CheckAuditIntegrity(App& app, const Call&) {
  const auto verdict = app.audit.Check();
  if (!verdict) return No(verdict.error());
  JsonWriter json;
  json.BeginObject().Field("ok", verdict->ok).Field("checked", verdict->checked);
  json.Key("first_bad_seq");
  if (verdict->first_bad_seq) {
    json.Int(static_cast<int64_t>(*verdict->first_bad_seq));
  } else {
    json.Null();
  }
  json.Field("head_hash", verdict->head_hash).Field("detail", verdict->detail).EndObject();
  return JsonResponse(200, json.Take());
}

}  // namespace sluice::portal
