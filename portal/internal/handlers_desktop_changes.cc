// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "portal/internal/desktop_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;
constexpr int64_t kYear = 31'536'000;
constexpr std::array<std::string_view, 1> kKinds = {"container"};
constexpr std::array<std::string_view, 2> kWishes = {"running", "stopped"};

std::optional<std::string> ReadLayout(FieldReader& fields) {
  auto layout = fields.Text("keyboard_layout", 12);
  if (!layout) return std::nullopt;
  const bool letters = layout->size() >= 2 &&
                       std::ranges::all_of(*layout, [](char c) { return c >= 'a' && c <= 'z'; });
  if (letters) return layout;
  fields.Reject("keyboard_layout", "text", "must be an XKB layout like us, de or cn");
  return std::nullopt;
}

// Changes `idle` as far as the members are right.
void ReadIdle(FieldReader& fields, IdlePolicy& idle) {
  auto inner = fields.Object("idle");
  if (!inner) return;
  inner->Require({"stop_after_s", "gpu_keeps_alive"});
  const auto after = inner->Int("stop_after_s", {0, kYear});
  const auto gpu = inner->Bool("gpu_keeps_alive");
  inner->RejectUnknown();
  if (after) idle.stop_after = std::chrono::seconds(*after);
  if (gpu) idle.gpu_keeps_alive = *gpu;
}

void ReadGpuRequest(FieldReader& fields, ClaimRequest& request) {
  auto gpu = fields.Object("gpu");
  if (!gpu) return;
  gpu->Require({"memory_bytes"});
  request.memory = Bytes(gpu->Int("memory_bytes", {1, kMemoryMax}).value_or(0));
  if (!gpu->TakeNull("model")) request.gpu_model = gpu->Text("model", 200).value_or("");
  ReadCompute(*gpu, request);
  ReadPriority(*gpu, request);
  gpu->RejectUnknown();
}

OrProblem<Desktop> ReadNewDesktop(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"name", "template_id", "kind", "gpu", "idle"});
  Desktop desktop;
  desktop.name = fields.DisplayText("name", 200).value_or("");
  desktop.template_id = TemplateId(fields.Text("template_id", 80).value_or(""));
  (void)fields.OneOf("kind", kKinds);
  ReadGpuRequest(fields, desktop.request);
  desktop.run_for = std::chrono::seconds(fields.Int("run_for_s", {0, kYear}).value_or(0));
  ReadIdle(fields, desktop.idle);
  desktop.keyboard_layout = ReadLayout(fields).value_or("us");
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return desktop;
}

OrProblem<void> CheckTemplate(App& app, const TemplateId& id) {
  const auto templates = Templates(app);
  if (!templates) return No(templates.error());
  const auto found =
      std::ranges::find(*templates, id, [](const KnownTemplate& one) { return one.value.id; });
  if (found == templates->end()) {
    return NoField(ProblemCode::kUnknownTemplate, "/template_id", "There is no such template.");
  }
  const auto missing = MissingPrograms(found->value);
  if (missing.empty()) return {};
  return NoField(
      ProblemCode::kTemplateUnavailable,
      "/template_id",
      fmt::format(
          "The host lacks {}. Install it with: {}", missing.front().name, missing.front().install));
}

Answer Changed(App& app, int status, const OrProblem<store::Versioned<Desktop>>& desktop) {
  if (!desktop) return tl::unexpected(desktop.error());
  return JsonResponse(status, View(app).Json(*desktop), desktop->version);
}

struct DesktopPatch {
  std::optional<DesiredState> desired;
  std::optional<std::string> name;
  std::optional<Duration> run_for;
  std::optional<std::string> keyboard_layout;
  bool changes_idle = false;
  IdlePolicy idle;

  std::string Words() const {
    std::string words;
    const auto add = [&words](bool there, std::string_view word) {
      if (there) words += (words.empty() ? "" : ", ") + std::string(word);
    };
    add(desired.has_value(), desired == DesiredState::kRunning ? "start" : "stop");
    add(name.has_value(), "name");
    add(run_for.has_value(), "duration");
    add(changes_idle, "idle rule");
    add(keyboard_layout.has_value(), "keyboard");
    return words.empty() ? "nothing" : words;
  }
};

OrProblem<DesktopPatch> ReadPatch(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  DesktopPatch patch;
  if (const auto wish = fields.OneOf("desired_state", kWishes)) {
    patch.desired = ParseDesiredState(*wish);
  }
  patch.name = fields.DisplayText("name", 200);
  if (const auto seconds = fields.Int("run_for_s", {0, kYear})) {
    patch.run_for = std::chrono::seconds(*seconds);
  }
  patch.changes_idle = body->contains("idle");
  ReadIdle(fields, patch.idle);
  patch.keyboard_layout = ReadLayout(fields);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return patch;
}

// The quota that counts is its owner's, whoever starts it.
OrProblem<void> CheckMayRun(App& app, const Desktop& desktop) {
  if (desktop.desired == DesiredState::kRunning) return {};
  const auto owner = app.objects.Get<User>(desktop.owner.text());
  if (!owner) return No(owner.error());
  return CheckQuota(app, (*owner)->value, desktop.request, desktop.id);
}

OrProblem<void> Apply(App& app, const DesktopPatch& patch, Desktop& desktop) {
  if (patch.desired == DesiredState::kRunning) {
    if (auto may = CheckMayRun(app, desktop); !may) return may;
    desktop.message.clear();
  }
  if (patch.desired) desktop.desired = *patch.desired;
  if (patch.name) desktop.name = *patch.name;
  if (patch.run_for) desktop.run_for = *patch.run_for;
  if (patch.keyboard_layout) desktop.keyboard_layout = *patch.keyboard_layout;
  if (patch.changes_idle) desktop.idle = patch.idle;
  return {};
}

// The one text member of a body.
OrProblem<std::string> ReadOneText(const Call& call, std::string_view name, size_t characters) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({name});
  auto text = fields.DisplayText(name, characters);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return std::move(*text);
}

}  // namespace

Answer CreateDesktop(App& app, const Call& call) {
  auto wish = ReadNewDesktop(call);
  if (!wish) return tl::unexpected(wish.error());
  Desktop& desktop = *wish;
  if (auto good = CheckTemplate(app, desktop.template_id); !good) {
    return tl::unexpected(good.error());
  }
  if (auto good = CheckShare(app, desktop.request, "/gpu"); !good) {
    return tl::unexpected(good.error());
  }
  if (auto may = CheckPriority(call, desktop.request); !may) return tl::unexpected(may.error());
  const std::lock_guard gate(app.quota_gate);
  if (auto good = CheckQuota(app, call.caller.user, desktop.request, DesktopId()); !good) {
    return tl::unexpected(good.error());
  }
  const TimePoint now = app.clock.Now();
  desktop.id = DesktopId(NewIdText("dsk", now, app.random));
  desktop.owner = call.caller.user.id;
  desktop.reason = "Waiting to be placed.";
  desktop.created_at = now;
  desktop.state_since = now;
  std::vector<store::Write> writes = {store::Put(desktop, 0)};
  if (call.replay != nullptr) {
    writes.push_back(app.replays.Pending(*call.replay, desktop.id.text()));
  }
  const auto revision = app.Commit(call,
                                   std::move(writes),
                                   {"desktop.create",
                                    desktop.id.text(),
                                    "ok",
                                    fmt::format("{}, {}, {}",
                                                desktop.name,
                                                desktop.template_id.text(),
                                                ToText(desktop.request.memory))});
  if (!revision) return No(revision.error());
  net::Response response = JsonResponse(202, View(app).Json({desktop, *revision}), *revision);
  response.headers.Set("Location", "/v1/desktops/" + desktop.id.text());
  return response;
}

Answer UpdateDesktop(App& app, const Call& call) {
  const auto patch = ReadPatch(call);
  if (!patch) return tl::unexpected(patch.error());
  const std::lock_guard gate(app.quota_gate);
  return Changed(app,
                 200,
                 ChangeDesktop(app,
                               call,
                               {"desktop.update", call.id, "ok", patch->Words()},
                               [&](Desktop& desktop) { return Apply(app, *patch, desktop); }));
}

Answer DeleteDesktop(App& app, const Call& call) {
  const auto keep = QueryBool(call.request, "keep_home", true);
  if (!keep) return tl::unexpected(keep.error());
  const auto change = [&](Desktop& desktop) -> OrProblem<void> {
    desktop.desired = DesiredState::kDeleted;
    desktop.keep_home = *keep;
    return {};
  };
  return Changed(
      app,
      202,
      ChangeDesktop(
          app,
          call,
          {"desktop.delete", call.id, "ok", *keep ? "The home is kept." : "With its home."},
          change));
}

Answer RestartDesktop(App& app, const Call& call) {
  const std::lock_guard gate(app.quota_gate);
  const auto change = [&](Desktop& desktop) -> OrProblem<void> {
    if (auto may = CheckMayRun(app, desktop); !may) return may;
    desktop.desired = DesiredState::kRunning;
    ++desktop.restart_generation;
    desktop.message.clear();
    return {};
  };
  return Changed(
      app, 202, ChangeDesktop(app, call, {"desktop.restart", call.id, "ok", ""}, change));
}

Answer ExtendDesktop(App& app, const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"minutes"});
  const auto minutes = fields.Int("minutes", {1, 10'080});
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  const auto change = [&](Desktop& desktop) -> OrProblem<void> {
    if (desktop.run_for.count() == 0) {
      return No(ProblemCode::kStateConflict, "This desktop has no end that could be put off.");
    }
    const Duration longer = desktop.run_for + std::chrono::minutes(*minutes);
    desktop.run_for = std::min<Duration>(longer, std::chrono::seconds(kYear));
    return {};
  };
  return Changed(
      app,
      200,
      ChangeDesktop(app,
                    call,
                    {"desktop.extend", call.id, "ok", fmt::format("{} more minutes.", *minutes)},
                    change));
}

Answer KeepDesktopAlive(App& app, const Call& call) {
  const auto desktop = VisibleDesktop(app, call);
  if (!desktop) return tl::unexpected(desktop.error());
  app.viewers.Touch((*desktop)->value.id, app.clock.Now());
  app.control.Nudge();
  return JsonResponse(200, View(app).Json(**desktop), (*desktop)->version);
}

Answer MessageDesktop(App& app, const Call& call) {
  const auto text = ReadOneText(call, "text", 1'000);
  if (!text) return tl::unexpected(text.error());
  auto changed = ChangeDesktop(app,
                               call,
                               {"desktop.message", call.id, "ok", *text},
                               [&](Desktop& desktop) -> OrProblem<void> {
                                 desktop.message = *text;
                                 desktop.message_from = MessageSender::kOperator;
                                 return {};
                               });
  if (changed && app.streams != nullptr) {
    app.streams->Tell(changed->value.id, *text, call.caller.user.name);
  }
  return Changed(app, 200, changed);
}

Answer StopDesktop(App& app, const Call& call) {
  const auto reason = ReadOneText(call, "reason", 200);
  if (!reason) return tl::unexpected(reason.error());
  const std::string message =
      fmt::format("{} stopped this desktop: {}", call.caller.user.name, *reason);
  return Changed(app,
                 202,
                 ChangeDesktop(app,
                               call,
                               {"desktop.stop", call.id, "ok", *reason},
                               [&](Desktop& desktop) -> OrProblem<void> {
                                 desktop.desired = DesiredState::kStopped;
                                 desktop.message = message;
                                 desktop.message_from = MessageSender::kOperator;
                                 return {};
                               }));
}

}  // namespace sluice::portal
