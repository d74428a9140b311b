// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <memory>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

std::string LimitText(const Json& team) {
  return Number(team, "memory_max_bytes") == 0 ? "none" : BytesText(team, "memory_max_bytes");
}

int Show(Context& context, const Json& team) {
  if (context.json) {
    OutJson(team);
  } else {
    Out(fmt::format("{}: {} guaranteed, limit {}\n",
                    Text(team, "name"),
                    BytesText(team, "memory_guaranteed_bytes"),
                    LimitText(team)));
  }
  return kOk;
}

Action MakeList(CLI::App&) {
  return [](Context& context) {
    const Json teams = context.api.All("/v1/teams");
    if (context.json) {
      OutJson(teams);
      return kOk;
    }
    Table table({"NAME", "MEMBERS", "HELD", "GUARANTEED", "LIMIT"});
    for (const Json& team : teams) {
      table.Add({Text(team, "name"),
                 std::to_string(Number(team, "members")),
                 BytesText(team, "memory_held_bytes"),
                 BytesText(team, "memory_guaranteed_bytes"),
                 LimitText(team)});
    }
    Out(table.Lines("No teams. Add one with: sluice team add NAME"));
    return kOk;
  };
}

struct TeamWish {
  std::string name;
  std::string new_name;
  std::string guaranteed;
  std::string most;

  Json Body() const {
    Json body = Json::object();
    if (!new_name.empty()) body["name"] = new_name;
    if (!guaranteed.empty()) body["memory_guaranteed_bytes"] = MemoryOrZero(guaranteed);
    if (!most.empty()) body["memory_max_bytes"] = MemoryOrZero(most);
    return body;
  }
  static int64_t MemoryOrZero(const std::string& text) {
    return text == "none" || text == "0" ? 0 : MemoryBytes(text);
  }
};

void AddOptions(CLI::App& app, TeamWish& wish) {
  const auto memory_or_none = kMemory | CLI::IsMember({"none", "0"});
  app.add_option("--guaranteed",
                 wish.guaranteed,
                 "GPU memory that it gets before those that borrow, for example 48GiB; none")
      ->check(memory_or_none);
  app.add_option("--limit", wish.most, "It never holds more, for example 96GiB; none")
      ->check(memory_or_none);
}

Action MakeAdd(CLI::App& app) {
  auto wish = std::make_shared<TeamWish>();
  app.add_option("NAME", wish->new_name, "How people call it")->required();
  AddOptions(app, *wish);
  return [wish](Context& context) {
    return Show(context, context.api.Post("/v1/teams", wish->Body()));
  };
}

Action MakeSet(CLI::App& app) {
  auto wish = std::make_shared<TeamWish>();
  app.add_option("NAME", wish->name, "Name or id")->required();
  app.add_option("--name", wish->new_name, "Another name");
  AddOptions(app, *wish);
  return [wish](Context& context) {
    const Json body = wish->Body();
    if (body.empty()) Stop(kUsage, "say what to set: --name, --guaranteed or --limit");
    const Json team = FindTeam(context.api, wish->name);
    return Show(context, context.api.Change(PathOf("teams", team), body));
  };
}

Action MakeDelete(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "Name or id")->required();
  return [name](Context& context) {
    const Json team = FindTeam(context.api, *name);
    context.api.Remove(PathOf("teams", team));
    if (!context.json) Out("team " + Text(team, "name") + " is deleted\n");
    return kOk;
  };
}

constexpr Verb kVerbs[] = {
    {"team", "list", "The teams, what they hold and what they are guaranteed", MakeList},
    {"team", "add", "Add a team", MakeAdd},
    {"team", "set", "Change a team's name, guarantee or limit", MakeSet},
    {"team", "delete", "Delete a team that nobody is in", MakeDelete},
};

}  // namespace

std::span<const Verb> TeamVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
