// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <memory>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

std::string CardsText(const Json& ids) {
  std::string text;
  for (const Json& id : ids) text += (text.empty() ? "" : " ") + Safe(id.get<std::string>());
  return text;
}

std::string PlanText(const Json& plan) {
  Table table({"DESKTOP", "OWNER", "MEMORY", "FROM", "TO"});
  for (const Json& move : Array(plan, "moves")) {
    table.Add({Text(move, "name"),
               Text(move, "owner"),
               BytesText(move, "memory_bytes"),
               CardsText(Array(move, "from_gpu_ids")),
               CardsText(Array(move, "to_gpu_ids"))});
  }
  std::string text = table.Lines("No desktop moves.");
  const Json& freed = Array(plan, "freed_gpu_ids");
  if (!freed.empty()) {
    text += fmt::format("Cards that become whole: {}. People who are disturbed: {}.\n",
                        CardsText(freed),
                        Number(plan, "people"));
  }
  if (Number(plan, "withdrawn") > 0) {
    text += fmt::format("Moves that are called off: {}.\n", Number(plan, "withdrawn"));
  }
  if (Number(plan, "stay") > 0) {
    text += fmt::format("Desktops that stay, as there is no room any more where they were: {}.\n",
                        Number(plan, "stay"));
  }
  return text;
}

struct Wish {
  std::string pool;
  int people_max = 1;
  bool apply = false;
  bool undo = false;
};

Json Asked(Context& context, const Wish& wish) {
  const std::string path = "/v1/pools/" + Encoded(wish.pool);
  if (wish.undo) return context.api.Post(path + "/undo-consolidation", nullptr);
  return context.api.Post(path + "/consolidation",
                          {{"people_max", wish.people_max}, {"apply", wish.apply}});
}

Action MakeConsolidate(CLI::App& app) {
  auto wish = std::make_shared<Wish>();
  app.add_option("POOL", wish->pool, "Id of the pool; see: sluice pool list")->required();
  app.add_option("--max-people", wish->people_max, "How many people may be disturbed; default: 1")
      ->check(CLI::Range(0, 10'000));
  auto* apply = app.add_flag(
      "--apply", wish->apply, "Tell their users, and move them when the pool's notice is over");
  app.add_flag("--undo", wish->undo, "Take the last consolidation back")->excludes(apply);
  return [wish](Context& context) {
    const Json plan = Asked(context, *wish);
    if (context.json) {
      OutJson(plan);
      return kOk;
    }
    Out(PlanText(plan));
    if (plan.contains("at") && plan["at"].is_string()) {
      Out("Their users were told; they move at " + TimeText(plan, "at") + ".\n");
    } else if (!wish->undo && !Array(plan, "moves").empty()) {
      Out("Nothing was done. To do it, add --apply.\n");
    }
    return kOk;
  };
}

constexpr Verb kVerbs[] = {
    {"pool",
     "consolidate",
     "Which desktops would move so that cards become whole; with --apply they do (admins)",
     MakeConsolidate},
};

}  // namespace

std::span<const Verb> ConsolidateVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
