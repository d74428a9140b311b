// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "portal/internal/account_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

using store::Kind;

constexpr size_t kPasswordMax = 1024;
constexpr size_t kPasswordMin = 10;
constexpr std::array<std::string_view, 4> kScopes = {
    "desktops:read", "desktops:write", "gpus:read", "admin"};

std::string CookieHeader(const net::Request& request, std::string_view value) {
  // The prefix makes browsers insist on Secure and on this very host; without TLS it cannot be
  // used, and without TLS only loopback is served.
  const std::string_view name = request.secure ? "__Host-session" : "session";
  const std::string_view secure = request.secure ? "; Secure" : "";
  const auto age = value.empty()
                       ? std::chrono::seconds(0)
                       : std::chrono::duration_cast<std::chrono::seconds>(Sessions::kLifeMax);
  return fmt::format(
      "{}={}; Path=/; HttpOnly; SameSite=Lax{}; Max-Age={}", name, value, secure, age.count());
}

// A sign-in's outcome may not tell whether the name exists.
tl::unexpected<Problem> WrongCredentials() {
  return No(ProblemCode::kWrongCredentials, "The name or the password is wrong.");
}

tl::unexpected<Problem> Locked(Duration left) {
  Problem problem{.code = ProblemCode::kLockedOut};
  problem.retry_after_s = std::max<int64_t>(1, (left.count() + 999) / 1'000);
  problem.detail =
      fmt::format("Too many failed sign-ins. Try again in {} s.", problem.retry_after_s);
  return No(std::move(problem));
}

void NoteRefusedSignIn(App& app, const Call& call, const std::string& name, std::string why) {
  app.audit.Append({{name.substr(0, 64), call.request.remote, call.request_id},
                    {"session.create", "", "refused", std::move(why)}});
}

// Whether any card is simulated: every page says so then.
bool AnySimulated(App& app) {
  const auto gpus = app.objects.List<Gpu>();
  if (!gpus) return false;
  return std::ranges::any_of(gpus->objects, [](const auto& gpu) { return gpu->value.simulated; });
}

std::string NewestLimits(App& app) {
  const auto desktops = app.objects.List<Desktop>();
  if (!desktops) return "";
  const Desktop* newest = nullptr;
  for (const auto& stored : desktops->objects) {
    const Desktop& desktop = stored->value;
    if (!IsRunning(desktop.state) || desktop.limits_in_force.empty()) continue;
    if (newest == nullptr || newest->ready_at < desktop.ready_at) newest = &desktop;
  }
  return newest == nullptr ? "" : newest->limits_in_force;
}

net::Response MeResponse(App& app, const Caller& caller) {
  JsonWriter json;
  json.BeginObject().Key("user").BeginObject();
  WriteUserMembers(json, caller.user, caller.user_version);
  json.EndObject().Field("csrf_token", caller.csrf_token);
  json.Key("session_expires_at").TimeOrNull(caller.session_ends);
  json.Key("server_time").Time(app.clock.Now());
  json.Field("version", app.options.version)
      .Field("simulated", AnySimulated(app))
      .Field("limits_in_force", NewestLimits(app))
      .EndObject();
  return JsonResponse(200, json.Take());
}

OrProblem<void> CheckNewPassword(const User& user, std::string_view fresh) {
  if (fresh == user.name || fresh == user.display_name) {
    return NoField(
        ProblemCode::kInvalidField, "/password/new", "The password may not be your name.");
  }
  return {};
}

struct MeChange {
  std::optional<std::string> display_name;
  std::optional<std::string> current;
  std::optional<std::string> fresh;
};

OrProblem<MeChange> ReadMeChange(const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  MeChange change;
  change.display_name = fields.DisplayText("display_name", 200);
  if (auto password = fields.Object("password")) {
    password->Require({"current", "new"});
    change.current = password->Text("current", kPasswordMax);
    change.fresh = password->Text("new", kPasswordMax);
    if (change.fresh && CountCharacters(*change.fresh) < kPasswordMin) {
      password->Reject("new", "range", fmt::format("needs at least {} characters", kPasswordMin));
    }
    password->RejectUnknown();
  }
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return change;
}

// The password was right for this version of the user. Somebody may sign in twice at once, or be
// changed meanwhile; then it is looked at again, as long as the password is the same.
Answer BeginSession(App& app, const Call& call, const store::Versioned<User>& verified) {
  constexpr int kTries = 8;
  store::Versioned<User> user = verified;
  const FreshSession fresh = app.sessions.Fresh(user.value.id);
  for (int left = kTries;; --left) {
    user.value.last_sign_in_at = app.clock.Now();
    const auto revision = app.audit.Commit({fresh.write, store::Put(user.value, user.version)},
                                           {{user.value.name, call.request.remote, call.request_id},
                                            {"session.create", user.value.id.text(), "ok", ""}});
    if (revision) {
      user.version = *revision;
      break;
    }
    if (revision.error().code != Code::kAborted || left <= 1) return No(revision.error());
    const auto again = app.objects.Get<User>(user.value.id.text());
    if (!again || (*again)->value.disabled ||
        (*again)->value.password_hash != verified.value.password_hash) {
      return WrongCredentials();
    }
    user = **again;
  }
  JsonWriter json;
  json.BeginObject().Key("user").BeginObject();
  WriteUserMembers(json, user.value, user.version);
  json.EndObject()
      .Field("csrf_token", Sessions::CsrfToken(fresh.cookie))
      .Field("must_change_password", user.value.must_change_password)
      .Key("expires_at")
      .Time(Sessions::Ends(fresh.record))
      .EndObject();
  net::Response response = JsonResponse(201, json.Take());
  response.headers.Add("Set-Cookie", CookieHeader(call.request, fresh.cookie));
  return response;
}

}  // namespace

Answer SignIn(App& app, const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"name", "password"});
  const auto name = fields.Text("name", 200);
  const auto password = fields.Text("password", kPasswordMax);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));

  const Duration now = app.clock.Steady();
  const Duration locked = app.lockout.LockedFor(*name, call.request.remote, now);
  if (locked.count() > 0) return Locked(locked);
  const auto found = FindUserByName(app.objects, *name);
  if (!found) return No(found.error());
  const bool has_password = *found != nullptr && !(*found)->value.password_hash.empty();
  const bool right =
      VerifyPassword(has_password ? (*found)->value.password_hash : app.no_ones_hash, *password);
  if (!right || !has_password || (*found)->value.disabled) {
    app.lockout.Failed(*name, call.request.remote, now);
    NoteRefusedSignIn(app, call, *name, "Wrong name or password, or disabled.");
    return WrongCredentials();
  }
  app.lockout.Succeeded(*name, call.request.remote);
  return BeginSession(app, call, **found);
}

Answer SignOut(App& app, const Call& call) {
  if (call.caller.kind != Caller::Kind::kSession) {
    return No(ProblemCode::kNotFound, "There is no session to end: you did not sign in.");
  }
  const auto done = app.Commit(call,
                               {{Kind::kSession, call.caller.session, std::nullopt, std::nullopt}},
                               {"session.delete", call.caller.user.id.text(), "ok", "Signed out."});
  if (!done) return No(done.error());
  net::Response response{.status = 204};
  response.headers.Add("Set-Cookie", CookieHeader(call.request, ""));
  return response;
}

Answer SignOutEverywhere(App& app, const Call& call) {
  auto writes = app.sessions.EndAll(call.caller.user.id, "");
  if (!writes) return No(writes.error());
  const auto done = app.Commit(
      call,
      std::move(*writes),
      {"session.delete_all", call.caller.user.id.text(), "ok", "Signed out everywhere."});
  if (!done) return No(done.error());
  net::Response response{.status = 204};
  response.headers.Add("Set-Cookie", CookieHeader(call.request, ""));
  return response;
}

Answer GetMe(App& app, const Call& call) {
  return MeResponse(app, call.caller);
}

Answer UpdateMe(App& app, const Call& call) {
  const auto change = ReadMeChange(call);
  if (!change) return tl::unexpected(change.error());
  Caller caller = call.caller;
  std::vector<store::Write> writes;
  std::optional<FreshSession> fresh;
  if (change->display_name) caller.user.display_name = *change->display_name;
  if (change->fresh) {
    const Duration now = app.clock.Steady();
    const Duration locked = app.lockout.LockedFor(caller.user.name, call.request.remote, now);
    if (locked.count() > 0) return Locked(locked);
    if (!VerifyPassword(caller.user.password_hash, *change->current)) {
      app.lockout.Failed(caller.user.name, call.request.remote, now);
      return NoField(
          ProblemCode::kInvalidField, "/password/current", "The present password is wrong.");
    }
    if (auto good = CheckNewPassword(caller.user, *change->fresh); !good) {
      return tl::unexpected(good.error());
    }
    if (*change->fresh == *change->current) {
      return NoField(ProblemCode::kInvalidField, "/password/new", "Choose a different password.");
    }
    auto hash = HashPassword(*change->fresh, app.password_cost);
    if (!hash) return No(hash.error());
    caller.user.password_hash = std::move(*hash);
    caller.user.must_change_password = false;
    auto ended = app.sessions.EndAll(caller.user.id, "");
    if (!ended) return No(ended.error());
    writes = std::move(*ended);
    fresh = app.sessions.Fresh(caller.user.id);
    writes.push_back(fresh->write);
  }
  writes.push_back(store::Put(caller.user, caller.user_version));
  const auto revision = app.Commit(call,
                                   std::move(writes),
                                   {fresh ? "user.change_password" : "user.update",
                                    caller.user.id.text(),
                                    "ok",
                                    fresh ? "Changed the password." : "Changed the shown name."});
  if (!revision) return No(revision.error());
  caller.user_version = *revision;
  net::Response response;
  if (fresh) {
    caller.csrf_token = Sessions::CsrfToken(fresh->cookie);
    caller.session_ends = Sessions::Ends(fresh->record);
    response = MeResponse(app, caller);
    response.headers.Add("Set-Cookie", CookieHeader(call.request, fresh->cookie));
  } else {
    response = MeResponse(app, caller);
  }
  return response;
}

namespace {

void WriteTokenMembers(JsonWriter& json, const TokenRecord& token, uint64_t version) {
  json.Field("id", token.id).Field("name", token.name).Key("scopes").BeginArray();
  for (const std::string& scope : token.scopes) json.Text(scope);
  json.EndArray().Key("created_at").Time(token.created_at);
  json.Key("expires_at").Time(token.expires_at);
  json.Key("last_used_at").TimeOrNull(token.last_used_at);
  json.Field("resource_version", version);
}

}  // namespace

Answer ListTokens(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto listing = app.store.List(Kind::kToken, page->after, 0);
  if (!listing) return No(listing.error());
  ListWriter list;
  size_t count = 0;
  std::string last;
  std::string next;
  for (const store::Object& object : listing->objects) {
    const auto token = DecodeToken(object);
    if (!token || token->user != call.caller.user.id) continue;
    if (count++ == page->limit) {
      next = CursorFor(last);
      break;
    }
    list.json().BeginObject();
    WriteTokenMembers(list.json(), *token, object.version);
    list.json().EndObject();
    last = token->id;
  }
  return list.Finish(listing->version, next);
}

Answer CreateToken(App& app, const Call& call) {
  constexpr size_t kTokensMax = 100;
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"name", "scopes", "expires_in_s"});
  const auto name = fields.DisplayText("name", 200);
  auto scopes = fields.SetOf("scopes", kScopes);
  const auto life = fields.Int("expires_in_s", {60, 31'622'400});
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  const auto present = app.sessions.TokensOf(call.caller.user.id);
  if (!present) return No(present.error());
  if (present->size() >= kTokensMax) {
    return No(ProblemCode::kQuotaExceeded,
              fmt::format("You have {} tokens; delete one first.", kTokensMax));
  }
  const Sessions::FreshToken fresh = app.sessions.NewToken();
  TokenRecord token{.id = fresh.id,
                    .user = call.caller.user.id,
                    .name = *name,
                    .secret_sha256 = fresh.secret_sha256,
                    .scopes = std::move(*scopes),
                    .created_at = app.clock.Now(),
                    .expires_at = app.clock.Now() + std::chrono::seconds(*life)};
  std::vector<store::Write> writes = {{Kind::kToken, token.id, 0, EncodeToken(token)}};
  if (call.replay != nullptr) writes.push_back(app.replays.Pending(*call.replay, token.id));
  const auto revision =
      app.Commit(call,
                 std::move(writes),
                 {"token.create",
                  token.id,
                  "ok",
                  fmt::format("{}: {}", token.name, fmt::join(token.scopes, " "))});
  if (!revision) return No(revision.error());
  JsonWriter json;
  json.BeginObject();
  WriteTokenMembers(json, token, *revision);
  json.Field("token", fresh.bearer).EndObject();
  return JsonResponse(201, json.Take());
}

Answer DeleteToken(App& app, const Call& call) {
  const auto object = app.store.Get(Kind::kToken, call.id);
  const auto token = object ? DecodeToken(*object) : Result<TokenRecord>(Fail(object.error()));
  if (!token || token->user != call.caller.user.id) {
    return No(ProblemCode::kNotFound, fmt::format("You have no token {}.", call.id));
  }
  const auto done = app.Commit(call,
                               {{Kind::kToken, call.id, std::nullopt, std::nullopt}},
                               {"token.delete", call.id, "ok", token->name});
  if (!done) return No(done.error());
  return net::Response{.status = 204};
}

}  // namespace sluice::portal
