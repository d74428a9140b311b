// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <memory>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kHelpOfId = "Id of the pool; see: sluice pool list";

std::string PriorityText(const Json& pool) {
  return Flag(pool, "strict_priority") ? "strict" : "in the queue only";
}

int Show(Context& context, const Json& pool) {
  if (context.json) {
    OutJson(pool);
    return kOk;
  }
  const auto row = [](std::string_view name, const std::string& value) {
    Out(fmt::format("{:<16}{}\n", name, value));
  };
  row("id", Text(pool, "id"));
  row("name", Text(pool, "name"));
  row("smallest share", BytesText(pool, "share_min_bytes"));
  row("bypass rule", Text(pool, "bypass_rule"));
  row("bypass slack", BytesText(pool, "bypass_slack_bytes"));
  row("priority", PriorityText(pool));
  return kOk;
}

Action MakeList(CLI::App&) {
  return [](Context& context) {
    const Json pools = context.api.All("/v1/pools");
    if (context.json) {
      OutJson(pools);
      return kOk;
    }
    Table table({"ID", "NAME", "SMALLEST SHARE", "BYPASS RULE", "BYPASS SLACK", "PRIORITY"});
    for (const Json& pool : pools) {
      table.Add({Text(pool, "id"),
                 Text(pool, "name"),
                 BytesText(pool, "share_min_bytes"),
                 Text(pool, "bypass_rule"),
                 BytesText(pool, "bypass_slack_bytes"),
                 PriorityText(pool)});
    }
    Out(table.Lines("No pool."));
    return kOk;
  };
}

Action MakeShow(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("POOL", *id, std::string(kHelpOfId))->required();
  return [id](Context& context) {
    return Show(context, context.api.Get("/v1/pools/" + Encoded(*id)));
  };
}

struct PoolWish {
  std::string id;
  std::string rule;
  std::string slack;
  std::string strict;
};

Action MakeSet(CLI::App& app) {
  auto wish = std::make_shared<PoolWish>();
  app.add_option("POOL", wish->id, std::string(kHelpOfId))->required();
  app.add_option("--bypass-rule",
                 wish->rule,
                 "What is done about a program that holds memory round the share's ledger: warn, "
                 "throttle (its share's work is slowed down until it ends) or end")
      ->check(CLI::IsMember({"warn", "throttle", "end"}));
  app.add_option("--bypass-slack",
                 wish->slack,
                 "What a program that uses the interposer may hold beyond the ledger, for example "
                 "1GiB")
      ->check(kMemory);
  app.add_option("--strict-priority",
                 wish->strict,
                 "on: a share of a higher priority has the card before those of a lower one")
      ->check(CLI::IsMember({"on", "off"}));
  return [wish](Context& context) {
    Json change = Json::object();
    if (!wish->rule.empty()) change["bypass_rule"] = wish->rule;
    if (!wish->slack.empty()) change["bypass_slack_bytes"] = MemoryBytes(wish->slack);
    if (!wish->strict.empty()) change["strict_priority"] = wish->strict == "on";
    if (change.empty()) {
      Stop(kUsage, "say what to set: --bypass-rule, --bypass-slack or --strict-priority");
    }
    const std::string path = "/v1/pools/" + Encoded(wish->id);
    return Show(context, context.api.Change(path, change));
  };
}

constexpr Verb kVerbs[] = {
    {"pool", "list", "The pools of cards and their rules", MakeList},
    {"pool", "show", "One pool", MakeShow},
    {"pool", "set", "Change a pool's rules; they hold at once (admins)", MakeSet},
};

}  // namespace

std::span<const Verb> PoolVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
