// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;

struct Held {
  Bytes memory;
  int members = 0;
};

Held HeldBy(App& app, const TeamId& team) {
  Held held;
  if (const auto users = app.objects.List<User>(); users) {
    for (const auto& user : users->objects) held.members += user->value.team == team ? 1 : 0;
  }
  if (const auto claims = app.objects.List<Claim>(); claims) {
    for (const auto& claim : claims->objects) {
      if (claim->value.team != team) continue;
      for (const Allocation& a : claim->value.allocations) held.memory += a.memory;
    }
  }
  return held;
}

void WriteTeam(App& app, JsonWriter& json, const Team& team, uint64_t version) {
  const Held held = HeldBy(app, team.id);
  json.BeginObject()
      .Field("id", team.id.text())
      .Field("resource_version", version)
      .Field("name", team.name)
      .Field("memory_guaranteed_bytes", team.memory_guaranteed.value())
      .Field("memory_max_bytes", team.memory_max.value())
      .Field("memory_held_bytes", held.memory.value())
      .Field("members", held.members);
  json.Key("created_at").Time(team.created_at);
  json.EndObject();
}

net::Response TeamResponse(App& app, int status, const Team& team, uint64_t version) {
  JsonWriter json;
  WriteTeam(app, json, team, version);
  return JsonResponse(status, json.Take(), version);
}

OrProblem<Stored<Team>> KnownTeam(App& app, const Call& call) {
  auto team = app.objects.Get<Team>(call.id);
  if (team) return std::move(*team);
  return No(ProblemCode::kNotFound, fmt::format("There is no team {}.", call.id));
}

struct TeamWish {
  std::optional<std::string> name;
  std::optional<int64_t> guaranteed;
  std::optional<int64_t> most;
};

OrProblem<TeamWish> ReadTeamWish(const Call& call, bool is_new) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  if (is_new) fields.Require({"name"});
  TeamWish wish{.name = fields.DisplayText("name", 64),
                .guaranteed = fields.Int("memory_guaranteed_bytes", {0, kMemoryMax}),
                .most = fields.Int("memory_max_bytes", {0, kMemoryMax})};
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  if (!wish.name && !wish.guaranteed && !wish.most) {
    return No(ProblemCode::kInvalidField, "Say what to change.");
  }
  return wish;
}

OrProblem<void> Apply(const TeamWish& wish, Team& team) {
  if (wish.name) team.name = *wish.name;
  if (wish.guaranteed) team.memory_guaranteed = Bytes(*wish.guaranteed);
  if (wish.most) team.memory_max = Bytes(*wish.most);
  if (team.memory_max > Bytes(0) && team.memory_max < team.memory_guaranteed) {
    return NoField(ProblemCode::kInvalidField,
                   "/memory_max_bytes",
                   "must not be below memory_guaranteed_bytes");
  }
  return {};
}

OrProblem<void> CheckNameIsFree(App& app, const Team& team) {
  const auto teams = app.objects.List<Team>();
  if (!teams) return No(teams.error());
  for (const auto& other : teams->objects) {
    if (other->value.id == team.id || other->value.name != team.name) continue;
    return NoField(ProblemCode::kAlreadyExists,
                   "/name",
                   fmt::format("There is already a team {}.", team.name));
  }
  return {};
}

std::string WordsFor(const Team& team) {
  return fmt::format(
      "{}: {} guaranteed, {}",
      team.name,
      ToText(team.memory_guaranteed),
      team.memory_max > Bytes(0) ? "at most " + ToText(team.memory_max) : "no limit");
}

// Reads the team that an If-Match names.
OrProblem<store::Versioned<Team>> TeamToChange(App& app, const Call& call) {
  const auto wanted = IfMatch(call.request);
  if (!wanted) return tl::unexpected(wanted.error());
  const auto team = KnownTeam(app, call);
  if (!team) return tl::unexpected(team.error());
  if (auto same = CheckVersion(*wanted, (*team)->version); !same) {
    return tl::unexpected(same.error());
  }
  return **team;
}

}  // namespace

Answer ListTeams(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto teams = app.objects.List<Team>(page->after, page->limit + 1);
  if (!teams) return No(teams.error());
  ListWriter list;
  std::string next;
  for (size_t i = 0; i < teams->objects.size(); ++i) {
    if (i == page->limit) {
      next = CursorFor(teams->objects[i - 1]->value.id.text());
      break;
    }
    WriteTeam(app, list.json(), teams->objects[i]->value, teams->objects[i]->version);
  }
  return list.Finish(teams->version, next);
}

Answer CreateTeam(App& app, const Call& call) {
  const auto wish = ReadTeamWish(call, /*is_new=*/true);
  if (!wish) return tl::unexpected(wish.error());
  Team team;
  if (auto good = Apply(*wish, team); !good) return tl::unexpected(good.error());
  const std::lock_guard gate(app.quota_gate);
  if (auto free = CheckNameIsFree(app, team); !free) return tl::unexpected(free.error());
  team.created_at = app.clock.Now();
  team.id = TeamId(NewIdText("tem", team.created_at, app.random));
  std::vector<store::Write> writes = {store::Put(team, 0)};
  if (call.replay != nullptr) writes.push_back(app.replays.Pending(*call.replay, team.id.text()));
  const auto revision = app.Commit(
      call, std::move(writes), {"team.create", team.id.text(), "ok", WordsFor(team)}, team.name);
  if (!revision) return No(revision.error());
  net::Response response = TeamResponse(app, 201, team, *revision);
  response.headers.Set("Location", "/v1/teams/" + team.id.text());
  return response;
}

Answer GetTeam(App& app, const Call& call) {
  const auto team = KnownTeam(app, call);
  if (!team) return tl::unexpected(team.error());
  return TeamResponse(app, 200, (*team)->value, (*team)->version);
}

Answer UpdateTeam(App& app, const Call& call) {
  const auto wish = ReadTeamWish(call, /*is_new=*/false);
  if (!wish) return tl::unexpected(wish.error());
  const std::lock_guard gate(app.quota_gate);
  auto team = TeamToChange(app, call);
  if (!team) return tl::unexpected(team.error());
  if (auto good = Apply(*wish, team->value); !good) return tl::unexpected(good.error());
  if (auto free = CheckNameIsFree(app, team->value); !free) return tl::unexpected(free.error());
  const auto revision = app.Commit(call,
                                   {store::Put(team->value, team->version)},
                                   {"team.update", call.id, "ok", WordsFor(team->value)},
                                   team->value.name);
  if (!revision) return No(revision.error());
  return TeamResponse(app, 200, team->value, *revision);
}

Answer DeleteTeam(App& app, const Call& call) {
  const std::lock_guard gate(app.quota_gate);
  const auto team = TeamToChange(app, call);
  if (!team) return tl::unexpected(team.error());
  if (const int members = HeldBy(app, team->value.id).members; members > 0) {
    return No(
        ProblemCode::kStateConflict,
        fmt::format(
            "{} people are in team {}. Give them another team first.", members, team->value.name));
  }
  const auto revision = app.Commit(call,
                                   {{store::Kind::kTeam, call.id, team->version, std::nullopt}},
                                   {"team.delete", call.id, "ok", team->value.name},
                                   team->value.name);
  if (!revision) return No(revision.error());
  return net::Response{.status = 204};
}

}  // namespace sluice::portal
