// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fmt/core.h>
#include <memory>
#include <vector>

#include "cli/internal/fields.h"
#include "cli/internal/html_file.h"
#include "cli/internal/print.h"
#include "cli/internal/progress.h"
#include "cli/internal/sim_words.h"
#include "cli/internal/verb.h"
#include "sim/plan.h"
#include "sim/plan_report.h"
#include "sim/timed_trace.h"

namespace sluice::cli {
namespace {

// A trace says nothing of when it was; from the epoch on, time 0 would mean "not yet".
constexpr TimePoint kTraceBegins{Duration(86'400'000)};

struct PlanWords {
  std::string fleet;
  std::string share;
  std::string idle;
  std::string policy;
  int overcommit = 0;
  std::string preempt;
  double price = 0;
  int growth = 100;
  bool synthetic = false;
  std::string nodes;
  std::string pods;
  std::string card = "24GiB";
  std::string from;
  int every_node = 1;
  int offered = 0;
  std::string html;
};

std::string TargetOf(const PlanWords& words) {
  std::string query = fmt::format("growth_pct={}", words.growth);
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) query += fmt::format("&{}={}", name, Encoded(value));
  };
  add("fleet", words.fleet);
  add("policy", words.policy);
  add("preempt", words.preempt);
  if (words.overcommit > 0) add("overcommit_pct", std::to_string(words.overcommit));
  if (!words.share.empty()) add("share_bytes", std::to_string(MemoryBytes(words.share)));
  if (!words.idle.empty()) add("idle_s", std::to_string(Seconds(words.idle)));
  if (words.price > 0) add("price", fmt::format("{}", words.price));
  if (words.synthetic) add("synthetic", "true");
  return "/v1/plan?" + query;
}

// A trace as if it had been this installation's.
std::vector<PastClaim> PastOf(const sim::TimedTrace& trace) {
  std::vector<PastClaim> past;
  for (const sim::TimedClaim& claim : trace.claims) {
    const TimePoint came = kTraceBegins + claim.arrives.time_since_epoch();
    past.push_back({.id = claim.id,
                    .template_id = TemplateId(claim.kind),
                    .request = claim.request,
                    .allocations = {{.gpu = GpuId("trace"), .memory = claim.request.memory}},
                    .queued_since = came,
                    .held_since = came,
                    .ended_at = came + claim.runs});
  }
  return past;
}

Json PlanOfTrace(const PlanWords& words) {
  sim::TimedTraceOptions options{.every_node = words.every_node,
                                 .pace_pct = words.offered > 0 ? 0 : 100,
                                 .offered_pct = std::max(words.offered, 1),
                                 .card = Bytes(MemoryBytes(words.card))};
  if (!words.from.empty()) options.from_s = Seconds(words.from);
  const sim::TimedTrace trace = sim::MakeTimedTrace(
      Need(sim::ReadNodes(words.nodes)), Need(sim::ReadPods(words.pods)), options);
  const std::vector<PastClaim> past = PastOf(trace);
  sim::PlanQuestion question{.fleet = words.fleet,
                             .price = words.price,
                             .growth_pct = words.growth,
                             .synthetic = words.synthetic};
  if (!words.share.empty()) question.share = Bytes(MemoryBytes(words.share));
  if (!words.idle.empty()) question.idle = Duration(Seconds(words.idle) * 1000);
  if (!words.policy.empty()) {
    question.policy = ParsePlacementPolicy(words.policy);
    if (!question.policy) Stop(kUsage, fmt::format("there is no policy \"{}\"", words.policy));
  }
  if (words.overcommit > 0) question.overcommit_pct = words.overcommit;
  if (!words.preempt.empty()) question.preempt = ParsePreemptRule(words.preempt);
  Progress progress("plan");
  return Json(sim::ToJson(
      Need(sim::Plan({.past = past, .gpus = trace.fleet}, question, [&](size_t done, size_t of) {
        progress.Show(done, of);
      }))));
}

double Figure(const Json& run, const char* name) {
  return run.at(name).get<double>();
}

std::string CostText(const Json& run, const char* name) {
  const Json& cost = run.at("cost");
  return cost.is_null() ? "-" : fmt::format("{:.2f}", cost.at(name).get<double>());
}

using Row = std::string (*)(const Json& run);
constexpr std::pair<const char*, Row> kRows[] = {
    {"fleet", [](const Json& run) { return Text(run.at("fleet"), "text"); }},
    {"policy", [](const Json& run) { return Text(run.at("rules"), "policy"); }},
    {"guarantees up to",
     [](const Json& run) { return fmt::format("{}%", Number(run.at("rules"), "overcommit_pct")); }},
    {"who gives way", [](const Json& run) { return Text(run.at("rules"), "preempt"); }},
    {"starts", [](const Json& run) { return std::to_string(Number(run, "starts")); }},
    {"gave way", [](const Json& run) { return std::to_string(Number(run, "gave_way")); }},
    {"refused", [](const Json& run) { return std::to_string(Number(run, "refused")); }},
    {"waited", [](const Json& run) { return std::to_string(Number(run.at("wait_s"), "waited")); }},
    {"mean wait", [](const Json& run) { return SpanText(Figure(run.at("wait_s"), "mean")); }},
    {"half waited at most",
     [](const Json& run) { return SpanText(Figure(run.at("wait_s"), "p50")); }},
    {"95 of 100 at most",
     [](const Json& run) { return SpanText(Figure(run.at("wait_s"), "p95")); }},
    {"99 of 100 at most",
     [](const Json& run) { return SpanText(Figure(run.at("wait_s"), "p99")); }},
    {"longest queue", [](const Json& run) { return std::to_string(Number(run, "longest_queue")); }},
    {"held while claims came",
     [](const Json& run) { return fmt::format("{:.1f}%", Figure(run, "utilisation_pct")); }},
    {"asked", [](const Json& run) { return fmt::format("{:.1f}%", Figure(run, "offered_pct")); }},
    {"GPU-hours held",
     [](const Json& run) { return fmt::format("{:.1f}", Figure(run, "gpu_hours_held")); }},
    {"GPU-hours lost",
     [](const Json& run) { return fmt::format("{:.1f}", Figure(run, "gpu_hours_lost")); }},
    {"card-hours", [](const Json& run) { return CostText(run, "card_hours"); }},
    {"cost", [](const Json& run) { return CostText(run, "total"); }},
    {"cost per useful GPU-hour",
     [](const Json& run) { return CostText(run, "per_useful_gpu_hour"); }},
};

void PrintPlan(const Json& plan) {
  const Json& history = plan.at("history");
  const Json& load = plan.at("load");
  if (plan.at("today").is_null()) {
    Out(Safe(Text(history, "why")) + "\n");
    if (Number(history, "claims") > 0) {
      Out("With --synthetic, two weeks are drawn from the days there are.\n");
    }
    return;
  }
  Out(fmt::format(
      "{} {} claims are played.\n\n", Safe(Text(load, "text")), Number(load, "claims")));
  Table table({"FIGURE", "TODAY", "PLANNED"});
  for (const auto& [name, row] : kRows)
    table.Add({name, row(plan.at("today")), row(plan.at("planned"))});
  Out(table.Lines("Nothing was played."));
  for (const char* side : {"today", "planned"}) {
    for (const Json& why : plan.at(side).at("refused_why")) {
      Out(fmt::format(
          "{}: {} refused: {}\n", side, Number(why, "claims"), Safe(Text(why, "reason"))));
    }
    if (Flag(plan.at(side), "cut_short")) {
      Out(fmt::format("{}: far more is asked than this fleet can do; not played to the end\n",
                      side));
    }
  }
  if (Number(load, "any_card") > 0) {
    Out(fmt::format("{} claims named cards that the planned fleet does not have; they take any\n",
                    Number(load, "any_card")));
  }
  if (Number(load, "in_parts") > 0) {
    Out(fmt::format("{} claims ask for several parts; each starts with all of them\n",
                    Number(load, "in_parts")));
  }
  if (Number(load, "reservations") > 0) {
    Out(fmt::format("{} reservations were in force and are played\n",
                    Number(load, "reservations")));
  }
  if (Number(load, "ended_by_idle") > 0) {
    Out(fmt::format("{} claims end earlier by the idle limit\n", Number(load, "ended_by_idle")));
  }
}

sim::HtmlPage PageOf(const Json& plan) {
  sim::HtmlPage page{.title = "Capacity plan"};
  if (plan.at("today").is_null()) {
    page.notes = {Text(plan.at("history"), "why")};
    return page;
  }
  page.notes = {Text(plan.at("load"), "text")};
  sim::HtmlTable table{"Figures", {{"FIGURE", "TODAY", "PLANNED"}}};
  for (const auto& [name, row] : kRows) {
    table.rows.push_back({name, row(plan.at("today")), row(plan.at("planned"))});
  }
  page.tables = {std::move(table)};
  const auto chart = [&](const char* title, const char* unit, const char* member) {
    sim::Chart drawn{.title = title, .x_name = "hours", .y_name = unit};
    for (const char* side : {"today", "planned"}) {
      sim::Series series{side, {}};
      for (const Json& point : plan.at(side).at("points")) {
        series.points.emplace_back(Figure(point, "hours"), Figure(point, member));
      }
      drawn.series.push_back(std::move(series));
    }
    return drawn;
  };
  page.charts = {chart("Who waits", "claims in the queue", "waiting"),
                 chart("What is held", "% of the cards", "held_pct")};
  return page;
}

int Plan(Context& context, const PlanWords& words) {
  if (words.nodes.empty() != words.pods.empty()) Stop(kUsage, "--nodes and --pods go together");
  const Json plan = words.nodes.empty() ? context.api.Get(TargetOf(words)) : PlanOfTrace(words);
  WriteHtml(words.html, PageOf(plan));
  if (context.json) {
    OutJson(plan);
  } else {
    PrintPlan(plan);
  }
  return kOk;
}

void AddTraceOptions(CLI::App& app, PlanWords& words) {
  app.add_option("--nodes", words.nodes, "Instead of this installation's past, a trace's machines")
      ->check(CLI::ExistingFile);
  app.add_option("--pods", words.pods, "A trace's requests; columns as for: sluice sim replay")
      ->check(CLI::ExistingFile);
  app.add_option("--card", words.card, "Of a trace: memory of its cards")
      ->capture_default_str()
      ->check(kMemory);
  app.add_option("--from", words.from, "Of a trace: leave out what came earlier, as in 115d")
      ->check(kTimeSpan);
  app.add_option("--every-node", words.every_node, "Of a trace: one machine of so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--offered",
                 words.offered,
                 "Of a trace: claims come so fast that so many percent of what the cards can do is "
                 "asked")
      ->check(CLI::Range(1, 10'000));
}

Action MakePlan(CLI::App& app) {
  auto words = std::make_shared<PlanWords>();
  app.add_option(
      "--fleet",
      words->fleet,
      "Machines: cards x memory, if you like with their number and a price per card-hour: "
      "4x24GiB,10*2x80GiB@1.20; default: today's");
  app.add_option("--share", words->share, "What shares of a card ask for instead, as in 6GiB")
      ->check(kMemory);
  app.add_option("--idle", words->idle, "Desktops end when nobody has used them so long, as in 30m")
      ->check(kTimeSpan);
  app.add_option("--policy", words->policy, "How cards are chosen; default: as the pool says");
  app.add_option("--overcommit",
                 words->overcommit,
                 "What guarantees on a card may add up to, in percent of it; default: as the pool "
                 "says")
      ->check(CLI::Range(100, 1000));
  app.add_option("--preempt", words->preempt, "Who gives way; default: as the pool says")
      ->check(CLI::IsMember({"never", "borrowed", "lower_priority"}));
  app.add_option("--price", words->price, "Of a card for an hour, where --fleet does not say")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--growth", words->growth, "So many claims, in percent of those that came")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_flag("--synthetic",
               words->synthetic,
               "With too little history: draw two weeks from the days there are");
  AddHtmlOption(app, words->html);
  AddTraceOptions(app, *words);
  return [words](Context& context) { return Plan(context, *words); };
}

constexpr Verb kVerbs[] = {
    {"", "plan", "What has been asked for, on another fleet: waits and cost", MakePlan},
};

}  // namespace

std::span<const Verb> PlanVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
