// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kPeopleMax = 10'000;

void WriteCards(JsonWriter& json, std::string_view name, const std::vector<Allocation>& cards) {
  json.Key(name).BeginArray();
  for (const Allocation& part : cards) json.Text(part.gpu.text());
  json.EndArray();
}

// Leaves the object open.
void WriteMove(App& app, JsonWriter& json, const control::PlannedMove& move) {
  Bytes memory;
  for (const Allocation& part : move.to) memory += part.memory;
  json.BeginObject()
      .Field("desktop_id", move.desktop.text())
      .Field("name", move.desktop_name)
      .Field("owner", View(app).UserName(move.user))
      .Field("memory_bytes", memory.value());
  WriteCards(json, "from_gpu_ids", move.from);
  WriteCards(json, "to_gpu_ids", move.to);
}

net::Response PlanResponse(App& app, const control::ConsolidationPlan& plan) {
  JsonWriter json;
  json.BeginObject().Key("moves").BeginArray();
  for (const control::PlannedMove& move : plan.moves) {
    WriteMove(app, json, move);
    json.EndObject();
  }
  json.EndArray().Key("freed_gpu_ids").BeginArray();
  for (const GpuId& card : plan.freed) json.Text(card.text());
  json.EndArray()
      .Field("people", plan.people)
      .Field("memory_bytes", plan.memory.value())
      .Field("withdrawn", plan.withdrawn)
      .Field("stay", plan.stay);
  json.Key("at").TimeOrNull(plan.at);
  json.EndObject();
  return JsonResponse(200, json.Take());
}

std::string WordsFor(const control::ConsolidationPlan& plan) {
  return fmt::format("{} desktops of {} people move; {} cards become whole.",
                     plan.moves.size(),
                     plan.people,
                     plan.freed.size());
}

}  // namespace

Answer ConsolidatePool(App& app, const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"people_max", "apply"});
  const control::ConsolidationWish wish{
      .pool = PoolId(call.id),
      .people_max = static_cast<int>(fields.Int("people_max", {0, kPeopleMax}).value_or(0)),
      .apply = fields.Bool("apply").value_or(false)};
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  const auto plan = app.control.Consolidate(wish);
  if (!plan) return No(plan.error());
  if (wish.apply && !plan->moves.empty()) {
    app.audit.Append(call.Actor(), {"pool.consolidate", call.id, "ok", WordsFor(*plan)});
  }
  return PlanResponse(app, *plan);
}

Answer UndoConsolidation(App& app, const Call& call) {
  const auto plan = app.control.UndoConsolidation(PoolId(call.id));
  if (!plan) return No(plan.error());
  app.audit.Append(call.Actor(),
                   {"pool.consolidation_undo",
                    call.id,
                    "ok",
                    fmt::format("{} moves are called off; {} desktops move back; {} stay.",
                                plan->withdrawn,
                                plan->moves.size(),
                                plan->stay)});
  return PlanResponse(app, *plan);
}

Answer GetConsolidation(App& app, const Call& call) {
  const auto moves = app.control.MovesNow(PoolId(call.id));
  if (!moves) return No(moves.error());
  bool can_undo = false;
  JsonWriter json;
  json.BeginObject().Key("moves").BeginArray();
  for (const control::MoveNow& one : *moves) {
    can_undo = can_undo || !one.back;
    WriteMove(app, json, one.move);
    json.Field("done", one.done).Field("back", one.back);
    json.Key("at").TimeOrNull(one.at);
    json.EndObject();
  }
  json.EndArray().Field("can_undo", can_undo).EndObject();
  return JsonResponse(200, json.Take());
}

}  // namespace sluice::portal
