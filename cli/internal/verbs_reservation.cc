// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <memory>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

std::string MemoryText(const Json& reservation) {
  return Number(reservation, "memory_bytes") == 0 ? "whole"
                                                  : BytesText(reservation, "memory_bytes");
}

// "3 of 4": what the team could have of it as things stand.
std::string RoomText(const Json& reservation) {
  return fmt::format("{} of {}", Number(reservation, "room"), Number(reservation, "count"));
}

Action MakeList(CLI::App&) {
  return [](Context& context) {
    const Json all = context.api.All("/v1/reservations");
    if (context.json) {
      OutJson(all);
      return kOk;
    }
    Table table({"ID", "NAME", "TEAM", "CARDS", "MEMORY", "FROM", "TO", "ROOM"});
    for (const Json& one : all) {
      table.Add({Text(one, "id"),
                 Text(one, "name"),
                 Text(one, "team"),
                 std::to_string(Number(one, "count")),
                 MemoryText(one),
                 TimeText(one, "starts_at"),
                 TimeText(one, "ends_at"),
                 RoomText(one)});
    }
    Out(table.Lines("Nothing is reserved. Reserve with: sluice reservation add NAME"));
    return kOk;
  };
}

struct Wish {
  std::string name;
  std::string team;
  std::string pool;
  std::string model;
  std::string memory;
  std::string from;
  std::string to;
  int count = 1;
};

Json BodyOf(Context& context, const Wish& wish) {
  const Json team = FindTeam(context.api, wish.team);
  Json body = {{"name", wish.name},
               {"team_id", Text(team, "id")},
               {"count", wish.count},
               {"memory_bytes", wish.memory == "whole" ? 0 : MemoryBytes(wish.memory)},
               {"starts_at", wish.from},
               {"ends_at", wish.to}};
  if (!wish.pool.empty()) body["pool_id"] = wish.pool;
  if (!wish.model.empty()) body["model"] = wish.model;
  return body;
}

Action MakeAdd(CLI::App& app) {
  auto wish = std::make_shared<Wish>();
  app.add_option("NAME", wish->name, "What it is for")->required();
  app.add_option("--team", wish->team, "Who may use it: name or id")->required();
  app.add_option("--cards", wish->count, "How many cards")->check(CLI::Range(1, 100'000));
  app.add_option("--memory", wish->memory, "On each card, for example 8GiB, or whole")
      ->check(kMemory | CLI::IsMember({"whole"}))
      ->default_val("whole");
  app.add_option("--from", wish->from, "Its start, for example 2026-12-01T09:00:00Z")->required();
  app.add_option("--to", wish->to, "Its end")->required();
  app.add_option("--pool", wish->pool, "Of one pool's cards only; see: sluice pool list");
  app.add_option("--model", wish->model, "Of cards of one model only; see: sluice gpu list");
  return [wish](Context& context) {
    const Json made = context.api.Post("/v1/reservations", BodyOf(context, *wish));
    if (context.json) {
      OutJson(made);
      return kOk;
    }
    Out(fmt::format("{} is reserved for team {}; as things stand it can have {} cards.\n",
                    Text(made, "id"),
                    Text(made, "team"),
                    RoomText(made)));
    return kOk;
  };
}

Action MakeDelete(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("RESERVATION", *id, "Id; see: sluice reservation list")->required();
  return [id](Context& context) {
    context.api.Remove("/v1/reservations/" + Encoded(*id));
    if (!context.json) Out("reservation " + *id + " is deleted\n");
    return kOk;
  };
}

constexpr Verb kVerbs[] = {
    {"reservation", "list", "What is kept for teams, and how much of it they could have", MakeList},
    {"reservation", "add", "Keep cards for a team from one time to another (admins)", MakeAdd},
    {"reservation", "delete", "Give back what is reserved (admins)", MakeDelete},
};

}  // namespace

std::span<const Verb> ReservationVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
