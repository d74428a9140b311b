// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kSlackMax = int64_t{1} << 50;
constexpr std::array<std::string_view, 3> kRules = {"warn", "throttle", "end"};

void WritePool(JsonWriter& json, const store::Versioned<Pool>& stored) {
  const Pool& pool = stored.value;
  json.BeginObject()
      .Field("id", pool.id.text())
      .Field("resource_version", stored.version)
      .Field("name", pool.name)
      .Field("share_min_bytes", pool.share_memory_min.value())
      .Field("share_step_bytes", pool.share_memory_step.value())
      .Field("bypass_rule", ToString(pool.bypass_rule))
      .Field("bypass_slack_bytes", pool.bypass_slack.value())
      .Field("strict_priority", pool.strict_priority)
      .EndObject();
}

OrProblem<Stored<Pool>> KnownPool(App& app, const Call& call) {
  auto pool = app.objects.Get<Pool>(call.id);
  if (pool) return std::move(*pool);
  return No(ProblemCode::kNotFound, fmt::format("There is no pool {}.", call.id));
}

// Takes what the body wishes; returns it in words.
OrProblem<std::string> TakeWishes(const Call& call, Pool& pool) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  std::string words;
  if (const auto rule = fields.OneOf("bypass_rule", kRules)) {
    pool.bypass_rule = *ParseBypassRule(*rule);
    words += fmt::format(" Rule for what goes round the ledger: {}.", *rule);
  }
  if (const auto slack = fields.Int("bypass_slack_bytes", {0, kSlackMax})) {
    pool.bypass_slack = Bytes(*slack);
    words += fmt::format(" It may hold {} beyond it.", ToText(pool.bypass_slack));
  }
  if (const auto strict = fields.Bool("strict_priority")) {
    pool.strict_priority = *strict;
    words += fmt::format(" Strict priority: {}.", *strict ? "on" : "off");
  }
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  if (words.empty()) {
    return No(ProblemCode::kInvalidField, "Say what to change.");
  }
  return words.substr(1);
}

}  // namespace

Answer ListPools(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto pools = app.objects.List<Pool>(page->after, page->limit + 1);
  if (!pools) return No(pools.error());
  ListWriter list;
  std::string next;
  for (size_t i = 0; i < pools->objects.size(); ++i) {
    if (i == page->limit) {
      next = CursorFor(pools->objects[i - 1]->value.id.text());
      break;
    }
    WritePool(list.json(), *pools->objects[i]);
  }
  return list.Finish(pools->version, next);
}

Answer GetPool(App& app, const Call& call) {
  const auto pool = KnownPool(app, call);
  if (!pool) return tl::unexpected(pool.error());
  JsonWriter json;
  WritePool(json, **pool);
  return JsonResponse(200, json.Take(), (*pool)->version);
}

Answer UpdatePool(App& app, const Call& call) {
  const auto stored = KnownPool(app, call);
  if (!stored) return tl::unexpected(stored.error());
  store::Versioned<Pool> pool = **stored;
  const auto words = TakeWishes(call, pool.value);
  if (!words) return tl::unexpected(words.error());
  const auto wanted = IfMatch(call.request);
  if (!wanted) return tl::unexpected(wanted.error());
  if (auto same = CheckVersion(*wanted, pool.version); !same) return tl::unexpected(same.error());
  const auto revision = app.Commit(
      call, {store::Put(pool.value, pool.version)}, {"pool.update", call.id, "ok", *words});
  if (!revision) return No(revision.error());
  pool.version = *revision;
  JsonWriter json;
  WritePool(json, pool);
  return JsonResponse(200, json.Take(), pool.version);
}

}  // namespace sluice::portal
