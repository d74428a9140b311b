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

// "never", "lower_priority, told 300 s before".
std::string GivesWayText(const Json& pool) {
  const std::string rule = Text(pool, "preempt");
  if (rule == "never") return rule;
  return fmt::format("{}, told {} s before", rule, Number(pool, "notice_s"));
}

// "sluice", or "sluice (tightest_card is in force)".
std::string PolicyText(const Json& pool) {
  const std::string wished = Text(pool, "placement");
  const std::string in_force = Text(pool, "placement_in_force");
  return wished == in_force ? wished : wished + " (" + in_force + " is in force)";
}

std::string OvercommitText(const Json& pool) {
  return fmt::format("up to {}% of a card", Number(pool, "compute_overcommit_percent"));
}

// "at least 2 of 4 cards left to shares (now 3)".
std::string BoundText(const Json& pool, std::string_view bound, std::string_view now) {
  const int64_t value = Number(pool, bound);
  if (value == 0) return "none";
  const Json cards = Object(pool, "cards");
  const bool floor = bound == "floor_cards";
  return fmt::format("at {} {} of {} cards {} (now {})",
                     floor ? "least" : "most",
                     value,
                     Number(cards, "total"),
                     floor ? "left to shares" : "with shares",
                     Number(cards, now));
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
  row("policy", PolicyText(pool));
  const std::string note = Text(pool, "placement_note");
  if (!note.empty()) row("", note);
  row("smallest share", BytesText(pool, "share_min_bytes"));
  row("step of shares", BytesText(pool, "share_step_bytes"));
  row("guarantees", OvercommitText(pool));
  row("floor", BoundText(pool, "floor_cards", "left_to_shares"));
  row("ceiling", BoundText(pool, "ceiling_cards", "with_shares"));
  row("bypass rule", Text(pool, "bypass_rule"));
  row("bypass slack", BytesText(pool, "bypass_slack_bytes"));
  row("priority", PriorityText(pool));
  row("gives way", GivesWayText(pool));
  return kOk;
}

Action MakeList(CLI::App&) {
  return [](Context& context) {
    const Json pools = context.api.All("/v1/pools");
    if (context.json) {
      OutJson(pools);
      return kOk;
    }
    Table table({"ID",
                 "NAME",
                 "POLICY",
                 "SMALLEST SHARE",
                 "BYPASS RULE",
                 "BYPASS SLACK",
                 "PRIORITY",
                 "GIVES WAY"});
    for (const Json& pool : pools) {
      table.Add({Text(pool, "id"),
                 Text(pool, "name"),
                 PolicyText(pool),
                 BytesText(pool, "share_min_bytes"),
                 Text(pool, "bypass_rule"),
                 BytesText(pool, "bypass_slack_bytes"),
                 PriorityText(pool),
                 GivesWayText(pool)});
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
  std::string policy;
  std::string smallest;
  std::string step;
  int overcommit = 0;
  int floor = -1;
  int ceiling = -1;
  std::string rule;
  std::string slack;
  std::string strict;
  std::string preempt;
  std::string notice;
  bool dry_run = false;
};

void AddPlacementOptions(CLI::App& app, PoolWish& wish) {
  app.add_option("--policy",
                 wish.policy,
                 "How a card is chosen: tightest_card, best_fit, packing, or by what is asked for "
                 "here: fgd, sluice")
      ->check(CLI::IsMember({"tightest_card", "best_fit", "packing", "fgd", "sluice"}));
  app.add_option("--smallest-share", wish.smallest, "What may be asked for at least: 1GiB")
      ->check(kMemory);
  app.add_option("--share-step", wish.step, "In which steps the form offers sizes: 256MiB")
      ->check(kMemory);
  app.add_option("--overcommit",
                 wish.overcommit,
                 "What the guarantees on a card may add up to, in percent of its compute")
      ->check(CLI::Range(100, 1'000));
  app.add_option("--floor",
                 wish.floor,
                 "Cards that are left to shares: a claim for whole cards waits rather than take "
                 "one of them; 0: none")
      ->check(CLI::Range(0, 65'535));
  app.add_option("--ceiling",
                 wish.ceiling,
                 "Cards that may carry shares at once; the others stay whole; 0: all")
      ->check(CLI::Range(0, 65'535));
  app.add_flag("--dry-run", wish.dry_run, "Only say whom the change would touch");
}

void AddNoticeOptions(CLI::App& app, PoolWish& wish) {
  app.add_option("--preempt",
                 wish.preempt,
                 "Whose desktops stop, with notice and queued again, for the first in the queue: "
                 "never anybody's, borrowed (what a team borrows, for what another is guaranteed) "
                 "or also lower_priority")
      ->check(CLI::IsMember({"never", "borrowed", "lower_priority"}));
  app.add_option("--notice",
                 wish.notice,
                 "From the message to the stop or the move of a desktop, for example 300s")
      ->check(kTimeSpan);
}

Json ChangeOf(const PoolWish& wish) {
  Json change = Json::object();
  if (!wish.policy.empty()) change["placement"] = wish.policy;
  if (!wish.smallest.empty()) change["share_min_bytes"] = MemoryBytes(wish.smallest);
  if (!wish.step.empty()) change["share_step_bytes"] = MemoryBytes(wish.step);
  if (wish.overcommit > 0) change["compute_overcommit_percent"] = wish.overcommit;
  if (wish.floor >= 0) change["floor_cards"] = wish.floor;
  if (wish.ceiling >= 0) change["ceiling_cards"] = wish.ceiling;
  if (!wish.rule.empty()) change["bypass_rule"] = wish.rule;
  if (!wish.slack.empty()) change["bypass_slack_bytes"] = MemoryBytes(wish.slack);
  if (!wish.strict.empty()) change["strict_priority"] = wish.strict == "on";
  if (!wish.preempt.empty()) change["preempt"] = wish.preempt;
  if (!wish.notice.empty()) change["notice_s"] = Seconds(wish.notice);
  if (change.empty()) Stop(kUsage, "say what to set; see: sluice pool set --help");
  return change;
}

int Try(Context& context, const std::string& path, const Json& change) {
  const Json trial = context.api.Post(path + "/dry-run", change);
  if (context.json) {
    OutJson(trial);
    return kOk;
  }
  Table table({"DESKTOP OR COMMAND", "OWNER", "EFFECT", "DETAIL"});
  for (const Json& one : Array(trial, "effects")) {
    table.Add({Text(one, "name"), Text(one, "owner"), Text(one, "effect"), Text(one, "detail")});
  }
  Out(table.Lines("No desktop and no run would be touched."));
  const std::string note = Text(trial, "placement_note");
  if (!note.empty()) Out(note + "\n");
  Out(fmt::format(
      "Largest free share, had all been placed anew: {} (as it is: {}). Nothing was changed.\n",
      BytesText(trial, "largest_free_after_bytes"),
      BytesText(trial, "largest_free_before_bytes")));
  return kOk;
}

Action MakeSet(CLI::App& app) {
  auto wish = std::make_shared<PoolWish>();
  app.add_option("POOL", wish->id, std::string(kHelpOfId))->required();
  AddPlacementOptions(app, *wish);
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
  AddNoticeOptions(app, *wish);
  return [wish](Context& context) {
    const Json change = ChangeOf(*wish);
    const std::string path = "/v1/pools/" + Encoded(wish->id);
    if (wish->dry_run) return Try(context, path, change);
    return Show(context, context.api.Change(path, change));
  };
}

Action MakeUndo(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("POOL", *id, std::string(kHelpOfId))->required();
  return [id](Context& context) {
    const std::string path = "/v1/pools/" + Encoded(*id);
    const Json former = Object(Object(context.api.Get(path), "last_change"), "former");
    if (former.empty()) Stop(kError, "there is no change to undo");
    return Show(context, context.api.Change(path, former));
  };
}

constexpr Verb kVerbs[] = {
    {"pool", "list", "The pools of cards and their rules", MakeList},
    {"pool", "show", "One pool", MakeShow},
    {"pool", "set", "Change a pool's rules; they hold at once (admins)", MakeSet},
    {"pool", "undo", "Take back the last change of a pool's rules (admins)", MakeUndo},
};

}  // namespace

std::span<const Verb> PoolVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
