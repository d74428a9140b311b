// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/utf8.h"
#include "control/run_process.h"
#include "portal/internal/desktop_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;
constexpr int64_t kPidMax = 4'194'304;
constexpr size_t kPartsMax = 15;  // Beside the first.

// A command line as people see it: nothing that breaks lines or terminals.
std::string ShownCommand(std::string_view command) {
  std::string shown;
  size_t characters = 0;
  constexpr size_t kCharactersMax = 120;
  while (!command.empty() && characters < kCharactersMax) {
    std::string_view rest = command;
    const auto point = TakeCodePoint(rest);
    const std::string_view taken = command.substr(0, command.size() - rest.size());
    const bool plain = point && *point >= 0x20 && *point != 0x7F &&
                       CleanDisplayText("x" + std::string(taken), 16, "").has_value();
    shown += plain ? std::string(taken) : " ";
    command.remove_prefix(point ? taken.size() : 1);
    ++characters;
  }
  if (!command.empty()) shown += "…";
  return shown;
}

struct RunWish {
  Claim claim;
  bool no_wait = false;
};

OrProblem<RunWish> ReadRunWish(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"memory_bytes", "command", "pid", "no_wait"});
  RunWish wish;
  ClaimRequest& request = wish.claim.request;
  request.memory = Bytes(fields.Int("memory_bytes", {1, kMemoryMax}).value_or(0));
  if (!fields.TakeNull("model")) request.gpu_model = fields.Text("model", 200).value_or("");
  ReadCompute(fields, request);
  ReadPriority(fields, request);
  for (const int64_t memory :
       fields.Ints("also_bytes", {1, kMemoryMax}, kPartsMax).value_or(std::vector<int64_t>())) {
    ClaimRequest& part = wish.claim.more.emplace_back(request);
    part.memory = Bytes(memory);
  }
  wish.claim.run_command = ShownCommand(fields.Text("command", 1'000).value_or(""));
  wish.claim.run_pid = fields.Int("pid", {1, kPidMax}).value_or(0);
  wish.no_wait = fields.Bool("no_wait").value_or(false);
  if (wish.no_wait && !wish.claim.more.empty()) {
    fields.Reject("also_bytes", "conflict", "several shares may have to wait for each other");
  }
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return wish;
}

// Whether a share of this size starts now, and the reason if not.
OrProblem<void> CheckRoomNow(App& app, const ClaimRequest& request, const TeamId& team) {
  std::string reason = "no card has room now";
  for (const control::Offer& offer : app.control.Offers({request.memory, team})) {
    if (!request.gpu_model.empty() && offer.gpu_model != request.gpu_model) continue;
    if (offer.fits_now > 0) return {};
    reason = offer.answer;
  }
  return No(ProblemCode::kStateConflict, fmt::format("It would have to wait: {}", reason));
}

OrProblem<Stored<Claim>> VisibleRun(App& app, const Call& call) {
  auto claim = app.objects.Get<Claim>(call.id);
  const bool visible = claim && (*claim)->value.owner_kind == ClaimOwner::kRun &&
                       (call.caller.SeesAll() || (*claim)->value.user == call.caller.user.id);
  if (!visible) return No(ProblemCode::kNotFound, fmt::format("There is no run {}.", call.id));
  return std::move(*claim);
}

// A run and its process live on this machine; from elsewhere it would be somebody else's pid.
OrProblem<void> CheckLocal(const Call& call) {
  if (call.request.peer) return {};
  return No(ProblemCode::kForbidden, "Runs are made over the local socket only.");
}

}  // namespace

Answer CreateRun(App& app, const Call& call) {
  if (auto local = CheckLocal(call); !local) return tl::unexpected(local.error());
  auto wish = ReadRunWish(call);
  if (!wish) return tl::unexpected(wish.error());
  Claim& claim = wish->claim;
  if (auto may = CheckPriority(call, claim.request); !may) return tl::unexpected(may.error());
  const auto start = control::ProcessStart(claim.run_pid);
  if (!start) {
    return NoField(ProblemCode::kInvalidField,
                   "/pid",
                   fmt::format("There is no process {} on this machine.", claim.run_pid));
  }
  claim.run_pid_start = *start;
  if (auto good = CheckShare(app, claim.request, ""); !good) return tl::unexpected(good.error());
  for (const ClaimRequest& part : claim.more) {
    if (auto good = CheckShare(app, part, ""); !good) return tl::unexpected(good.error());
  }
  if (wish->no_wait) {
    if (auto room = CheckRoomNow(app, claim.request, call.caller.user.team); !room)
      return tl::unexpected(room.error());
  }
  const TimePoint now = app.clock.Now();
  claim.id = ClaimId(NewIdText("clm", now, app.random));
  claim.owner_kind = ClaimOwner::kRun;
  claim.user = call.caller.user.id;
  claim.team = call.caller.user.team;
  claim.reason = "Waiting to be placed.";
  claim.created_at = now;
  claim.queued_since = now;
  std::vector<store::Write> writes = {store::Put(claim, 0)};
  if (call.replay != nullptr) {
    writes.push_back(app.replays.Pending(*call.replay, claim.id.text()));
  }
  const auto revision =
      app.Commit(call,
                 std::move(writes),
                 {"run.create",
                  claim.id.text(),
                  "ok",
                  fmt::format("{}: {}", ToText(claim.request.memory), claim.run_command)});
  if (!revision) return No(revision.error());
  JsonWriter json;
  View(app).WriteRun(json, {claim, *revision}, std::nullopt);
  net::Response response = JsonResponse(202, json.Take());
  response.headers.Set("Location", "/v1/runs/" + claim.id.text());
  return response;
}

Answer GetRun(App& app, const Call& call) {
  const auto wait = QueryInt(call.request, "wait_s", {0, 20}, 0);
  if (!wait) return tl::unexpected(wait.error());
  const auto run = VisibleRun(app, call);
  if (!run) return tl::unexpected(run.error());
  JsonWriter json;
  View(app).WriteRun(json, **run, std::nullopt);
  return JsonResponse(200, json.Take(), (*run)->version);
}

Answer StartRun(App& app, const Call& call) {
  if (auto local = CheckLocal(call); !local) return tl::unexpected(local.error());
  const auto run = VisibleRun(app, call);
  if (!run) return tl::unexpected(run.error());
  const auto prepared = app.control.StartRun((*run)->value.id, call.request.peer->uid);
  if (!prepared) return No(prepared.error());
  app.audit.Append(call.Actor(), {"run.start", call.id, "ok", (*run)->value.run_command});
  const auto committed = VisibleRun(app, call);
  if (!committed) return tl::unexpected(committed.error());
  JsonWriter json;
  View(app).WriteRun(json, **committed, *prepared);
  return JsonResponse(200, json.Take());
}

Answer DeleteRun(App& app, const Call& call) {
  const auto run = VisibleRun(app, call);
  if (!run) return tl::unexpected(run.error());
  const auto released = app.control.Release((*run)->value.id, "Given back.");
  if (!released) return No(released.error());
  app.audit.Append(call.Actor(), {"run.delete", call.id, "ok", (*run)->value.run_command});
  return net::Response{.status = 204};
}

}  // namespace sluice::portal
