// SPDX-License-Identifier: Apache-2.0
// Why a desktop has no share yet, and another share for one that waits.
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <string_view>

#include "portal/internal/desktop_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;

std::string_view AnswerWord(control::Explained::Answer answer) {
  switch (answer) {
    case control::Explained::Answer::kNow:
      return "starts now";
    case control::Explained::Answer::kWaits:
      return "waits";
    case control::Explained::Answer::kOverQuota:
      return "over quota";
    case control::Explained::Answer::kNever:
      return "never";
  }
  return "";
}

void WriteAlternative(JsonWriter& json, const control::Substitute& other) {
  json.BeginObject().Field("words", other.words).Field("keeps_place", other.keeps_place);
  json.Key("gpu");
  WriteGpuRequest(json, other.request);
  json.EndObject();
}

void WriteExplained(JsonWriter& json, const control::Explained& explained) {
  json.BeginObject()
      .Field("answer", AnswerWord(explained.answer))
      .Field("reason", explained.reason)
      .Field("summary", explained.summary);
  json.Key("cards").BeginArray();
  for (const control::CardAnswer& card : explained.cards) {
    json.BeginObject()
        .Field("gpu_id", card.gpu.text())
        .Field("node", card.node.text())
        .Field("index", card.index)
        .Field("model", card.model)
        .Field("simulated", card.simulated)
        .Field("fits", card.fits)
        .Field("words", card.words)
        .EndObject();
  }
  json.EndArray().Key("alternatives").BeginArray();
  for (const control::Substitute& other : explained.alternatives) WriteAlternative(json, other);
  json.EndArray().EndObject();
}

struct Wish {
  ClaimRequest share;
  bool names_model = false;
};

OrProblem<Wish> ReadWish(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"memory_bytes"});
  Wish wish;
  wish.share.memory = Bytes(fields.Int("memory_bytes", {1, kMemoryMax}).value_or(0));
  wish.names_model = body->contains("model");
  if (!fields.TakeNull("model")) wish.share.gpu_model = fields.Text("model", 200).value_or("");
  ReadCompute(fields, wish.share);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return wish;
}

// The claim's row with the new wish, if the desktop has one that waits.
OrProblem<std::vector<store::Write>> ClaimWrites(App& app, const Desktop& desktop) {
  std::vector<store::Write> writes;
  if (desktop.claim.empty()) return writes;
  const auto claim = app.objects.Get<Claim>(desktop.claim.text());
  if (!claim) {
    if (claim.error().code == Code::kNotFound) return writes;
    return No(claim.error());
  }
  const Claim& held = (*claim)->value;
  if (held.phase == ClaimPhase::kReserved || held.phase == ClaimPhase::kCommitted) {
    return No(ProblemCode::kStateConflict, "It has its share by now.");
  }
  if (held.phase != ClaimPhase::kPending) return writes;
  const Claim asked = control::AskInstead(held, desktop.request, app.clock.Now());
  writes.push_back(store::Put(asked, (*claim)->version));
  return writes;
}

}  // namespace

Answer ExplainDesktop(App& app, const Call& call) {
  const auto stored = VisibleDesktop(app, call);
  if (!stored) return tl::unexpected(stored.error());
  const Desktop& desktop = (*stored)->value;
  const auto owner = app.objects.Get<User>(desktop.owner.text());
  control::ExplainQuestion question{
      .request = desktop.request, .team = owner ? (*owner)->value.team : TeamId(), .claim = {}};
  if (desktop.state == DesktopState::kQueued) question.claim = desktop.claim;
  const auto explained = app.control.Explain(question);
  if (!explained) return No(explained.error());
  JsonWriter json;
  WriteExplained(json, *explained);
  return JsonResponse(200, json.Take());
}

Answer AskInstead(App& app, const Call& call) {
  const auto wish = ReadWish(call);
  if (!wish) return tl::unexpected(wish.error());
  const std::lock_guard gate(app.quota_gate);
  const auto change = [&](Desktop& desktop) -> OrProblem<std::vector<store::Write>> {
    if (IsRunning(desktop.state)) {
      return No(ProblemCode::kStateConflict, "It has its share by now.");
    }
    ClaimRequest& request = desktop.request;
    request.memory = wish->share.memory;
    request.guarantee = wish->share.guarantee;
    request.guarantee_by_memory = wish->share.guarantee_by_memory;
    request.cap = wish->share.cap;
    if (wish->names_model) request.gpu_model = wish->share.gpu_model;
    if (auto good = CheckShare(app, request, ""); !good) return tl::unexpected(good.error());
    const auto owner = app.objects.Get<User>(desktop.owner.text());
    if (!owner) return No(owner.error());
    if (auto may = CheckQuota(app, (*owner)->value, request, desktop.id); !may) {
      return tl::unexpected(may.error());
    }
    desktop.desired = DesiredState::kRunning;
    return ClaimWrites(app, desktop);
  };
  const auto desktop = ChangeDesktopBeside(
      app, call, {"desktop.ask", call.id, "ok", ShareText(wish->share)}, change);
  if (!desktop) return tl::unexpected(desktop.error());
  return JsonResponse(200, View(app).Json(*desktop), desktop->version);
}

}  // namespace sluice::portal
