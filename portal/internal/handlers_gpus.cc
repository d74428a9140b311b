// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "portal/internal/desktop_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr std::array<std::string_view, 2> kModes = {"shared", "cordoned"};
constexpr int kCommitTries = 8;

struct Waiting {
  Stored<Claim> claim;
  control::QueuePlace place;
};

// Everybody who waits, in the order of service.
Result<std::vector<Waiting>> Queue(App& app) {
  const auto claims = app.objects.List<Claim>();
  if (!claims) return Fail(claims.error());
  std::vector<Waiting> waiting;
  for (const auto& claim : claims->objects) {
    if (claim->value.phase != ClaimPhase::kPending) continue;
    if (auto place = app.control.PlaceInQueue(claim->value.id)) {
      waiting.push_back({claim, std::move(*place)});
    }
  }
  std::ranges::sort(waiting, [](const Waiting& a, const Waiting& b) {
    if (a.place.position != b.place.position) return a.place.position < b.place.position;
    return a.claim->value.id < b.claim->value.id;
  });
  return waiting;
}

// What cards are ordered by, and what a page goes on after: machine, place in it, id.
std::string PlaceOf(const Gpu& gpu) {
  return fmt::format("{}\n{:010}\n{}", gpu.node.text(), gpu.index, gpu.id.text());
}

void WriteWaiting(JsonWriter& json, const Waiting& waiting, bool seen, const std::string& owner) {
  const Claim& claim = waiting.claim->value;
  json.BeginObject().Field("claim_id", claim.id.text());
  json.Key("desktop_id").TextOrNull(seen ? claim.desktop.text() : "");
  json.Key("run_command").TextOrNull(seen ? claim.run_command : "");
  json.Field("owner", seen ? owner : "")
      .Field("position", waiting.place.position)
      .Field("reason", waiting.place.reason)
      .Field("summary", waiting.place.summary);
  json.Key("next_likely_at").TimeOrNull(waiting.place.next_likely.value_or(TimePoint()));
  WriteStartRange(json, waiting.place.start);
  json.Key("queued_since").TimeOrNull(claim.queued_since);
  json.Field("memory_bytes", claim.request.memory.value()).EndObject();
}

}  // namespace

Answer ListGpus(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto gpus = app.objects.List<Gpu>();
  if (!gpus) return No(gpus.error());
  std::map<std::string, Stored<Gpu>> ordered;
  for (const auto& gpu : gpus->objects) ordered.emplace(PlaceOf(gpu->value), gpu);
  View view(app);
  ListWriter list;
  std::string next;
  size_t count = 0;
  for (auto at = ordered.upper_bound(page->after); at != ordered.end(); ++at) {
    if (count++ == page->limit) {
      next = CursorFor(std::prev(at)->first);
      break;
    }
    view.Write(list.json(), *at->second, &call.caller);
  }
  return list.Finish(gpus->version, next);
}

Answer GetGpu(App& app, const Call& call) {
  const auto gpu = app.objects.Get<Gpu>(call.id);
  if (!gpu) return No(ProblemCode::kNotFound, fmt::format("There is no card {}.", call.id));
  JsonWriter json;
  View(app).Write(json, **gpu, &call.caller);
  return JsonResponse(200, json.Take(), (*gpu)->version);
}

Answer UpdateGpu(App& app, const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"mode"});
  const auto word = fields.OneOf("mode", kModes);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  const auto wanted = IfMatch(call.request);
  if (!wanted) return tl::unexpected(wanted.error());
  const auto stored = app.objects.Get<Gpu>(call.id);
  if (!stored) return No(ProblemCode::kNotFound, fmt::format("There is no card {}.", call.id));
  if (auto same = CheckVersion(*wanted, (*stored)->version); !same) {
    return tl::unexpected(same.error());
  }
  store::Versioned<Gpu> gpu = **stored;
  if (gpu.value.mode != GpuMode::kShared && gpu.value.mode != GpuMode::kCordoned) {
    return No(ProblemCode::kStateConflict,
              fmt::format("The card is {} now.", ToString(gpu.value.mode)));
  }
  gpu.value.mode = *ParseGpuMode(*word);
  const auto revision = app.Commit(
      call, {store::Put(gpu.value, gpu.version)}, {"gpu.update", call.id, "ok", "Mode " + *word});
  if (!revision) return No(revision.error());
  gpu.version = *revision;
  JsonWriter json;
  View(app).Write(json, gpu, &call.caller);
  return JsonResponse(200, json.Take(), gpu.version);
}

Answer ListQueue(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const uint64_t version = app.store.Version();
  const auto queue = Queue(app);
  if (!queue) return No(queue.error());
  View view(app);
  ListWriter list;
  // The cursor is the claim after which the page before ended. If that one is served meanwhile,
  // the page begins anew: a queue has no place where it stood.
  auto from = std::ranges::find(
      *queue, page->after, [](const Waiting& one) { return one.claim->value.id.text(); });
  from = from == queue->end() ? queue->begin() : std::next(from);
  std::string next;
  size_t count = 0;
  for (auto at = from; at != queue->end(); ++at) {
    const Claim& claim = at->claim->value;
    if (count++ == page->limit) {
      next = CursorFor(std::prev(at)->claim->value.id.text());
      break;
    }
    const bool seen = call.caller.SeesAll() || claim.user == call.caller.user.id;
    WriteWaiting(list.json(), *at, seen, seen ? view.UserName(claim.user) : "");
  }
  return list.Finish(version, next);
}

Answer LeaveQueue(App& app, const Call& call) {
  const auto absent = [&call] {
    return No(ProblemCode::kNotFound, fmt::format("Nobody waits as {}.", call.id));
  };
  const auto claim = app.objects.Get<Claim>(call.id);
  if (!claim) return absent();
  const Claim& value = (*claim)->value;
  if (value.user != call.caller.user.id && !call.caller.SeesAll()) return absent();
  if (value.phase != ClaimPhase::kPending && value.phase != ClaimPhase::kReserved) {
    return No(ProblemCode::kStateConflict,
              fmt::format("It does not wait any more: it is {}.", ToString(value.phase)));
  }
  const std::string owner = OnBehalfOf(app, call, value.user);
  if (value.owner_kind == ClaimOwner::kRun) {
    const auto released = app.control.Release(
        value.id, fmt::format("{} took it out of the queue.", call.caller.user.name));
    if (!released) return No(released.error());
    app.audit.Append({call.Actor(), {"queue.leave", call.id, "ok", value.run_command}, owner});
    return net::Response{.status = 204};
  }
  for (int left = kCommitTries;; --left) {
    const auto desktop = app.objects.Get<Desktop>(value.desktop.text());
    if (!desktop) return absent();
    Desktop stopped = (*desktop)->value;
    if (stopped.desired == DesiredState::kRunning) stopped.desired = DesiredState::kStopped;
    const auto done = app.Commit(call,
                                 {store::Put(stopped, (*desktop)->version)},
                                 {"queue.leave", stopped.id.text(), "ok", ""},
                                 owner);
    if (done) return net::Response{.status = 204};
    if (done.error().code != Code::kAborted || left <= 1) return No(done.error());
  }
}

}  // namespace sluice::portal
