// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/gateway.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "portal/internal/account_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/request_fields.h"

namespace sluice::portal {
namespace {

constexpr size_t kKeyMax = 128;

// What a person may still do who must first choose a password.
constexpr std::array<std::string_view, 4> kBeforePasswordChange = {
    "getMe", "updateMe", "signOut", "signOutEverywhere"};

bool HasWord(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t space = words.find(' ');
    if (words.substr(0, space) == word) return true;
    if (space == std::string_view::npos) break;
    words.remove_prefix(space + 1);
  }
  return false;
}

OrProblem<void> CheckQueryNames(const Route& route, const net::Request& request) {
  for (size_t i = 0; i < request.query.size(); ++i) {
    const std::string& name = request.query[i].first;
    if (!HasWord(route.queries, name)) {
      return NoField(ProblemCode::kBadRequest,
                     "?" + name.substr(0, 100),
                     fmt::format("There is no query parameter {} here.", name.substr(0, 100)));
    }
    for (size_t j = 0; j < i; ++j) {
      if (request.query[j].first == name) {
        return NoField(ProblemCode::kBadRequest, "?" + name, "The parameter is given twice.");
      }
    }
  }
  return {};
}

OrProblem<void> CheckMediaType(const Route& route, const net::Request& request) {
  if (!route.takes_body) return {};
  std::string_view type = request.headers.Get("Content-Type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  const bool json =
      std::ranges::equal(type, std::string_view("application/json"), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
      });
  if (json) return {};
  return No(ProblemCode::kUnsupportedMediaType, "Send the body as application/json.");
}

OrProblem<void> CheckKey(const Route& route, const net::Request& request) {
  if (route.idempotency == Idempotency::kNone) return {};
  const std::string_view key = request.headers.Get("Idempotency-Key");
  const bool absent = !request.headers.Has("Idempotency-Key");
  if (absent && route.idempotency == Idempotency::kOptional) return {};
  const bool visible = std::ranges::all_of(key, [](char c) { return c >= '!' && c <= '~'; });
  if (!key.empty() && key.size() <= kKeyMax && visible) return {};
  return No(ProblemCode::kIdempotencyKeyRequired,
            fmt::format("Send an Idempotency-Key of 1 to {} visible characters, new for each "
                        "thing to be made.",
                        kKeyMax));
}

OrProblem<void> CheckAccess(const Route& route, const Caller& caller) {
  if (route.access == Access::kAnonymous) return {};
  if (caller.kind == Caller::Kind::kNobody) {
    return No(ProblemCode::kUnauthenticated, "Sign in, or send an API token.");
  }
  const auto least = static_cast<Role>(static_cast<int>(route.access) - 1);
  if (!caller.Is(least)) {
    return No(ProblemCode::kForbidden, fmt::format("This needs the role {}.", ToString(least)));
  }
  if (caller.kind == Caller::Kind::kToken) {
    const bool scoped = std::ranges::find(caller.scopes, route.scope) != caller.scopes.end();
    const bool about_oneself = route.scope.empty() && !route.unsafe();
    if (!scoped && !about_oneself) {
      return No(ProblemCode::kForbidden,
                route.scope.empty() ? "A token may not do this; sign in."
                                    : fmt::format("The token lacks the scope {}.", route.scope));
    }
  }
  const bool waits = caller.kind == Caller::Kind::kSession && caller.user.must_change_password;
  if (waits &&
      std::ranges::find(kBeforePasswordChange, route.operation) == kBeforePasswordChange.end()) {
    return No(ProblemCode::kPasswordChangeRequired, "Choose a password of your own first.");
  }
  return {};
}
static_assert(static_cast<int>(Access::kUser) - 1 == static_cast<int>(Role::kUser));
static_assert(static_cast<int>(Access::kAdmin) - 1 == static_cast<int>(Role::kAdmin));

// What a page of another site could forge: a cookie is sent by the browser, whoever asks.
OrProblem<void> CheckForgery(const Route& route,
                             const Caller& caller,
                             const net::Request& request) {
  if (!route.unsafe()) return {};
  const bool by_cookie = caller.kind == Caller::Kind::kSession;
  if (!by_cookie && route.access != Access::kAnonymous) return {};
  if (!FromOwnOrigin(request)) {
    return No(ProblemCode::kForeignOrigin, "The request was sent by a page of another site.");
  }
  // Signing in replaces whatever session there is; it has no token yet.
  if (route.access == Access::kAnonymous) return {};
  if (EqualSecrets(request.headers.Get("X-CSRF-Token"), caller.csrf_token)) return {};
  return No(ProblemCode::kCsrf, "Send the session's csrf_token as X-CSRF-Token.");
}

}  // namespace

bool FromOwnOrigin(const net::Request& request) {
  const std::string_view site = request.headers.Get("Sec-Fetch-Site");
  if (!site.empty() && site != "same-origin" && site != "none") return false;
  const std::string_view origin = request.headers.Get("Origin");
  if (origin.empty()) return true;
  const std::string_view scheme = request.secure ? "https://" : "http://";
  return origin.starts_with(scheme) &&
         origin.substr(scheme.size()) == request.headers.Get("Host") && request.headers.Has("Host");
}

void AddSecurityHeaders(net::Headers& headers, const net::Request& request) {
  headers.Set("X-Content-Type-Options", "nosniff");
  headers.Set("Referrer-Policy", "no-referrer");
  headers.Set("Cross-Origin-Resource-Policy", "same-origin");
  if (!headers.Has("Cache-Control")) headers.Set("Cache-Control", "no-store");
  if (!headers.Has("Content-Security-Policy")) {
    headers.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  // Browsers ignore it from certificates that they do not trust, such as a self-made one.
  if (request.secure) headers.Set("Strict-Transport-Security", "max-age=31536000");
}

Caller Gateway::LocalAdmin() {
  Caller caller;
  const auto user = FindUserByName(app_.objects, kLocalAdminName);
  if (!user || *user == nullptr) return caller;
  caller.kind = Caller::Kind::kLocal;
  caller.user = (*user)->value;
  caller.user_version = (*user)->version;
  return caller;
}

Caller Gateway::FromToken(std::string_view bearer) {
  Caller caller;
  auto token = app_.sessions.FindToken(bearer);
  if (!token) return caller;
  const auto user = app_.objects.Get<User>(token->user.text());
  if (!user || (*user)->value.disabled) return caller;
  caller.kind = Caller::Kind::kToken;
  caller.user = (*user)->value;
  caller.user_version = (*user)->version;
  caller.session = token->id;
  caller.session_ends = token->expires_at;
  caller.scopes = std::move(token->scopes);
  return caller;
}

Caller Gateway::FromCookie(std::string_view cookie) {
  Caller caller;
  const auto session = app_.sessions.Find(cookie);
  if (!session) return caller;
  const auto user = app_.objects.Get<User>(session->user.text());
  if (!user || (*user)->value.disabled) return caller;
  caller.kind = Caller::Kind::kSession;
  caller.user = (*user)->value;
  caller.user_version = (*user)->version;
  caller.session = session->id;
  caller.session_ends = Sessions::Ends(*session);
  caller.csrf_token = Sessions::CsrfToken(cookie);
  return caller;
}

Caller Gateway::Authenticate(const net::Request& request) {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string_view authorization = request.headers.Get("Authorization");
  if (authorization.starts_with(kBearer)) {
    return FromToken(authorization.substr(kBearer.size()));
  }
  // Another scheme is a mistake of the sender; the cookie must not paper over it.
  if (!authorization.empty()) return Caller();
  if (request.peer) {
    const bool owner = request.peer->uid == 0 || request.peer->uid == app_.options.owner_uid;
    return owner ? LocalAdmin() : Caller();
  }
  return FromCookie(request.Cookie(request.secure ? "__Host-session" : "session"));
}

OrProblem<void> Gateway::CheckMeter(const Admitted& admitted, const net::Request& request) {
  if (request.peer) return {};
  const RateLimits& limits = app_.options.limits;
  const std::string& user = admitted.caller.user.id.text();
  std::string key;
  Rate rate;
  switch (admitted.route->meter) {
    case Meter::kNone:
      return {};
    case Meter::kSignIn:
      key = "sign-in\n" + request.remote;
      rate = {limits.sign_ins_per_minute, limits.sign_ins_burst};
      break;
    case Meter::kCreate:
      key = "create\n" + user;
      rate = {limits.creates_per_minute, limits.creates_burst};
      break;
    case Meter::kTicket:
      key = "ticket\n" + user;
      rate = {limits.tickets_per_minute, limits.tickets_burst};
      break;
    case Meter::kEvents:
      key = "events\n" + user;
      rate = {limits.streams_per_minute, limits.streams_burst};
      break;
  }
  const Duration wait = app_.rates.Take(key, rate, app_.clock.Steady());
  if (wait.count() == 0) return {};
  Problem problem{.code = ProblemCode::kRateLimited};
  problem.retry_after_s = (wait.count() + 999) / 1'000;
  problem.detail = fmt::format("Slow down; try again in {} s.", problem.retry_after_s);
  return No(std::move(problem));
}

OrProblem<void> Gateway::Check(const Admitted& admitted, const net::Request& request) {
  const Route& route = *admitted.route;
  if (auto good = CheckAccess(route, admitted.caller); !good) return good;
  if (auto good = CheckForgery(route, admitted.caller, request); !good) return good;
  if (auto good = CheckQueryNames(route, request); !good) return good;
  if (auto good = CheckMediaType(route, request); !good) return good;
  if (route.needs_if_match) {
    if (auto match = IfMatch(request); !match) return tl::unexpected(match.error());
  }
  if (auto good = CheckKey(route, request); !good) return good;
  return CheckMeter(admitted, request);
}

tl::expected<Admitted, net::Response> Gateway::Admit(const net::Request& request) {
  Admitted admitted;
  admitted.request_id = NewIdText("req", app_.clock.Now(), app_.random);
  Match match = FindRoute(request.method, request.path);
  if (match.route == nullptr) {
    const bool known = !match.allowed.empty();
    Problem problem{.code = known ? ProblemCode::kMethodNotAllowed : ProblemCode::kNotFound};
    problem.detail = known ? fmt::format("{} allows {}.", request.path, match.allowed)
                           : fmt::format("There is nothing at {}.", request.path);
    net::Response response = Refuse(admitted, request, problem);
    if (known) response.headers.Set("Allow", match.allowed);
    return tl::unexpected(std::move(response));
  }
  admitted.route = match.route;
  admitted.id = std::move(match.id);
  admitted.caller = Authenticate(request);
  if (auto good = Check(admitted, request); !good) {
    return tl::unexpected(Refuse(admitted, request, good.error()));
  }
  return admitted;
}

Answer Gateway::Handle(const Call& call) {
  const std::string_view key = call.request.headers.Get("Idempotency-Key");
  if (call.route.idempotency == Idempotency::kNone || key.empty()) {
    return call.route.handler(app_, call);
  }
  const ReplayKey replay = Replays::KeyFor(call.caller.user.id.text(), call.request);
  auto seen = app_.replays.Begin(replay);
  if (!seen) return tl::unexpected(seen.error());
  if (*seen) return std::move(**seen);
  Call with_key = call;
  with_key.replay = &replay;
  Answer answer = call.route.handler(app_, with_key);
  if (answer && answer->status < 300) app_.replays.Keep(replay, *answer);
  app_.replays.End(replay);
  return answer;
}

net::Response Gateway::Run(const Admitted& admitted, const net::Request& request) {
  const Call call{.request = request,
                  .route = *admitted.route,
                  .caller = admitted.caller,
                  .request_id = admitted.request_id,
                  .id = admitted.id};
  Answer answer = Handle(call);
  if (!answer) return Refuse(admitted, request, answer.error());
  return Finish(std::move(*answer), request, admitted.request_id);
}

net::Response Gateway::Refuse(const Admitted& admitted,
                              const net::Request& request,
                              const Problem& why) {
  return Finish(Render(why, request.path, admitted.request_id), request, admitted.request_id);
}

net::Response Gateway::Finish(net::Response response,
                              const net::Request& request,
                              std::string_view id) {
  response.headers.Set("X-Request-Id", std::string(id));
  AddSecurityHeaders(response.headers, request);
  return response;
}

net::Response Gateway::Serve(const net::Request& request) {
  auto admitted = Admit(request);
  if (!admitted) return std::move(admitted.error());
  return Run(*admitted, request);
}

}  // namespace sluice::portal
