// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "portal/internal/handlers.h"
#include "portal/internal/json_body.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;
constexpr int64_t kCardsMax = 100'000;

std::string TeamName(App& app, const TeamId& id) {
  const auto team = app.objects.Get<Team>(id.text());
  return team ? (*team)->value.name : "(removed)";
}

// Fails with what control said of the store.
OrProblem<void> WriteReservation(App& app,
                                 JsonWriter& json,
                                 const store::Versioned<Reservation>& stored) {
  const Reservation& one = stored.value;
  const auto room = app.control.RoomFor(one);
  if (!room) return No(room.error());
  json.BeginObject()
      .Field("id", one.id.text())
      .Field("resource_version", stored.version)
      .Field("name", one.name)
      .Field("team_id", one.team.text())
      .Field("team", TeamName(app, one.team));
  json.Key("pool_id").TextOrNull(one.pool.text());
  json.Key("model").TextOrNull(one.gpu_model);
  json.Field("count", one.count).Field("memory_bytes", one.memory.value()).Field("room", *room);
  json.Key("starts_at").Time(one.starts_at);
  json.Key("ends_at").Time(one.ends_at);
  json.Key("created_at").Time(one.created_at);
  json.EndObject();
  return {};
}

Answer ReservationResponse(App& app, int status, const store::Versioned<Reservation>& stored) {
  JsonWriter json;
  if (auto written = WriteReservation(app, json, stored); !written) {
    return tl::unexpected(written.error());
  }
  return JsonResponse(status, json.Take(), stored.version);
}

OrProblem<Stored<Reservation>> KnownReservation(App& app, const Call& call) {
  auto one = app.objects.Get<Reservation>(call.id);
  if (one) return std::move(*one);
  return No(ProblemCode::kNotFound, fmt::format("There is no reservation {}.", call.id));
}

TimePoint ReadTime(FieldReader& fields, std::string_view name) {
  const auto text = fields.Text(name, 40);
  if (!text) return {};
  if (const auto time = ParseRfc3339(*text)) return *time;
  fields.Reject(name, "text", "must be a time like 2026-11-22T18:00:00Z");
  return {};
}

OrProblem<Reservation> ReadWish(App& app, const Call& call) {
  const auto body = ParseBody(call.request.body);
  if (!body) return tl::unexpected(body.error());
  FieldErrors errors;
  FieldReader fields(*body, errors);
  fields.Require({"name", "team_id", "count", "memory_bytes", "starts_at", "ends_at"});
  Reservation wish;
  wish.name = fields.DisplayText("name", 64).value_or("");
  wish.team = TeamId(fields.Text("team_id", 80).value_or(""));
  if (!fields.TakeNull("pool_id")) wish.pool = PoolId(fields.Text("pool_id", 80).value_or(""));
  if (!fields.TakeNull("model")) wish.gpu_model = fields.Text("model", 200).value_or("");
  wish.count = static_cast<int>(fields.Int("count", {1, kCardsMax}).value_or(1));
  wish.memory = Bytes(fields.Int("memory_bytes", {0, kMemoryMax}).value_or(0));
  wish.starts_at = ReadTime(fields, "starts_at");
  wish.ends_at = ReadTime(fields, "ends_at");
  fields.RejectUnknown();
  if (!errors.empty()) return NoFields(std::move(errors));
  if (!app.objects.Get<Team>(wish.team.text())) {
    return NoField(ProblemCode::kInvalidField,
                   "/team_id",
                   fmt::format("There is no team {}.", wish.team.text()));
  }
  if (!wish.pool.empty() && !app.objects.Get<Pool>(wish.pool.text())) {
    return NoField(ProblemCode::kInvalidField,
                   "/pool_id",
                   fmt::format("There is no pool {}.", wish.pool.text()));
  }
  if (wish.ends_at <= wish.starts_at || wish.ends_at <= app.clock.Now()) {
    return NoField(
        ProblemCode::kInvalidField, "/ends_at", "must be after starts_at and in the future");
  }
  return wish;
}

// Open cards that the reservation could be given.
std::set<GpuId> CardsOf(App& app, const Reservation& wish) {
  std::set<GpuId> cards;
  const auto all = app.objects.List<Gpu>();
  if (!all) return cards;
  for (const auto& stored : all->objects) {
    const Gpu& gpu = stored->value;
    const bool admitted = (wish.pool.empty() || wish.pool == gpu.pool) &&
                          (wish.gpu_model.empty() || wish.gpu_model == gpu.model);
    if (admitted && OpenToShares(gpu)) cards.insert(gpu.id);
  }
  return cards;
}

bool IsThereAtStart(const Claim& claim, const Reservation& wish) {
  return claim.ends_at == TimePoint{} || claim.ends_at > wish.starts_at;
}

// Who of another team is on such cards now and not due to end before the reservation starts.
void WriteHolders(App& app,
                  JsonWriter& json,
                  const Reservation& wish,
                  const std::set<GpuId>& cards) {
  json.Key("holders").BeginArray();
  View view(app);
  const auto claims = app.objects.List<Claim>();
  for (const auto& stored : claims ? claims->objects : decltype(claims->objects){}) {
    const Claim& claim = stored->value;
    if (claim.team == wish.team || !IsThereAtStart(claim, wish)) continue;
    for (const Allocation& part : claim.allocations) {
      if (!cards.contains(part.gpu)) continue;
      const auto desktop = app.objects.Get<Desktop>(claim.desktop.text());
      json.BeginObject().Field("claim_id", claim.id.text());
      json.Key("desktop_id").TextOrNull(claim.desktop.text());
      json.Field("name", desktop ? (*desktop)->value.name : claim.run_command)
          .Field("owner", view.UserName(claim.user))
          .Field("gpu_id", part.gpu.text())
          .Field("memory_bytes", part.memory.value());
      json.Key("ends_at").TimeOrNull(claim.ends_at);
      json.EndObject();
    }
  }
  json.EndArray();
}

std::string WordsFor(const Reservation& one, const std::string& team) {
  return fmt::format("{} for team {}: {} cards with {} each",
                     one.name,
                     team,
                     one.count,
                     one.memory > Bytes(0) ? ToText(one.memory) : "all their memory");
}

}  // namespace

Answer ListReservations(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto all = app.objects.List<Reservation>(page->after, page->limit + 1);
  if (!all) return No(all.error());
  ListWriter list;
  std::string next;
  for (size_t i = 0; i < all->objects.size(); ++i) {
    if (i == page->limit) {
      next = CursorFor(all->objects[i - 1]->value.id.text());
      break;
    }
    auto written = WriteReservation(app, list.json(), *all->objects[i]);
    if (!written) return tl::unexpected(written.error());
  }
  return list.Finish(all->version, next);
}

Answer CreateReservation(App& app, const Call& call) {
  auto wish = ReadWish(app, call);
  if (!wish) return tl::unexpected(wish.error());
  wish->created_at = app.clock.Now();
  wish->id = ReservationId(NewIdText("rsv", wish->created_at, app.random));
  const std::string& id = wish->id.text();
  std::vector<store::Write> writes = {store::Put(*wish, 0)};
  if (call.replay != nullptr) writes.push_back(app.replays.Pending(*call.replay, id));
  const std::string team = TeamName(app, wish->team);
  const auto revision = app.Commit(
      call, std::move(writes), {"reservation.create", id, "ok", WordsFor(*wish, team)}, team);
  if (!revision) return No(revision.error());
  auto response = ReservationResponse(app, 201, {*wish, *revision});
  if (response) response->headers.Set("Location", "/v1/reservations/" + id);
  return response;
}

Answer TryReservation(App& app, const Call& call) {
  const auto wish = ReadWish(app, call);
  if (!wish) return tl::unexpected(wish.error());
  const auto room = app.control.RoomFor(*wish);
  if (!room) return No(room.error());
  const std::set<GpuId> cards = CardsOf(app, *wish);
  JsonWriter json;
  json.BeginObject().Field("room", *room).Field("cards", static_cast<int64_t>(cards.size()));
  WriteHolders(app, json, *wish, cards);
  json.EndObject();
  return JsonResponse(200, json.Take());
}

Answer GetReservation(App& app, const Call& call) {
  const auto one = KnownReservation(app, call);
  if (!one) return tl::unexpected(one.error());
  return ReservationResponse(app, 200, **one);
}

Answer DeleteReservation(App& app, const Call& call) {
  const auto wanted = IfMatch(call.request);
  if (!wanted) return tl::unexpected(wanted.error());
  const auto one = KnownReservation(app, call);
  if (!one) return tl::unexpected(one.error());
  if (auto same = CheckVersion(*wanted, (*one)->version); !same) {
    return tl::unexpected(same.error());
  }
  const std::string team = TeamName(app, (*one)->value.team);
  std::vector<store::Write> writes = {
      {store::Kind::kReservation, call.id, (*one)->version, std::nullopt}};
  Reservation over = (*one)->value;
  over.removed_at = app.clock.Now();
  writes.push_back(store::PutPast(over));
  const auto revision =
      app.Commit(call,
                 std::move(writes),
                 {"reservation.delete", call.id, "ok", WordsFor((*one)->value, team)},
                 team);
  if (!revision) return No(revision.error());
  return net::Response{.status = 204};
}

}  // namespace sluice::portal
