// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/core.h>
#include <functional>
#include <map>
#include <memory>
#include <sstream>

#include "cli/cli.h"
#include "cli/internal/html_file.h"
#include "cli/internal/print.h"
#include "cli/internal/progress.h"
#include "cli/internal/sim_words.h"
#include "cli/internal/verb.h"
#include "sim/bound.h"
#include "sim/policies.h"
#include "sim/report.h"
#include "sim/trace.h"

namespace sluice::cli {
namespace {

struct ReplayWords {
  std::string nodes;
  std::string pods;
  std::string arrival;
  std::string policy = "fgd";
  double load = 1.3;
  std::string explain;
  std::vector<std::string> annotations;
  TimedWords timed;  // Its `html`, `moves` and `seed` are also the other replay's.
};

sim::ArrivalOrder OrderFor(const ReplayWords& words, const sim::Variant& variant) {
  const int percent = static_cast<int>(std::lround(words.load * 100));
  if (words.arrival.empty()) {
    return sim::DrawOrder(
        variant.nodes, variant.pods, {.seed = words.timed.seed, .load_percent = percent});
  }
  const auto orders =
      Need(sim::ReadOrders(words.arrival, {variant.pods.size(), variant.nodes.size()}));
  std::string seeds;
  for (const sim::ArrivalOrder& order : orders) {
    if (order.seed == words.timed.seed) return order;
    seeds += (seeds.empty() ? "" : ", ") + std::to_string(order.seed);
  }
  throw CommandFailed{
      {.exit_code = kNotFound,
       .text = fmt::format(
           "{} has no order for seed {}, only for: {}", words.arrival, words.timed.seed, seeds),
       .code = {}}};
}

std::vector<scheduler::Annotation> AnnotationsOf(const std::vector<std::string>& words) {
  std::vector<scheduler::Annotation> annotations;
  for (const std::string& word : words) {
    const size_t equals = std::min(word.find('='), word.size());
    annotations.push_back({word.substr(0, equals), word.substr(std::min(equals + 1, word.size()))});
  }
  return annotations;
}

void PrintReplay(const sim::ReplayResult& result) {
  Table table({"LOAD", "ALLOCATED", "FRAGMENT OF WHAT IS FREE"});
  for (const int load : sim::LoadsShown(result.allocation_pct)) {
    table.Add({fmt::format("{}%", load),
               fmt::format("{:.2f}%", result.allocation_pct.at(load)),
               fmt::format("{:.1f}%", result.fragment_pct.at(load))});
  }
  Out(table.Lines("Nothing arrived."));
  int64_t failed = 0;
  std::string kinds;
  for (const auto& [kind, count] : result.failed) {
    failed += count;
    kinds += fmt::format("{}{} {}", kinds.empty() ? ": " : ", ", count, kind);
  }
  Out(fmt::format("\n{}, seed {}: {} arrivals, {} moves, {} not placed{}\n",
                  result.policy,
                  result.seed,
                  result.arrivals,
                  result.moves,
                  failed,
                  kinds));
  Out(fmt::format("{:.0f} decisions/s; {:.1f} us in the median, {:.1f} us at most in 99 of 100\n",
                  result.decisions_per_s,
                  result.latency_us_p50,
                  result.latency_us_p99));
}

sim::HtmlPage PageOf(const ReplayWords& words, const sim::ReplayResult& result) {
  const auto chart = [&](const char* title, const char* unit, const sim::Curve& curve) {
    sim::Series series{result.policy, {}};
    for (const auto& [load, value] : curve) series.points.emplace_back(load, value);
    return sim::Chart{.title = title,
                      .x_name = "% of the cards asked for",
                      .y_name = unit,
                      .series = {std::move(series)}};
  };
  sim::HtmlTable table{"By load", {{"LOAD", "ALLOCATED", "FRAGMENT OF WHAT IS FREE"}}};
  for (const int load : sim::LoadsShown(result.allocation_pct)) {
    table.rows.push_back({fmt::format("{}%", load),
                          fmt::format("{:.2f}%", result.allocation_pct.at(load)),
                          fmt::format("{:.1f}%", result.fragment_pct.at(load))});
  }
  return {.title = fmt::format("Replay of {} by {}", words.pods, result.policy),
          .notes = {fmt::format(
              "Requests come one at a time, nobody leaves, nothing is tried again. Seed "
              "{}, {} arrivals, {} moves.",
              result.seed,
              result.arrivals,
              result.moves)},
          .tables = {std::move(table)},
          .charts = {chart("Allocated", "% of the cards", result.allocation_pct),
                     chart("Fragments", "% of what is free", result.fragment_pct)}};
}

int Replay(const ReplayWords& words, bool json) {
  if (words.timed.timed) return ReplayInTime(words.nodes, words.pods, words.timed, json);
  const sim::Variant variant{.name = words.pods,
                             .nodes = Need(sim::ReadNodes(words.nodes)),
                             .pods = Need(sim::ReadPods(words.pods))};
  const auto named = [&](const sim::TracePod& pod) { return pod.name == words.explain; };
  if (!words.explain.empty() && std::ranges::none_of(variant.pods, named)) {
    throw CommandFailed{{.exit_code = kNotFound,
                         .text = fmt::format("{} has no pod {}", words.pods, words.explain),
                         .code = {}}};
  }
  const sim::ArrivalOrder order = OrderFor(words, variant);
  sim::TraceFleet fleet = Need(
      sim::Annotated(sim::MakeTraceFleet(variant, order.nodes), AnnotationsOf(words.annotations)));
  sim::Policies policies;
  const auto policy = Need(policies.Make(words.policy, fleet, words.timed.seed));
  Progress progress(words.policy);
  std::vector<std::string> said;
  const sim::ReplayResult result =
      sim::Replay(fleet,
                  *policy,
                  order.pods,
                  {.seed = words.timed.seed,
                   .load_percent = static_cast<int>(std::lround(words.load * 100)),
                   .moves_per_10000 = words.timed.moves,
                   .moves_at_once = 2,
                   .on_arrival = [&](const sim::TraceFleet& now, const sim::Arrival& arrival) {
                     progress.Show(arrival.number, arrival.of);
                     if (!words.explain.empty() && named(now.pods[arrival.row])) {
                       said.push_back(words.explain + ", " + sim::Say(now, arrival));
                     }
                   }});
  WriteHtml(words.timed.html, PageOf(words, result));
  if (json) {
    Json answer = sim::ToJson(result);
    if (!words.explain.empty()) answer["explain"] = said;
    OutJson(answer);
    return kOk;
  }
  PrintReplay(result);
  if (!words.explain.empty()) Out("\n");
  for (const std::string& line : said) Out(line + "\n");
  if (!words.explain.empty() && said.empty()) Out(words.explain + " did not arrive\n");
  return kOk;
}

Action MakeReplay(CLI::App& app) {
  auto words = std::make_shared<ReplayWords>();
  app.add_option("--nodes",
                 words->nodes,
                 "Machines: CSV, also .gz; columns sn, cpu_milli, memory_mib, gpu, model")
      ->required();
  app.add_option("--pods",
                 words->pods,
                 "Requests: CSV, also .gz; columns name, cpu_milli, memory_mib, num_gpu, "
                 "gpu_milli, gpu_spec")
      ->required();
  app.add_option("--arrival",
                 words->arrival,
                 "Order of arrival and of nodes by seed; default: drawn by the seed");
  app.add_option("--policy", words->policy, "Who decides; see: sluice sim policies")
      ->capture_default_str();
  app.add_option("--seed", words->timed.seed, "Which order; with --timed: which claims are movable")
      ->capture_default_str();
  app.add_option(
         "--load", words->load, "Ends when so many times the cards' capacity has been asked for")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 10.0));
  app.add_option("--moves",
                 words->timed.moves,
                 "Claims that may be moved per 10,000 arrivals, for one that fits nowhere")
      ->capture_default_str()
      ->check(CLI::Range(0, 10'000));
  app.add_option(
      "--annotation",
      words->annotations,
      "KEY=VALUE that every pod has, in HAMi's words: hami.io/node-scheduler-policy=binpack, "
      "hami.io/gpu-scheduler-policy=spread, nvidia.com/use-gputype=A10, …; may be given "
      "several times");
  app.add_option("--explain", words->explain, "A pod's name: where it went or why nowhere");
  AddTimedOptions(app, words->timed);
  AddHtmlOption(app, words->timed.html);
  return [words](Context& context) { return Replay(*words, context.json); };
}

struct CompareWords {
  std::vector<std::string> policies = {"best_fit", "fgd", "sluice"};
  std::vector<std::string> variants = {"default"};
  std::string seeds = "42..51";
  std::string data;
  std::string html;
};

// "42..51" or "42,45".
std::vector<uint64_t> SeedsOf(const std::string& text) {
  std::vector<uint64_t> seeds;
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    unsigned long long first = 0;
    unsigned long long last = 0;
    char rest = 0;
    const int read = std::sscanf(part.c_str(), "%llu..%llu%c", &first, &last, &rest);
    if (read == 1 && part.find('.') == std::string::npos) last = first;
    const bool range = read == 2 || (read == 1 && part.find('.') == std::string::npos);
    if (!range || last < first || last - first >= 10'000) {
      throw CommandFailed{
          {.exit_code = kUsage,
           .text = fmt::format("--seeds: \"{}\" is neither a number nor a range like 42..51", part),
           .code = {}}};
    }
    for (; first <= last; ++first) seeds.push_back(first);
  }
  return seeds;
}

constexpr std::array kLoads = {95, 100, 130};

// One policy on one variant: means over the seeds, by load.
struct Compared {
  std::string variant;
  std::string policy;
  std::map<int, double> ours;
  std::map<int, double> published;  // Of the same seeds; empty if there is none.
  sim::Bounds bounds;               // Of the variant.
  int64_t seeds = 0;
  int64_t moves = 0;
  double per_s = 0;
};

Json ToJson(const Compared& row) {
  Json json = {{"variant", row.variant},
               {"policy", row.policy},
               {"seeds", row.seeds},
               {"moves", row.moves},
               {"decisions_per_s", std::round(row.per_s)}};
  for (const auto& [load, value] : row.ours) json["allocation_pct"][std::to_string(load)] = value;
  for (const auto& [load, value] : row.published) {
    json["published_pct"][std::to_string(load)] = value;
  }
  for (const auto& [load, value] : row.bounds.by_load) {
    json["bound_pct"][std::to_string(load)] = value;
  }
  json["first_refusal_bound_pct"] =
      row.bounds.first_refusal ? Json(*row.bounds.first_refusal) : Json(nullptr);
  return json;
}

void PrintCompared(const std::vector<Compared>& rows) {
  std::vector<std::string> head = {"VARIANT", "POLICY"};
  for (const int load : kLoads) head.push_back(fmt::format("AT {}%", load));
  for (const int load : kLoads) head.push_back(fmt::format("PUBLISHED AT {}%", load));
  head.insert(head.end(),
              {"BOUND AT 100%", "BOUND, NONE REFUSED", "MOVES", "SEEDS", "DECISIONS/S"});
  Table table(head);
  const auto cell = [](const std::map<int, double>& values, int load) {
    const auto at = values.find(load);
    return at == values.end() ? std::string("-") : fmt::format("{:.2f}", at->second);
  };
  for (const Compared& row : rows) {
    std::vector<std::string> cells = {row.variant, row.policy};
    for (const int load : kLoads) cells.push_back(cell(row.ours, load));
    for (const int load : kLoads) cells.push_back(cell(row.published, load));
    cells.push_back(cell(row.bounds.by_load, 100));
    cells.push_back(row.bounds.first_refusal ? fmt::format("{:.2f}", *row.bounds.first_refusal)
                                             : std::string("-"));
    cells.insert(
        cells.end(),
        {std::to_string(row.moves), std::to_string(row.seeds), fmt::format("{:.0f}", row.per_s)});
    table.Add(std::move(cells));
  }
  Out("Allocated, in % of the cards, when so much has been asked for; means over the seeds. The "
      "bounds\n"
      "are those of a linear program, for any scheduler and for one that refuses nobody it could "
      "serve.\n");
  Out(table.Lines("Nothing to compare."));
}

sim::HtmlPage PageOf(const std::vector<Compared>& rows) {
  sim::HtmlPage page{.title = "Policies beside each other and beside the bound"};
  page.notes = {
      "Allocated, in % of the cards, when so much has been asked for; means over the seeds. "
      "The bound is that of a linear program: no scheduler can pass it."};
  sim::HtmlTable table{"By variant",
                       {{"VARIANT", "POLICY", "AT 95%", "AT 100%", "AT 130%", "MOVES"}}};
  const auto line = [](const std::string& name, const std::map<int, double>& by_load) {
    sim::Series series{name, {}};
    for (const auto& [load, value] : by_load) series.points.emplace_back(load, value);
    return series;
  };
  for (const Compared& row : rows) {
    table.rows.push_back({row.variant, row.policy});
    for (const int load : kLoads) {
      const auto at = row.ours.find(load);
      table.rows.back().push_back(at == row.ours.end() ? "-" : fmt::format("{:.2f}", at->second));
    }
    table.rows.back().push_back(std::to_string(row.moves));
    if (page.charts.empty() || page.charts.back().title != row.variant) {
      page.charts.push_back({.title = row.variant,
                             .x_name = "% asked for",
                             .y_name = "% of the cards, from 80",
                             .y_from = 80,
                             .series = {line("bound", row.bounds.by_load)}});
    }
    page.charts.back().series.push_back(line(row.policy, row.ours));
  }
  page.tables = {std::move(table)};
  return page;
}

Compared CompareOne(const sim::Variant& variant,
                    const std::string& name,
                    const std::vector<sim::ArrivalOrder>& orders,
                    sim::Policies& policies,
                    const std::function<void(size_t)>& on_seed) {
  Compared row{.variant = variant.name, .policy = name};
  for (const sim::ArrivalOrder& order : orders) {
    sim::TraceFleet fleet = sim::MakeTraceFleet(variant, order.nodes);
    const auto policy = Need(policies.Make(name, fleet, order.seed));
    const sim::ReplayResult result = sim::Replay(fleet, *policy, order.pods, {.seed = order.seed});
    for (const int load : kLoads) {
      const auto at = result.allocation_pct.find(load);
      if (at != result.allocation_pct.end()) row.ours[load] += at->second;
    }
    row.moves += result.moves;
    row.per_s += result.decisions_per_s;
    on_seed(static_cast<size_t>(++row.seeds));
  }
  for (auto& [load, sum] : row.ours) sum /= static_cast<double>(row.seeds);
  row.per_s /= static_cast<double>(std::max<int64_t>(row.seeds, 1));
  return row;
}

int Compare(const CompareWords& words, bool json) {
  const std::vector<uint64_t> seeds = SeedsOf(words.seeds);
  const std::string folder = Need(sim::FindOpenb(words.data));
  const sim::Published published =
      Need(sim::ReadPublished(folder + "/fgd_published_results.csv.gz"));
  const size_t of = words.variants.size() * words.policies.size() * seeds.size();
  size_t done = 0;
  std::vector<Compared> rows;
  {
    Progress progress("compare");
    for (const std::string& name : words.variants) {
      const sim::Variant variant = Need(sim::ReadVariant(folder, name));
      const std::vector<sim::ArrivalOrder> orders = sim::OrdersFor(variant, seeds);
      const sim::TraceFleet empty = sim::MakeTraceFleet(variant, orders.front().nodes);
      const auto bounds = Need(sim::BoundsOf(empty, {kLoads.begin(), kLoads.end()}));
      sim::Policies policies;
      for (const std::string& policy : words.policies) {
        rows.push_back(CompareOne(variant, policy, orders, policies, [&](size_t seed) {
          progress.Show(done + seed, of);
        }));
        done += seeds.size();
        rows.back().bounds = bounds;
        rows.back().published = sim::PublishedMeans(published, name, policy, seeds);
      }
    }
  }
  WriteHtml(words.html, PageOf(rows));
  if (json) {
    Json list = Json::array();
    for (const Compared& row : rows) list.push_back(ToJson(row));
    OutJson(list);
  } else {
    PrintCompared(rows);
  }
  return kOk;
}

Action MakeCompare(CLI::App& app) {
  auto words = std::make_shared<CompareWords>();
  app.add_option("--policies", words->policies, "Whom to compare; see: sluice sim policies")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--variants",
                 words->variants,
                 "Lists of the openb data set: default, gpushare40, gpuspec33, …")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seeds",
                 words->seeds,
                 "Orders of arrival: 42..51 or 42,45; those that are not published are drawn")
      ->capture_default_str();
  app.add_option("--data",
                 words->data,
                 "Folder of the openb data set; default: $SLUICE_OPENB, else shared/data/openb at "
                 "or above here");
  AddHtmlOption(app, words->html);
  return [words](Context& context) { return Compare(*words, context.json); };
}

Action MakePolicies(CLI::App&) {
  return [](Context& context) {
    if (context.json) {
      OutJson(sim::Policies::Names());
      return kOk;
    }
    for (const std::string& name : sim::Policies::Names()) Out(name + "\n");
    return kOk;
  };
}

constexpr Verb kVerbs[] = {
    {"sim", "replay", "Play a trace of requests against a fleet", MakeReplay},
    {"sim", "compare", "Policies beside the published results", MakeCompare},
    {"sim", "policies", "The policies that can be played", MakePolicies},
};

}  // namespace

std::span<const Verb> SimVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
