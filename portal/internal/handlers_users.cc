// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <fmt/format.h>
#include <mutex>
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

constexpr std::array<std::string_view, 3> kRoles = {"user", "operator", "admin"};

void ReadQuota(FieldReader& fields, std::optional<Quota>& quota) {
  auto inner = fields.Object("quota");
  if (!inner) return;
  inner->Require({"desktops_max", "gpu_memory_max_bytes"});
  const auto desktops = inner->Int("desktops_max", {0, 100'000});
  const auto memory = inner->Int("gpu_memory_max_bytes", {0, int64_t{1} << 50});
  inner->RejectUnknown();
  if (desktops && memory) quota = Quota{static_cast<int>(*desktops), Bytes(*memory)};
}

struct UserWish {
  std::optional<std::string> name;
  std::optional<std::string> display_name;
  std::optional<Role> role;
  std::optional<bool> disabled;
  std::optional<Quota> quota;
  std::optional<TeamId> team;  // Empty: none.
};

// "team_id": an id, or null for none.
void ReadTeam(FieldReader& fields, std::optional<TeamId>& team) {
  if (fields.TakeNull("team_id")) {
    team = TeamId();
  } else if (const auto id = fields.Text("team_id", 64)) {
    team = TeamId(*id);
  }
}

OrProblem<void> CheckTeam(App& app, const std::optional<TeamId>& team) {
  if (!team || team->empty() || app.objects.Get<Team>(team->text())) return {};
  return NoField(
      ProblemCode::kInvalidField, "/team_id", fmt::format("There is no team {}.", team->text()));
}

OrProblem<UserWish> ReadUserWish(const Call& call, bool is_new) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  UserWish wish;
  if (is_new) {
    fields.Require({"name", "role"});
    wish.name = fields.Text("name", 32);
    if (wish.name) {
      if (const auto good = CheckUserName(*wish.name); !good) {
        fields.Reject("name", "text", good.error().message);
      }
    }
  } else {
    wish.disabled = fields.Bool("disabled");
  }
  wish.display_name = fields.DisplayText("display_name", 200);
  if (const auto role = fields.OneOf("role", kRoles)) wish.role = ParseRole(*role);
  ReadQuota(fields, wish.quota);
  ReadTeam(fields, wish.team);
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  return wish;
}

net::Response UserResponse(int status,
                           const User& user,
                           uint64_t version,
                           std::string_view one_time_password = "") {
  JsonWriter json;
  json.BeginObject();
  WriteUserMembers(json, user, version);
  if (!one_time_password.empty()) json.Field("one_time_password", one_time_password);
  json.EndObject();
  return JsonResponse(status, json.Take(), version);
}

OrProblem<Stored<User>> UserOf(App& app, const Call& call) {
  auto user = app.objects.Get<User>(call.id);
  if (user) return std::move(*user);
  if (user.error().code != Code::kNotFound) return No(user.error());
  return No(ProblemCode::kNotFound, fmt::format("There is no user {}.", call.id));
}

OrProblem<void> CheckNotLastAdmin(App& app, const User& user) {
  const bool counts = user.role == Role::kAdmin && !user.disabled && !user.password_hash.empty();
  if (!counts) return {};
  const auto another = HasAnotherAdmin(app.objects, user.id);
  if (!another) return No(another.error());
  if (*another) return {};
  return No(ProblemCode::kStateConflict,
            "This is the last enabled admin. Make somebody else admin first.");
}

OrProblem<void> CheckNotLocalAdmin(const User& user) {
  if (user.name != kLocalAdminName) return {};
  return No(ProblemCode::kStateConflict,
            "This account stands for whoever administers this machine; it cannot be changed.");
}

// Reads the user that an If-Match names and lets it be changed. The gate makes "another admin is
// left" and the write one step.
OrProblem<store::Versioned<User>> UserToChange(App& app, const Call& call) {
  const auto wanted = IfMatch(call.request);
  if (!wanted) return tl::unexpected(wanted.error());
  const auto user = UserOf(app, call);
  if (!user) return tl::unexpected(user.error());
  if (auto same = CheckVersion(*wanted, (*user)->version); !same) {
    return tl::unexpected(same.error());
  }
  if (auto may = CheckNotLocalAdmin((*user)->value); !may) return tl::unexpected(may.error());
  return **user;
}

std::string WordsFor(const UserWish& wish) {
  std::string words;
  const auto add = [&words](const std::string& word) {
    words += (words.empty() ? "" : ", ") + word;
  };
  if (wish.display_name) add("shown name");
  if (wish.role) add("role " + std::string(ToString(*wish.role)));
  if (wish.disabled) add(*wish.disabled ? "disabled" : "enabled");
  if (wish.quota) add("quota");
  if (wish.team) add(wish.team->empty() ? "no team" : "team " + wish.team->text());
  return words.empty() ? "nothing" : words;
}

}  // namespace

Answer ListUsers(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto users = app.objects.List<User>(page->after, page->limit + 1);
  if (!users) return No(users.error());
  ListWriter list;
  size_t count = 0;
  std::string last;
  std::string next;
  for (const auto& user : users->objects) {
    if (count++ == page->limit) {
      next = CursorFor(last);
      break;
    }
    list.json().BeginObject();
    WriteUserMembers(list.json(), user->value, user->version);
    list.json().EndObject();
    last = user->value.id.text();
  }
  return list.Finish(users->version, next);
}

Answer CreateUser(App& app, const Call& call) {
  const auto wish = ReadUserWish(call, /*is_new=*/true);
  if (!wish) return tl::unexpected(wish.error());
  const std::string password = OneTimePassword(app.random);
  auto hash = HashPassword(password, app.password_cost);
  if (!hash) return No(hash.error());
  const std::lock_guard gate(app.quota_gate);
  if (auto known = CheckTeam(app, wish->team); !known) return tl::unexpected(known.error());
  const auto present = FindUserByName(app.objects, *wish->name);
  if (!present) return No(present.error());
  if (*present != nullptr) {
    return NoField(ProblemCode::kAlreadyExists,
                   "/name",
                   fmt::format("There is already a user {}.", *wish->name));
  }
  const TimePoint now = app.clock.Now();
  User user;
  user.id = UserId(NewIdText("usr", now, app.random));
  user.name = *wish->name;
  user.display_name = wish->display_name.value_or(*wish->name);
  user.role = *wish->role;
  user.quota = wish->quota.value_or(Quota());
  user.team = wish->team.value_or(TeamId());
  user.password_hash = std::move(*hash);
  user.must_change_password = true;
  user.created_at = now;
  std::vector<store::Write> writes = {store::Put(user, 0)};
  if (call.replay != nullptr) writes.push_back(app.replays.Pending(*call.replay, user.id.text()));
  const auto revision = app.Commit(
      call,
      std::move(writes),
      {"user.create", user.id.text(), "ok", fmt::format("{}, {}", user.name, ToString(user.role))});
  if (!revision) return No(revision.error());
  net::Response response = UserResponse(201, user, *revision, password);
  response.headers.Set("Location", "/v1/users/" + user.id.text());
  return response;
}

Answer GetUser(App& app, const Call& call) {
  const auto user = UserOf(app, call);
  if (!user) return tl::unexpected(user.error());
  return UserResponse(200, (*user)->value, (*user)->version);
}

Answer UpdateUser(App& app, const Call& call) {
  const auto wish = ReadUserWish(call, /*is_new=*/false);
  if (!wish) return tl::unexpected(wish.error());
  const std::lock_guard gate(app.quota_gate);
  if (auto known = CheckTeam(app, wish->team); !known) return tl::unexpected(known.error());
  auto user = UserToChange(app, call);
  if (!user) return tl::unexpected(user.error());
  User& value = user->value;
  const bool loses_admin =
      wish->disabled.value_or(false) || wish->role.value_or(value.role) != Role::kAdmin;
  if (loses_admin) {
    if (auto may = CheckNotLastAdmin(app, value); !may) return tl::unexpected(may.error());
  }
  std::vector<store::Write> writes;
  const bool privilege_changes = wish->disabled.value_or(value.disabled) != value.disabled ||
                                 wish->role.value_or(value.role) != value.role;
  if (privilege_changes) {
    auto ended = app.sessions.EndAll(value.id, call.caller.session);
    if (!ended) return No(ended.error());
    writes = std::move(*ended);
  }
  if (wish->display_name) value.display_name = *wish->display_name;
  if (wish->role) value.role = *wish->role;
  if (wish->disabled) value.disabled = *wish->disabled;
  if (wish->quota) value.quota = *wish->quota;
  if (wish->team) value.team = *wish->team;
  writes.push_back(store::Put(value, user->version));
  const auto revision = app.Commit(
      call, std::move(writes), {"user.update", value.id.text(), "ok", WordsFor(*wish)}, value.name);
  if (!revision) return No(revision.error());
  return UserResponse(200, value, *revision);
}

Answer DeleteUser(App& app, const Call& call) {
  const std::lock_guard gate(app.quota_gate);
  const auto user = UserToChange(app, call);
  if (!user) return tl::unexpected(user.error());
  if (auto may = CheckNotLastAdmin(app, user->value); !may) return tl::unexpected(may.error());
  const auto desktops = app.objects.List<Desktop>();
  if (!desktops) return No(desktops.error());
  for (const auto& desktop : desktops->objects) {
    if (desktop->value.owner == user->value.id) {
      return No(ProblemCode::kStateConflict,
                fmt::format("{} still has desktops. Delete them first.", user->value.name));
    }
  }
  auto writes = app.sessions.EndAll(user->value.id, "");
  if (!writes) return No(writes.error());
  const auto tokens = app.sessions.TokensOf(user->value.id);
  if (!tokens) return No(tokens.error());
  for (const TokenRecord& token : *tokens) {
    writes->push_back({Kind::kToken, token.id, std::nullopt, std::nullopt});
  }
  writes->push_back({Kind::kUser, user->value.id.text(), user->version, std::nullopt});
  const auto revision = app.Commit(call,
                                   std::move(*writes),
                                   {"user.delete", user->value.id.text(), "ok", user->value.name},
                                   user->value.name);
  if (!revision) return No(revision.error());
  return net::Response{.status = 204};
}

Answer ResetPassword(App& app, const Call& call) {
  const auto present = UserOf(app, call);
  if (!present) return tl::unexpected(present.error());
  if (auto may = CheckNotLocalAdmin((*present)->value); !may) return tl::unexpected(may.error());
  const std::string password = OneTimePassword(app.random);
  auto hash = HashPassword(password, app.password_cost);
  if (!hash) return No(hash.error());
  User user = (*present)->value;
  user.password_hash = std::move(*hash);
  user.must_change_password = true;
  auto writes = app.sessions.EndAll(user.id, "");
  if (!writes) return No(writes.error());
  writes->push_back(store::Put(user, (*present)->version));
  const auto revision = app.Commit(call,
                                   std::move(*writes),
                                   {"user.reset_password", user.id.text(), "ok", user.name},
                                   user.name);
  if (!revision) return No(revision.error());
  JsonWriter json;
  json.BeginObject().Field("one_time_password", password).EndObject();
  return JsonResponse(200, json.Take());
}

}  // namespace sluice::portal
