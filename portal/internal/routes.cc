// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/routes.h"

#include <array>

#include "portal/internal/handlers.h"

namespace sluice::portal {
namespace {

using enum Access;
constexpr auto kNeedsKey = Idempotency::kRequired;
constexpr auto kTakesKey = Idempotency::kOptional;
constexpr std::string_view kRead = "desktops:read";
constexpr std::string_view kWrite = "desktops:write";
constexpr std::string_view kGpus = "gpus:read";
constexpr std::string_view kAdminScope = "admin";
constexpr std::string_view kPlan =
    "fleet share_bytes idle_s policy overcommit_pct preempt price growth_pct synthetic";
constexpr std::string_view kPage = "limit cursor";
constexpr std::string_view kAuditPage = "actor action target outcome since until q limit cursor";
constexpr std::string_view kAuditExport = "actor action target outcome since until q format";

// Whatever commits runs on the blocking pool: a commit waits for the disk, and the I/O threads
// carry people's key strokes.
constexpr auto kSlow = Serving::kBlocking;

// clang-format off
constexpr std::array kRoutes = std::to_array<Route>({
    {.method = "POST", .path = "/v1/sessions", .operation = "signIn", .access = kAnonymous, .takes_body = true, .serving = kSlow, .meter = Meter::kSignIn, .handler = SignIn},
    {.method = "DELETE", .path = "/v1/sessions", .operation = "signOutEverywhere", .serving = kSlow, .handler = SignOutEverywhere},
    {.method = "DELETE", .path = "/v1/sessions/current", .operation = "signOut", .serving = kSlow, .handler = SignOut},
    {.method = "GET", .path = "/v1/me", .operation = "getMe", .handler = GetMe},
    {.method = "PATCH", .path = "/v1/me", .operation = "updateMe", .takes_body = true, .serving = kSlow, .handler = UpdateMe},
    {.method = "GET", .path = "/v1/me/tokens", .operation = "listTokens", .queries = kPage, .handler = ListTokens},
    {.method = "POST", .path = "/v1/me/tokens", .operation = "createToken", .takes_body = true, .idempotency = kNeedsKey, .serving = kSlow, .meter = Meter::kCreate, .handler = CreateToken},
    {.method = "DELETE", .path = "/v1/me/tokens/{id}", .operation = "deleteToken", .serving = kSlow, .handler = DeleteToken},

    {.method = "GET", .path = "/v1/templates", .operation = "listTemplates", .scope = kRead, .queries = kPage, .handler = ListTemplates},
    {.method = "GET", .path = "/v1/offers", .operation = "listOffers", .scope = kRead, .queries = "memory_bytes", .handler = ListOffers},
    {.method = "GET", .path = "/v1/desktops", .operation = "listDesktops", .scope = kRead, .queries = "owner limit cursor", .handler = ListDesktops},
    {.method = "POST", .path = "/v1/desktops", .operation = "createDesktop", .scope = kWrite, .takes_body = true, .idempotency = kNeedsKey, .serving = kSlow, .meter = Meter::kCreate, .handler = CreateDesktop},
    {.method = "GET", .path = "/v1/desktops/{id}", .operation = "getDesktop", .scope = kRead, .handler = GetDesktop},
    {.method = "PATCH", .path = "/v1/desktops/{id}", .operation = "updateDesktop", .scope = kWrite, .takes_body = true, .needs_if_match = true, .serving = kSlow, .handler = UpdateDesktop},
    {.method = "DELETE", .path = "/v1/desktops/{id}", .operation = "deleteDesktop", .scope = kWrite, .queries = "keep_home", .needs_if_match = true, .serving = kSlow, .handler = DeleteDesktop},
    {.method = "POST", .path = "/v1/desktops/{id}/restart", .operation = "restartDesktop", .scope = kWrite, .serving = kSlow, .handler = RestartDesktop},
    {.method = "POST", .path = "/v1/desktops/{id}/resize", .operation = "resizeDesktop", .scope = kWrite, .takes_body = true, .idempotency = kTakesKey, .serving = kSlow, .handler = ResizeDesktop},
    {.method = "GET", .path = "/v1/desktops/{id}/explanation", .operation = "explainDesktop", .scope = kRead, .serving = kSlow, .handler = ExplainDesktop},
    {.method = "POST", .path = "/v1/desktops/{id}/ask", .operation = "askInstead", .scope = kWrite, .takes_body = true, .idempotency = kTakesKey, .needs_if_match = true, .serving = kSlow, .handler = AskInstead},
    {.method = "POST", .path = "/v1/desktops/{id}/extensions", .operation = "extendDesktop", .scope = kWrite, .takes_body = true, .idempotency = kTakesKey, .serving = kSlow, .handler = ExtendDesktop},
    {.method = "POST", .path = "/v1/desktops/{id}/keep-alive", .operation = "keepDesktopAlive", .scope = kWrite, .serving = kSlow, .handler = KeepDesktopAlive},
    {.method = "GET", .path = "/v1/desktops/{id}/processes", .operation = "listDesktopProcesses", .scope = kRead, .handler = ListDesktopProcesses},
    {.method = "GET", .path = "/v1/desktops/{id}/log", .operation = "getDesktopLog", .scope = kRead, .handler = GetDesktopLog},
    {.method = "POST", .path = "/v1/desktops/{id}/tickets", .operation = "createTicket", .scope = kWrite, .takes_body = true, .serving = kSlow, .meter = Meter::kTicket, .handler = CreateTicket},
    {.method = "POST", .path = "/v1/desktops/{id}/messages", .operation = "messageDesktop", .access = kOperator, .scope = kAdminScope, .takes_body = true, .idempotency = kTakesKey, .serving = kSlow, .handler = MessageDesktop},
    {.method = "POST", .path = "/v1/desktops/{id}/stop", .operation = "stopDesktop", .access = kOperator, .scope = kAdminScope, .takes_body = true, .serving = kSlow, .handler = StopDesktop},
    {.method = "GET", .path = "/v1/stream", .operation = "openStream", .access = kAnonymous, .serving = Serving::kWebSocket},
    {.method = "GET", .path = "/v1/events", .operation = "watchEvents", .scope = kRead, .queries = "topics", .serving = Serving::kEvents, .meter = Meter::kEvents},

    {.method = "GET", .path = "/v1/gpus", .operation = "listGpus", .scope = kGpus, .queries = kPage, .handler = ListGpus},
    {.method = "GET", .path = "/v1/gpus/{id}", .operation = "getGpu", .scope = kGpus, .handler = GetGpu},
    {.method = "PATCH", .path = "/v1/gpus/{id}", .operation = "updateGpu", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .needs_if_match = true, .serving = kSlow, .handler = UpdateGpu},
    {.method = "GET", .path = "/v1/pools", .operation = "listPools", .scope = kGpus, .queries = kPage, .handler = ListPools},
    {.method = "GET", .path = "/v1/pools/{id}", .operation = "getPool", .scope = kGpus, .handler = GetPool},
    {.method = "PATCH", .path = "/v1/pools/{id}", .operation = "updatePool", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .needs_if_match = true, .serving = kSlow, .handler = UpdatePool},
    {.method = "POST", .path = "/v1/pools/{id}/dry-run", .operation = "tryPool", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .serving = kSlow, .handler = TryPool},
    {.method = "GET", .path = "/v1/pools/{id}/consolidation", .operation = "getConsolidation", .access = kAdmin, .scope = kAdminScope, .serving = kSlow, .handler = GetConsolidation},
    {.method = "POST", .path = "/v1/pools/{id}/consolidation", .operation = "consolidatePool", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .serving = kSlow, .handler = ConsolidatePool},
    {.method = "POST", .path = "/v1/pools/{id}/undo-consolidation", .operation = "undoConsolidation", .access = kAdmin, .scope = kAdminScope, .serving = kSlow, .handler = UndoConsolidation},
    {.method = "GET", .path = "/v1/plan", .operation = "getPlan", .access = kAdmin, .scope = kAdminScope, .queries = kPlan, .serving = kSlow, .handler = GetPlan},
    {.method = "GET", .path = "/v1/queue", .operation = "listQueue", .scope = kGpus, .queries = kPage, .handler = ListQueue},
    {.method = "DELETE", .path = "/v1/queue/{id}", .operation = "leaveQueue", .scope = kWrite, .serving = kSlow, .handler = LeaveQueue},

    {.method = "POST", .path = "/v1/runs", .operation = "createRun", .scope = kWrite, .takes_body = true, .idempotency = kNeedsKey, .serving = kSlow, .meter = Meter::kCreate, .handler = CreateRun},
    {.method = "GET", .path = "/v1/runs/{id}", .operation = "getRun", .scope = kRead, .queries = "wait_s wait_from", .serving = Serving::kRunWait, .handler = GetRun},
    {.method = "DELETE", .path = "/v1/runs/{id}", .operation = "deleteRun", .scope = kWrite, .serving = kSlow, .handler = DeleteRun},
    {.method = "POST", .path = "/v1/runs/{id}/start", .operation = "startRun", .scope = kWrite, .serving = kSlow, .handler = StartRun},

    {.method = "GET", .path = "/v1/teams", .operation = "listTeams", .access = kAdmin, .scope = kAdminScope, .queries = kPage, .handler = ListTeams},
    {.method = "POST", .path = "/v1/teams", .operation = "createTeam", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .idempotency = kNeedsKey, .serving = kSlow, .meter = Meter::kCreate, .handler = CreateTeam},
    {.method = "GET", .path = "/v1/teams/{id}", .operation = "getTeam", .access = kAdmin, .scope = kAdminScope, .handler = GetTeam},
    {.method = "PATCH", .path = "/v1/teams/{id}", .operation = "updateTeam", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .needs_if_match = true, .serving = kSlow, .handler = UpdateTeam},
    {.method = "DELETE", .path = "/v1/teams/{id}", .operation = "deleteTeam", .access = kAdmin, .scope = kAdminScope, .needs_if_match = true, .serving = kSlow, .handler = DeleteTeam},
    {.method = "GET", .path = "/v1/reservations", .operation = "listReservations", .access = kAdmin, .scope = kAdminScope, .queries = kPage, .serving = kSlow, .handler = ListReservations},
    {.method = "POST", .path = "/v1/reservations", .operation = "createReservation", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .idempotency = kNeedsKey, .serving = kSlow, .meter = Meter::kCreate, .handler = CreateReservation},
    {.method = "POST", .path = "/v1/reservation-trials", .operation = "tryReservation", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .serving = kSlow, .handler = TryReservation},
    {.method = "GET", .path = "/v1/reservations/{id}", .operation = "getReservation", .access = kAdmin, .scope = kAdminScope, .serving = kSlow, .handler = GetReservation},
    {.method = "DELETE", .path = "/v1/reservations/{id}", .operation = "deleteReservation", .access = kAdmin, .scope = kAdminScope, .needs_if_match = true, .serving = kSlow, .handler = DeleteReservation},
    {.method = "GET", .path = "/v1/users", .operation = "listUsers", .access = kAdmin, .scope = kAdminScope, .queries = kPage, .handler = ListUsers},
    {.method = "POST", .path = "/v1/users", .operation = "createUser", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .idempotency = kNeedsKey, .serving = kSlow, .meter = Meter::kCreate, .handler = CreateUser},
    {.method = "GET", .path = "/v1/users/{id}", .operation = "getUser", .access = kAdmin, .scope = kAdminScope, .handler = GetUser},
    {.method = "PATCH", .path = "/v1/users/{id}", .operation = "updateUser", .access = kAdmin, .scope = kAdminScope, .takes_body = true, .needs_if_match = true, .serving = kSlow, .handler = UpdateUser},
    {.method = "DELETE", .path = "/v1/users/{id}", .operation = "deleteUser", .access = kAdmin, .scope = kAdminScope, .needs_if_match = true, .serving = kSlow, .handler = DeleteUser},
    {.method = "POST", .path = "/v1/users/{id}/reset-password", .operation = "resetPassword", .access = kAdmin, .scope = kAdminScope, .serving = kSlow, .handler = ResetPassword},

    {.method = "GET", .path = "/v1/audit-events", .operation = "listAuditEvents", .access = kOperator, .scope = kAdminScope, .queries = kAuditPage, .serving = kSlow, .handler = ListAuditEvents},
    {.method = "GET", .path = "/v1/audit-events/export", .operation = "exportAuditEvents", .access = kAdmin, .scope = kAdminScope, .queries = kAuditExport, .serving = kSlow, .handler = ExportAuditEvents},
    {.method = "GET", .path = "/v1/audit-events/integrity", .operation = "checkAuditIntegrity", .access = kOperator, .scope = kAdminScope, .serving = kSlow, .handler = CheckAuditIntegrity},

    {.method = "GET", .path = "/healthz", .operation = "getHealth", .access = kAnonymous, .handler = GetHealth},
    {.method = "GET", .path = "/readyz", .operation = "getReadiness", .access = kAnonymous, .handler = GetReadiness},
    {.method = "GET", .path = "/metrics", .operation = "getMetrics", .access = kAnonymous, .scope = kGpus, .handler = GetMetrics},
    {.method = "GET", .path = "/openapi.json", .operation = "getOpenApi", .access = kAnonymous, .handler = GetOpenApi},
});
// clang-format on

constexpr std::string_view kIdPart = "{id}";
constexpr size_t kIdMax = 80;

bool IsIdCharacter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == ':' || c == '-';
}

// Whether `path` has the form of `pattern`; what stands for {id} goes to `id`.
bool Fits(std::string_view pattern, std::string_view path, std::string_view& id) {
  const size_t at = pattern.find(kIdPart);
  if (at == std::string_view::npos) return pattern == path;
  if (path.size() <= at || path.substr(0, at) != pattern.substr(0, at)) return false;
  const std::string_view tail = pattern.substr(at + kIdPart.size());
  if (path.size() < at + tail.size() || !path.ends_with(tail)) return false;
  const std::string_view part = path.substr(at, path.size() - at - tail.size());
  if (part.empty() || part.size() > kIdMax) return false;
  for (const char c : part) {
    if (!IsIdCharacter(c)) return false;
  }
  id = part;
  return true;
}

}  // namespace

std::span<const Route> Routes() {
  return kRoutes;
}

Match FindRoute(std::string_view method, std::string_view path) {
  Match match;
  for (const Route& route : kRoutes) {
    std::string_view id;
    if (!Fits(route.path, path, id)) continue;
    // HEAD is GET without its body; the server leaves that out.
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
      match.id = id;
      return match;
    }
    match.allowed += (match.allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  return match;
}

bool IsApiPath(std::string_view path) {
  if (path == "/v1" || path.starts_with("/v1/")) return true;
  return FindRoute("GET", path).route != nullptr;
}

}  // namespace sluice::portal
