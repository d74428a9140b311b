// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "portal/internal/handlers.h"
#include "portal/internal/json_writer.h"
#include "portal/internal/metrics.h"
#include "portal/internal/openapi_json.h"

namespace sluice::portal {
namespace {

// Asked for under a name of this machine, too: a page of another site that makes its own name
// point here (DNS rebinding) sends that name.
bool FromThisMachine(const net::Request& request) {
  if (request.peer) return true;
  if (request.remote != "127.0.0.1" && request.remote != "::1") return false;
  std::string_view host = request.headers.Get("Host");
  const size_t port = host.rfind(':');
  if (port != std::string_view::npos && host.find(']', port) == std::string_view::npos) {
    host = host.substr(0, port);
  }
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

}  // namespace

Answer GetHealth(App&, const Call&) {
  JsonWriter json;
  json.BeginObject().Field("status", "ok").EndObject();
  return JsonResponse(200, json.Take());
}

Answer GetReadiness(App& app, const Call&) {
  const auto users = app.store.List(store::Kind::kUser, "", 1);
  if (!users) return No(ProblemCode::kUnavailable, "The store does not answer.");
  if (!app.agent.Cards()) return No(ProblemCode::kUnavailable, "The agent does not answer.");
  JsonWriter json;
  json.BeginObject().Field("status", "ready").EndObject();
  return JsonResponse(200, json.Take());
}

Answer GetMetrics(App& app, const Call& call) {
  const Caller& caller = call.caller;
  if (!FromThisMachine(call.request) && !caller.Is(Role::kOperator) &&
      caller.kind != Caller::Kind::kToken) {
    return No(caller.kind == Caller::Kind::kNobody ? ProblemCode::kUnauthenticated
                                                   : ProblemCode::kForbidden,
              "From another machine metrics need an operator or a token of scope gpus:read.");
  }
  net::Response response;
  response.headers.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  response.body = MetricsText(app);
  return response;
}

Answer GetOpenApi(App&, const Call&) {
  static const auto document = std::make_shared<const std::string>(kOpenApiJson);
  net::Response response;
  response.headers.Set("Content-Type", "application/json");
  response.shared_body = document;
  return response;
}

}  // namespace sluice::portal
