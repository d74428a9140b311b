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
constexpr int64_t kShareLeast = int64_t{1} << 20;
constexpr int64_t kCardsMax = 65'535;
constexpr std::array<std::string_view, 3> kRules = {"warn", "throttle", "end"};
constexpr std::array<std::string_view, 3> kPreemptRules = {"never", "borrowed", "lower_priority"};
constexpr std::array<std::string_view, 5> kPolicies = {
    "tightest_card", "best_fit", "packing", "fgd", "sluice"};

std::string BoundText(int cards) {
  return cards == 0 ? "none" : std::to_string(cards);
}

// One rule of a pool that an admin can change.
struct Rule {
  std::string_view name;
  std::string_view words;  // In the audit log.
  std::string (*text)(const Pool& pool);
  void (*write)(JsonWriter& json, const Pool& pool);
  // Takes what the body wishes. False: the body does not name it, or names it wrongly.
  bool (*take)(FieldReader& fields, Pool& pool);
};

constexpr std::array kPoolRules = std::to_array<Rule>({
    {"placement",
     "Policy",
     [](const Pool& pool) { return std::string(ToString(pool.placement)); },
     [](JsonWriter& json, const Pool& pool) { json.Text(ToString(pool.placement)); },
     [](FieldReader& fields, Pool& pool) {
       const auto policy = fields.OneOf("placement", kPolicies);
       if (policy) pool.placement = *ParsePlacementPolicy(*policy);
       return policy.has_value();
     }},
    {"share_min_bytes",
     "Smallest share",
     [](const Pool& pool) { return ToText(pool.share_memory_min); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.share_memory_min.value()); },
     [](FieldReader& fields, Pool& pool) {
       const auto least = fields.Int("share_min_bytes", {kContextMemory.value(), kSlackMax});
       if (least) pool.share_memory_min = Bytes(*least);
       return least.has_value();
     }},
    {"share_step_bytes",
     "Step of shares",
     [](const Pool& pool) { return ToText(pool.share_memory_step); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.share_memory_step.value()); },
     [](FieldReader& fields, Pool& pool) {
       const auto step = fields.Int("share_step_bytes", {kShareLeast, kSlackMax});
       if (step) pool.share_memory_step = Bytes(*step);
       return step.has_value();
     }},
    {"compute_overcommit_percent",
     "Guarantees add up to, in % of a card",
     [](const Pool& pool) { return std::to_string(pool.compute_overcommit_percent); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.compute_overcommit_percent); },
     [](FieldReader& fields, Pool& pool) {
       const auto percent = fields.Int("compute_overcommit_percent", {100, 1'000});
       if (percent) pool.compute_overcommit_percent = static_cast<int>(*percent);
       return percent.has_value();
     }},
    {"floor_cards",
     "Cards left to shares",
     [](const Pool& pool) { return BoundText(pool.floor_cards); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.floor_cards); },
     [](FieldReader& fields, Pool& pool) {
       const auto cards = fields.Int("floor_cards", {0, kCardsMax});
       if (cards) pool.floor_cards = static_cast<int>(*cards);
       return cards.has_value();
     }},
    {"ceiling_cards",
     "Cards that may carry shares",
     [](const Pool& pool) { return BoundText(pool.ceiling_cards); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.ceiling_cards); },
     [](FieldReader& fields, Pool& pool) {
       const auto cards = fields.Int("ceiling_cards", {0, kCardsMax});
       if (cards) pool.ceiling_cards = static_cast<int>(*cards);
       return cards.has_value();
     }},
    {"bypass_rule",
     "Rule for what goes round the ledger",
     [](const Pool& pool) { return std::string(ToString(pool.bypass_rule)); },
     [](JsonWriter& json, const Pool& pool) { json.Text(ToString(pool.bypass_rule)); },
     [](FieldReader& fields, Pool& pool) {
       const auto rule = fields.OneOf("bypass_rule", kRules);
       if (rule) pool.bypass_rule = *ParseBypassRule(*rule);
       return rule.has_value();
     }},
    {"bypass_slack_bytes",
     "What may be held beyond the ledger",
     [](const Pool& pool) { return ToText(pool.bypass_slack); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.bypass_slack.value()); },
     [](FieldReader& fields, Pool& pool) {
       const auto slack = fields.Int("bypass_slack_bytes", {0, kSlackMax});
       if (slack) pool.bypass_slack = Bytes(*slack);
       return slack.has_value();
     }},
    {"strict_priority",
     "Strict priority",
     [](const Pool& pool) { return std::string(pool.strict_priority ? "on" : "off"); },
     [](JsonWriter& json, const Pool& pool) { json.Bool(pool.strict_priority); },
     [](FieldReader& fields, Pool& pool) {
       const auto strict = fields.Bool("strict_priority");
       if (strict) pool.strict_priority = *strict;
       return strict.has_value();
     }},
    {"preempt",
     "Who gives way to the first in the queue",
     [](const Pool& pool) { return std::string(ToString(pool.preempt)); },
     [](JsonWriter& json, const Pool& pool) { json.Text(ToString(pool.preempt)); },
     [](FieldReader& fields, Pool& pool) {
       const auto rule = fields.OneOf("preempt", kPreemptRules);
       if (rule) pool.preempt = *ParsePreemptRule(*rule);
       return rule.has_value();
     }},
    {"notice_s",
     "Seconds from the notice to the end or the move",
     [](const Pool& pool) { return std::to_string(pool.preempt_notice.count() / 1'000); },
     [](JsonWriter& json, const Pool& pool) { json.Int(pool.preempt_notice.count() / 1'000); },
     [](FieldReader& fields, Pool& pool) {
       const auto seconds = fields.Int("notice_s", {1, 86'400});
       if (seconds) pool.preempt_notice = Duration(*seconds * 1'000);
       return seconds.has_value();
     }},
});

// What the last change of a pool was, for whoever wants it undone. Holds as long as its row has the
// pool's version: both are written together.
std::string FormerId(std::string_view pool) {
  return fmt::format("pool-former.{}", pool);
}

std::string FormerJson(const Call& call, TimePoint now, const Pool& before, const Pool& after) {
  JsonWriter json;
  json.BeginObject().Field("by", call.caller.user.name).Key("at").Time(now);
  json.Key("former").BeginObject();
  for (const Rule& rule : kPoolRules) {
    if (rule.text(before) == rule.text(after)) continue;
    json.Key(rule.name);
    rule.write(json, before);
  }
  json.EndObject().EndObject();
  return json.Take();
}

void WriteLastChange(App& app, JsonWriter& json, const store::Versioned<Pool>& stored) {
  json.Key("last_change");
  const auto row = app.store.Get(store::Kind::kSetting, FormerId(stored.value.id.text()));
  if (row && row->version == stored.version) {
    json.Raw(row->body);
  } else {
    json.Null();
  }
}

void WritePlacement(JsonWriter& json, const control::PlacementState& placement) {
  json.Field("placement_in_force", ToString(placement.in_force))
      .Field("placement_note", placement.note);
  json.Key("placement_made_at").TimeOrNull(placement.made_at);
}

// How the pool's cards are used now.
struct CardUse {
  int64_t total = 0;
  int64_t in_service = 0;
  int64_t with_shares = 0;
  int64_t whole = 0;
  int64_t left = 0;  // To shares.
};

OrProblem<CardUse> CardUseOf(App& app, const PoolId& pool) {
  const auto gpus = app.objects.List<Gpu>();
  if (!gpus) return No(gpus.error());
  CardUse use;
  for (const auto& stored : gpus->objects) {
    const Gpu& gpu = stored->value;
    if (gpu.pool != pool) continue;
    ++use.total;
    use.in_service += OpenToShares(gpu) ? 1 : 0;
    use.with_shares += CarriesShares(gpu) ? 1 : 0;
    use.whole += IsHeldWhole(gpu) ? 1 : 0;
    use.left += OpenToShares(gpu) && !IsHeldWhole(gpu) ? 1 : 0;
  }
  return use;
}

void WriteCardUse(App& app, JsonWriter& json, const PoolId& pool) {
  const CardUse use = CardUseOf(app, pool).value_or(CardUse());
  json.Key("cards").BeginObject();
  json.Field("total", use.total).Field("in_service", use.in_service);
  json.Field("with_shares", use.with_shares).Field("whole", use.whole);
  json.Field("left_to_shares", use.left).EndObject();
}

void WritePool(App& app, JsonWriter& json, const store::Versioned<Pool>& stored) {
  const Pool& pool = stored.value;
  json.BeginObject()
      .Field("id", pool.id.text())
      .Field("resource_version", stored.version)
      .Field("name", pool.name);
  for (const Rule& rule : kPoolRules) {
    json.Key(rule.name);
    rule.write(json, pool);
  }
  WriteCardUse(app, json, pool.id);
  WritePlacement(json, app.control.Placement());
  WriteLastChange(app, json, stored);
  json.EndObject();
}

OrProblem<Stored<Pool>> KnownPool(App& app, const Call& call) {
  auto pool = app.objects.Get<Pool>(call.id);
  if (pool) return std::move(*pool);
  return No(ProblemCode::kNotFound, fmt::format("There is no pool {}.", call.id));
}

// Bounds that say nothing, or the opposite of each other, are refused where they are set; cards
// that go later are no fault of theirs.
void CheckBounds(const Pool& before, const Pool& pool, int64_t cards, FieldReader& fields) {
  const auto check = [&](std::string_view name, int was, int now) {
    if (now == was || now <= cards) return;
    const std::string has = cards == 0   ? "no card"
                            : cards == 1 ? "1 card"
                                         : fmt::format("{} cards", cards);
    fields.Reject(name, "range", fmt::format("The pool has {}: name no more, or 0 for none.", has));
  };
  check("floor_cards", before.floor_cards, pool.floor_cards);
  check("ceiling_cards", before.ceiling_cards, pool.ceiling_cards);
  if (pool.ceiling_cards == 0 || pool.floor_cards <= pool.ceiling_cards) return;
  if (pool.floor_cards != before.floor_cards) {
    fields.Reject("floor_cards",
                  "range",
                  fmt::format("At most {} cards may carry shares, so no more can be left to them: "
                              "name no more, or raise ceiling_cards.",
                              pool.ceiling_cards));
  } else if (pool.ceiling_cards != before.ceiling_cards) {
    fields.Reject("ceiling_cards",
                  "range",
                  fmt::format("{} cards are left to shares, so as many must be allowed to carry "
                              "them: name no fewer, 0 for none, or lower floor_cards.",
                              pool.floor_cards));
  }
}

// Takes what the body wishes; returns it in words.
OrProblem<std::string> TakeWishes(App& app, const Call& call, Pool& pool) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  const Pool before = pool;
  std::string words;
  for (const Rule& rule : kPoolRules) {
    if (!rule.take(fields, pool)) continue;
    words += fmt::format(" {}: {}, was {}.", rule.words, rule.text(pool), rule.text(before));
  }
  fields.RejectUnknown();
  const auto use = CardUseOf(app, pool.id);
  if (!use) return tl::unexpected(use.error());
  CheckBounds(before, pool, use->total, fields);
  if (!errors.empty()) return NoFields(std::move(errors));
  if (words.empty()) {
    return No(ProblemCode::kInvalidField, "Say what to change.");
  }
  return words.substr(1);
}

void WriteEffect(App& app, View& view, JsonWriter& json, const control::PoolEffect& effect) {
  json.BeginObject().Field("effect", ToString(effect.kind)).Field("detail", effect.detail);
  json.Key("claim_id").TextOrNull(effect.claim.text());
  json.Key("desktop_id").TextOrNull(effect.desktop.text());
  std::string name;
  std::string owner;
  if (const auto desktop = app.objects.Get<Desktop>(effect.desktop.text())) {
    name = (*desktop)->value.name;
    owner = view.UserName((*desktop)->value.owner);
  } else if (const auto claim = app.objects.Get<Claim>(effect.claim.text())) {
    name = (*claim)->value.run_command;
    owner = view.UserName((*claim)->value.user);
  }
  json.Field("name", name).Field("owner", owner).EndObject();
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
    WritePool(app, list.json(), *pools->objects[i]);
  }
  return list.Finish(pools->version, next);
}

Answer GetPool(App& app, const Call& call) {
  const auto pool = KnownPool(app, call);
  if (!pool) return tl::unexpected(pool.error());
  JsonWriter json;
  WritePool(app, json, **pool);
  return JsonResponse(200, json.Take(), (*pool)->version);
}

Answer UpdatePool(App& app, const Call& call) {
  const auto stored = KnownPool(app, call);
  if (!stored) return tl::unexpected(stored.error());
  store::Versioned<Pool> pool = **stored;
  const auto words = TakeWishes(app, call, pool.value);
  if (!words) return tl::unexpected(words.error());
  const auto wanted = IfMatch(call.request);
  if (!wanted) return tl::unexpected(wanted.error());
  if (auto same = CheckVersion(*wanted, pool.version); !same) return tl::unexpected(same.error());
  const store::Write former{store::Kind::kSetting,
                            FormerId(call.id),
                            std::nullopt,
                            FormerJson(call, app.clock.Now(), (*stored)->value, pool.value)};
  const auto revision = app.Commit(
      call, {store::Put(pool.value, pool.version), former}, {"pool.update", call.id, "ok", *words});
  if (!revision) return No(revision.error());
  pool.version = *revision;
  JsonWriter json;
  WritePool(app, json, pool);
  return JsonResponse(200, json.Take(), pool.version);
}

Answer TryPool(App& app, const Call& call) {
  const auto stored = KnownPool(app, call);
  if (!stored) return tl::unexpected(stored.error());
  Pool pool = (*stored)->value;
  if (const auto words = TakeWishes(app, call, pool); !words) return tl::unexpected(words.error());
  const auto trial = app.control.TryPool(pool);
  if (!trial) return No(trial.error());
  View view(app);
  JsonWriter json;
  json.BeginObject().Key("effects").BeginArray();
  for (const control::PoolEffect& effect : trial->effects) WriteEffect(app, view, json, effect);
  json.EndArray();
  WritePlacement(json, trial->placement);
  json.Field("largest_free_before_bytes", trial->largest_free_before.value())
      .Field("largest_free_after_bytes", trial->largest_free_after.value())
      .EndObject();
  return JsonResponse(200, json.Take());
}

}  // namespace sluice::portal
