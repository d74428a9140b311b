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

constexpr std::array<std::string_view, 2> kOwners = {"me", "all"};
constexpr std::array<std::string_view, 2> kModes = {"control", "view"};

struct TicketWish {
  std::string mode;
  std::string reason;
};

OrProblem<TicketWish> ReadTicketWish(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"mode"});
  TicketWish wish;
  wish.mode = fields.OneOf("mode", kModes).value_or("");
  wish.reason = fields.DisplayText("reason", 200).value_or("");
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return wish;
}

// What of somebody else's desktop may be opened, and how.
OrProblem<void> CheckForeignTicket(const TicketWish& wish) {
  if (wish.mode != "view") {
    return No(ProblemCode::kForbidden, "Only its user may control a desktop. Ask for mode view.");
  }
  if (wish.reason.empty()) {
    return NoField(ProblemCode::kInvalidField,
                   "/reason",
                   "Say why: the desktop's user and the audit log will see it.");
  }
  return {};
}

bool CanBeOpened(DesktopState state) {
  return state == DesktopState::kReady || state == DesktopState::kConnected ||
         state == DesktopState::kIdleWarned || state == DesktopState::kStarting;
}

}  // namespace

Answer ListDesktops(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto owner = QueryWord(call.request, "owner", kOwners, "me");
  if (!owner) return tl::unexpected(owner.error());
  const bool all = *owner == "all";
  if (all && !call.caller.SeesAll()) {
    return No(ProblemCode::kForbidden, "Only operators see everybody's desktops.");
  }
  // One more than the page says whether there is another; with a filter all must be looked at.
  const auto desktops = app.objects.List<Desktop>(page->after, all ? page->limit + 1 : 0);
  if (!desktops) return No(desktops.error());
  View view(app);
  ListWriter list;
  size_t count = 0;
  std::string last;
  std::string next;
  for (const auto& stored : desktops->objects) {
    if (!all && stored->value.owner != call.caller.user.id) continue;
    if (count++ == page->limit) {
      next = CursorFor(last);
      break;
    }
    view.Write(list.json(), *stored);
    last = stored->value.id.text();
  }
  return list.Finish(desktops->version, next);
}

Answer GetDesktop(App& app, const Call& call) {
  const auto desktop = VisibleDesktop(app, call);
  if (!desktop) return tl::unexpected(desktop.error());
  return JsonResponse(200, View(app).Json(**desktop), (*desktop)->version);
}

Answer ListDesktopProcesses(App& app, const Call& call) {
  const auto desktop = VisibleDesktop(app, call);
  if (!desktop) return tl::unexpected(desktop.error());
  ListWriter list;
  const ClaimId& claim = (*desktop)->value.claim;
  if (!claim.empty()) {
    const auto usage = app.agent.Usage(claim);
    if (!usage && usage.error().code != Code::kNotFound) return No(usage.error());
    if (usage) {
      for (const agent::ShareProcess& process : usage->processes) {
        list.json()
            .BeginObject()
            .Field("inner_pid", process.inner_pid)
            .Field("command", process.command)
            .Field("memory_bytes", process.memory.value())
            .EndObject();
      }
    }
  }
  return list.Finish((*desktop)->version);
}

Answer GetDesktopLog(App& app, const Call& call) {
  const auto stored = VisibleDesktop(app, call);
  if (!stored) return tl::unexpected(stored.error());
  const Desktop& desktop = (*stored)->value;
  std::string text = fmt::format("desktop {} ({})\ntemplate {}, {} of GPU memory\ncreated {}\n",
                                 desktop.id.text(),
                                 desktop.name,
                                 desktop.template_id.text(),
                                 ToText(desktop.request.memory),
                                 ToRfc3339(desktop.created_at));
  for (const StageTime& stage : desktop.stages) {
    if (stage.started_at == TimePoint()) continue;
    const bool ended = stage.ended_at != TimePoint();
    text +=
        fmt::format("{} {} {}\n",
                    ToRfc3339(stage.started_at),
                    ToString(stage.stage),
                    ended ? fmt::format("took {} ms", (stage.ended_at - stage.started_at).count())
                          : "not finished");
  }
  text += fmt::format(
      "{} {}: {}\n", ToRfc3339(desktop.state_since), ToString(desktop.state), desktop.reason);
  if (!desktop.limits_in_force.empty()) {
    text += fmt::format("CPU and memory limits: {}\n", desktop.limits_in_force);
  }
  net::Response response;
  response.headers.Set("Content-Type", "text/plain; charset=utf-8");
  response.body = std::move(text);
  return response;
}

Answer CreateTicket(App& app, const Call& call) {
  const auto wish = ReadTicketWish(call);
  if (!wish) return tl::unexpected(wish.error());
  const auto stored = VisibleDesktop(app, call);
  if (!stored) return tl::unexpected(stored.error());
  const Desktop& desktop = (*stored)->value;
  const bool foreign = desktop.owner != call.caller.user.id;
  if (foreign) {
    if (auto allowed = CheckForeignTicket(*wish); !allowed) {
      return tl::unexpected(allowed.error());
    }
  }
  if (!CanBeOpened(desktop.state)) {
    return No(ProblemCode::kStateConflict,
              fmt::format("The desktop is {}: {}", ToString(desktop.state), desktop.reason));
  }
  const auto ticket = app.tickets.Issue({.user = call.caller.user.id,
                                         .user_name = call.caller.user.name,
                                         .session = call.caller.session,
                                         .desktop = desktop.id,
                                         .control = wish->mode == "control",
                                         .foreign = foreign,
                                         .reason = wish->reason},
                                        app.random,
                                        app.clock.Steady());
  if (!ticket) return No(ProblemCode::kUnavailable, "Too many tickets are outstanding.");
  if (foreign) {
    app.audit.Append({call.Actor(),
                      {"desktop.view", desktop.id.text(), "ok", wish->reason},
                      OnBehalfOf(app, call, desktop.owner)});
  }
  JsonWriter json;
  json.BeginObject().Field("ticket", *ticket).Key("expires_at");
  json.Time(app.clock.Now() + Tickets::kTicketLife).Field("url", "/v1/stream").EndObject();
  net::Response response = JsonResponse(201, json.Take());
  response.headers.Set("Cache-Control", "no-store");
  return response;
}

}  // namespace sluice::portal
