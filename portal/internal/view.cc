// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/view.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <utility>

namespace sluice::portal {
namespace {

int64_t Seconds(Duration duration) {
  return duration.count() / 1'000;
}

struct End {
  TimePoint at;
  std::string_view why;  // "run_for" or "idle".
};

// When a desktop will be stopped without its user asking; `at` is zero when it will not.
End EndOf(const Desktop& desktop) {
  End end;
  const auto earlier = [&end](TimePoint at, std::string_view why) {
    if (end.at == TimePoint() || at < end.at) end = {at, why};
  };
  if (desktop.ready_at == TimePoint() || !IsRunning(desktop.state)) return end;
  if (desktop.run_for.count() > 0) earlier(desktop.ready_at + desktop.run_for, "run_for");
  if (desktop.idle.stop_after.count() > 0) {
    earlier(std::max(desktop.ready_at, desktop.last_input_at) + desktop.idle.stop_after, "idle");
  }
  return end;
}

}  // namespace

std::string View::UserName(const UserId& user) {
  const auto found = names_.find(user);
  if (found != names_.end()) return found->second;
  const auto read = app_.objects.Get<User>(user.text());
  return names_[user] = read ? (*read)->value.name : "(removed)";
}

const agent::CardState* View::CardOf(const GpuId& id) {
  if (!cards_) cards_ = app_.agent.Cards().value_or(std::vector<agent::CardState>());
  const auto found = std::ranges::find(*cards_, id, [](const auto& card) { return card.gpu.id; });
  return found == cards_->end() ? nullptr : &*found;
}

void View::WriteAllocations(JsonWriter& json, const Claim* claim) {
  json.Key("allocation");
  if (claim == nullptr || claim->allocations.empty()) {
    json.Null();
    return;
  }
  json.BeginArray();
  for (const Allocation& allocation : claim->allocations) {
    const auto gpu = app_.objects.Get<Gpu>(allocation.gpu.text());
    json.BeginObject()
        .Field("gpu_id", allocation.gpu.text())
        .Field("gpu_model", gpu ? (*gpu)->value.model : "")
        .Field("simulated", gpu ? (*gpu)->value.simulated : false)
        .Field("node", gpu ? (*gpu)->value.node.text() : "")
        .Field("memory_bytes", allocation.memory.value())
        .Field("guarantee_percent", WholePercent(allocation.guarantee))
        .Field("cap_percent", WholePercent(allocation.cap))
        .EndObject();
  }
  json.EndArray();
}

void View::WriteStops(JsonWriter& json, const Desktop& desktop) {
  const End end = EndOf(desktop);
  json.Key("stops_at").TimeOrNull(end.at).Field("stops_because", end.why);
}

void View::WriteQueue(JsonWriter& json, const Desktop& desktop) {
  json.Key("queue");
  std::optional<control::QueuePlace> place;
  if (desktop.state == DesktopState::kQueued && !desktop.claim.empty()) {
    place = app_.control.PlaceInQueue(desktop.claim);
  }
  if (!place) {
    json.Null();
    return;
  }
  json.BeginObject()
      .Field("position", place->position)
      .Field("waiting", place->waiting)
      .Field("reason", place->reason)
      .Field("summary", place->summary)
      .Field("over_quota", place->over_quota)
      .Key("next_likely_at")
      .TimeOrNull(place->next_likely.value_or(TimePoint()));
  WriteStartRange(json, place->start);
  json.EndObject();
}

void View::WriteStages(JsonWriter& json, const Desktop& desktop) {
  if (!usual_) usual_ = app_.control.UsualStageTimes();
  json.Key("stages").BeginArray();
  for (int i = 0; i < kLaunchStageCount; ++i) {
    const auto stage = static_cast<LaunchStage>(i);
    const auto time = std::ranges::find(desktop.stages, stage, &StageTime::stage);
    const bool known = time != desktop.stages.end();
    json.BeginObject().Field("stage", ToString(stage));
    json.Key("started_at").TimeOrNull(known ? time->started_at : TimePoint());
    json.Key("ended_at").TimeOrNull(known ? time->ended_at : TimePoint());
    const auto usual = usual_->find(stage);
    json.Key("usual_ms");
    if (usual == usual_->end() || usual->second.count() == 0) {
      json.Null();
    } else {
      json.Int(usual->second.count());
    }
    json.EndObject();
  }
  json.EndArray();
}

void WriteLoad(JsonWriter& json, const std::optional<ShareLoad>& load) {
  if (!load) {
    json.Null();
    return;
  }
  json.BeginObject()
      .Field("used_bytes", load->used.value())
      .Field("limit_bytes", load->limit.value())
      .Field("peak_bytes", load->peak.value())
      .Field("overhead_bytes", load->overhead.value())
      .Field("utilization_percent", load->utilization_percent)
      .Field("guarantee_percent", WholePercent(load->guarantee))
      .Field("cap_percent", WholePercent(load->cap))
      .Field("compute_percent", WholePercent(load->compute_used))
      .Field("waiting_percent", WholePercent(load->compute_waiting))
      .Field("processes", load->processes)
      .EndObject();
}

void View::WriteUsage(JsonWriter& json, const Desktop& desktop) {
  json.Key("usage");
  if (!IsRunning(desktop.state)) {
    json.Null();
  } else {
    WriteLoad(json, app_.usage.Of(desktop.claim));
  }
}

void View::Write(JsonWriter& json, const store::Versioned<Desktop>& stored) {
  const Desktop& desktop = stored.value;
  Stored<Claim> claim;
  if (!desktop.claim.empty()) {
    if (auto read = app_.objects.Get<Claim>(desktop.claim.text())) claim = std::move(*read);
  }
  json.BeginObject()
      .Field("id", desktop.id.text())
      .Field("resource_version", stored.version)
      .Field("name", desktop.name);
  json.Key("owner")
      .BeginObject()
      .Field("id", desktop.owner.text())
      .Field("name", UserName(desktop.owner))
      .EndObject();
  json.Field("template_id", desktop.template_id.text()).Field("kind", ToString(desktop.kind));
  json.Key("gpu");
  WriteGpuRequest(json, desktop.request);
  WriteAllocations(json, claim ? &claim->value : nullptr);
  json.Field("desired_state", ToString(desktop.desired))
      .Field("state", ToString(desktop.state))
      .Field("reason", desktop.reason);
  json.Key("state_since").TimeOrNull(desktop.state_since);
  json.Key("created_at").Time(desktop.created_at);
  json.Key("ready_at").TimeOrNull(desktop.ready_at);
  WriteStops(json, desktop);
  json.Key("idle")
      .BeginObject()
      .Field("stop_after_s", Seconds(desktop.idle.stop_after))
      .Field("gpu_keeps_alive", desktop.idle.gpu_keeps_alive)
      .EndObject();
  json.Field("run_for_s", Seconds(desktop.run_for));
  json.Field("keyboard_layout", desktop.keyboard_layout.empty() ? "us" : desktop.keyboard_layout);
  WriteQueue(json, desktop);
  WriteStages(json, desktop);
  WriteUsage(json, desktop);
  const Viewers::Now viewers = app_.viewers.Of(desktop.id);
  json.Field("viewers", viewers.viewers).Key("viewers_admin").BeginArray();
  for (const std::string& name : viewers.operators) json.Text(name);
  json.EndArray();
  json.Field("message", desktop.message)
      .Field("message_from", desktop.message.empty() ? "" : ToString(desktop.message_from))
      .Field("limits_in_force", desktop.limits_in_force)
      .Field("home_kept", desktop.keep_home)
      .EndObject();
}

std::string View::Json(const store::Versioned<Desktop>& desktop) {
  JsonWriter json;
  Write(json, desktop);
  return json.Take();
}

void View::WriteShare(JsonWriter& json, const Share& share, const Caller* caller) {
  Stored<Claim> claim;
  if (auto read = app_.objects.Get<Claim>(share.claim.text())) claim = std::move(*read);
  const bool seen =
      claim && caller != nullptr && (caller->SeesAll() || caller->user.id == claim->value.user);
  const bool is_run = claim && claim->value.owner_kind == ClaimOwner::kRun;
  std::string name;
  if (seen && is_run) name = claim->value.run_command;
  if (seen && !is_run) {
    const auto desktop = app_.objects.Get<Desktop>(claim->value.desktop.text());
    if (desktop) name = (*desktop)->value.name;
  }
  const auto load = app_.usage.Of(share.claim);
  json.BeginObject().Field("claim_id", share.claim.text());
  json.Key("desktop_id").TextOrNull(seen && !is_run ? claim->value.desktop.text() : "");
  json.Key("run_command").TextOrNull(seen && is_run ? claim->value.run_command : "");
  json.Field("owner", seen ? UserName(claim->value.user) : "").Field("name", name);
  json.Field("memory_bytes", share.memory.value()).Key("used_bytes");
  if (load) {
    json.Int(load->used.value());
  } else {
    json.Null();
  }
  json.Field("guarantee_percent", WholePercent(share.guarantee))
      .Field("cap_percent", WholePercent(share.cap));
  json.Field("compute_percent", load ? WholePercent(load->compute_used) : 0)
      .Field("waiting_percent", load ? WholePercent(load->compute_waiting) : 0);
  json.Field("priority", claim ? claim->value.request.priority : 0);
  json.Key("since").TimeOrNull(claim ? claim->value.created_at : TimePoint());
  json.Field("busy", load && load->busy()).EndObject();
}

void View::Write(JsonWriter& json, const store::Versioned<Gpu>& stored, const Caller* caller) {
  const Gpu& gpu = stored.value;
  const agent::CardState* card = CardOf(gpu.id);
  const GpuUse use = card != nullptr ? card->use : GpuUse();
  json.BeginObject()
      .Field("id", gpu.id.text())
      .Field("resource_version", stored.version)
      .Field("node", gpu.node.text())
      .Field("index", gpu.index)
      .Field("vendor", gpu.vendor)
      .Field("model", gpu.model)
      .Field("simulated", gpu.simulated)
      .Field("memory_bytes", gpu.memory.value())
      .Field("held_bytes", MemoryHeld(gpu).value())
      .Field("free_bytes", MemoryFree(gpu).value())
      .Field("used_bytes", use.memory_used.value())
      .Field("utilization_percent", use.utilization_percent)
      .Field("temperature_c", use.temperature_c)
      .Field("mode", ToString(gpu.mode))
      .Field("health", ToString(gpu.health))
      .Field("health_reason", gpu.health_reason)
      .Field("stale", gpu.health == GpuHealth::kStale);
  json.Key("last_seen_at").TimeOrNull(std::max(gpu.last_seen, use.sampled_at));
  json.Field("driver_version", gpu.driver_version);
  json.Key("shares").BeginArray();
  for (const Share& share : gpu.shares) WriteShare(json, share, caller);
  json.EndArray().EndObject();
}

void View::WriteRun(JsonWriter& json,
                    const store::Versioned<Claim>& run,
                    const std::optional<agent::PreparedShare>& prepared) {
  const Claim& claim = run.value;
  std::optional<control::QueuePlace> place;
  if (claim.phase == ClaimPhase::kPending) place = app_.control.PlaceInQueue(claim.id);
  json.BeginObject()
      .Field("id", claim.id.text())
      .Field("resource_version", run.version)
      .Field("phase", ToString(claim.phase))
      .Field("reason", place ? place->reason : claim.reason)
      .Field("position", place ? place->position : 0)
      .Field("wait_from", RunMark(claim, place))
      .Field("priority", claim.request.priority);
  WriteAllocations(json, &claim);
  json.Key("prepared");
  if (!prepared) {
    json.Null().EndObject();
    return;
  }
  json.BeginObject().Key("mounts").BeginArray();
  for (const agent::Mount& mount : prepared->mounts) {
    json.BeginObject()
        .Field("source", mount.source)
        .Field("target", mount.target)
        .Field("writable", mount.writable)
        .EndObject();
  }
  json.EndArray().Key("device_nodes").BeginArray();
  for (const std::string& node : prepared->device_nodes) json.Text(node);
  json.EndArray().Key("library_dirs").BeginArray();
  for (const std::string& folder : prepared->library_dirs) json.Text(folder);
  json.EndArray().Key("environment").BeginArray();
  for (const std::string& variable : prepared->environment) json.Text(variable);
  json.EndArray().Field("preload", prepared->preload).EndObject().EndObject();
}

std::string RunMark(const Claim& claim, const std::optional<control::QueuePlace>& place) {
  const std::string& reason = place ? place->reason : claim.reason;
  return fmt::format("{}-{}-{:x}",
                     ToString(claim.phase),
                     place ? place->position : 0,
                     std::hash<std::string>()(reason));
}

void WriteGpuRequest(JsonWriter& json, const ClaimRequest& request) {
  json.BeginObject().Field("memory_bytes", request.memory.value());
  json.Key("model").TextOrNull(request.gpu_model);
  json.Key("guarantee_percent");
  if (request.guarantee_by_memory) {
    json.Null();
  } else {
    json.Int(WholePercent(request.guarantee));
  }
  json.Field("cap_percent", WholePercent(request.cap))
      .Field("priority", request.priority)
      .EndObject();
}

void WriteStartRange(JsonWriter& json, const control::StartRange& range) {
  json.Key("start");
  if (!range.earliest) {
    json.Null();
    return;
  }
  json.BeginObject();
  json.Key("earliest_at").TimeOrNull(range.earliest.value_or(TimePoint()));
  json.Key("likely_at").TimeOrNull(range.likely.value_or(TimePoint()));
  json.Key("latest_at").TimeOrNull(range.latest.value_or(TimePoint()));
  json.EndObject();
}

void WriteUserMembers(JsonWriter& json, const User& user, uint64_t version) {
  json.Field("id", user.id.text())
      .Field("name", user.name)
      .Field("display_name", user.display_name)
      .Field("role", ToString(user.role))
      .Field("disabled", user.disabled);
  json.Key("quota")
      .BeginObject()
      .Field("desktops_max", user.quota.desktops_max)
      .Field("gpu_memory_max_bytes", user.quota.gpu_memory_max.value())
      .EndObject();
  json.Key("team_id").TextOrNull(user.team.text());
  json.Field("must_change_password", user.must_change_password);
  json.Key("created_at").Time(user.created_at);
  json.Key("last_sign_in_at").TimeOrNull(user.last_sign_in_at);
  json.Field("resource_version", version);
}

ListWriter::ListWriter() {
  json_.BeginObject().Key("items").BeginArray();
}

JsonWriter& ListWriter::EndItems() {
  if (items_open_) json_.EndArray();
  items_open_ = false;
  return json_;
}

net::Response ListWriter::Finish(uint64_t version, std::string_view next_cursor) {
  EndItems().Key("next_cursor").TextOrNull(next_cursor);
  json_.Field("resource_version", version).EndObject();
  net::Response response = JsonResponse(200, json_.Take());
  return response;
}

}  // namespace sluice::portal
