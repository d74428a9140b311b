// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <fmt/core.h>
#include <vector>

#include "cli/internal/html_file.h"
#include "cli/internal/print.h"
#include "cli/internal/progress.h"
#include "cli/internal/sim_words.h"
#include "sim/timed_report.h"

namespace sluice::cli {
namespace {

struct Played {
  sim::Discipline discipline;
  sim::TimedResult result;
};

std::string RangeText(const sim::RangeFigures& ranges) {
  if (ranges.given == 0) return "-";
  return fmt::format("{:.0f}% of {} ({} asked)",
                     100 * static_cast<double>(ranges.inside) / static_cast<double>(ranges.given),
                     ranges.given,
                     ranges.asked);
}

using Figure = std::string (*)(const sim::TimedResult&);
constexpr std::pair<const char*, Figure> kFigures[] = {
    {"starts", [](const auto& r) { return std::to_string(r.starts); }},
    {"refused", [](const auto& r) { return std::to_string(r.refused); }},
    {"waited", [](const auto& r) { return std::to_string(r.wait.waited); }},
    {"mean wait", [](const auto& r) { return SpanText(r.wait.mean_s); }},
    {"95 of 100 waited at most", [](const auto& r) { return SpanText(r.wait.p95_s); }},
    {"longest wait", [](const auto& r) { return SpanText(r.wait.max_s); }},
    {"longest queue", [](const auto& r) { return std::to_string(r.longest_queue); }},
    {"GPU-hours held", [](const auto& r) { return fmt::format("{:.0f}", r.gpu_hours_held); }},
    {"GPU-hours lost", [](const auto& r) { return fmt::format("{:.0f}", r.gpu_hours_lost); }},
    {"moves", [](const auto& r) { return std::to_string(r.moves); }},
    {"GPU-hours of restarts",
     [](const auto& r) { return fmt::format("{:.1f}", r.gpu_hours_restarting); }},
    {"held while claims came",
     [](const auto& r) { return fmt::format("{:.1f}%", r.utilisation_pct); }},
    {"start in the range told", [](const auto& r) { return RangeText(r.ranges); }},
};

std::string MovesText(const TimedWords& words) {
  if (words.moves == 0) return "no moves";
  return fmt::format(
      "at most {} moves per 10,000 claims, {}% of them may be moved", words.moves, words.movable);
}

std::string HeadLine(const sim::TimedTrace& trace,
                     const std::vector<Played>& played,
                     const TimedWords& words) {
  return fmt::format(
      "{} machines, {} cards; {} claims at {:.2f} times the trace's pace, {:.0f}% of what the "
      "cards "
      "can do; {} requests left out; {}",
      trace.nodes,
      trace.fleet.size(),
      trace.claims.size(),
      static_cast<double>(trace.pace_pct) / 100,
      played.front().result.offered_pct,
      trace.without_card + trace.never_ran + trace.too_early + trace.many_models,
      MovesText(words));
}

// The first one is the head.
std::vector<std::vector<std::string>> RowsOf(const std::vector<Played>& played) {
  std::vector<std::vector<std::string>> rows = {{"FIGURE"}};
  for (const Played& one : played) rows.front().emplace_back(ToString(one.discipline));
  for (const auto& [name, figure] : kFigures) {
    rows.push_back({name});
    for (const Played& one : played) rows.back().push_back(figure(one.result));
  }
  for (const auto& [size, wait] : played.front().result.wait_by_size) {
    rows.push_back({fmt::format("mean, 95%: {}", size)});
    for (const Played& one : played) {
      const sim::WaitFigures& of = one.result.wait_by_size.at(size);
      rows.back().push_back(SpanText(of.mean_s) + ", " + SpanText(of.p95_s));
    }
  }
  return rows;
}

void PrintPlayed(const sim::TimedTrace& trace,
                 const std::vector<Played>& played,
                 const TimedWords& words) {
  Out(HeadLine(trace, played, words) + "\n\n");
  const auto rows = RowsOf(played);
  Table table(rows.front());
  for (size_t i = 1; i < rows.size(); ++i) table.Add(rows[i]);
  Out(table.Lines("Nothing was played."));
}

sim::HtmlPage PageOf(const sim::TimedTrace& trace,
                     const std::vector<Played>& played,
                     const TimedWords& words) {
  sim::HtmlPage page{.title = "A trace in time"};
  page.notes = {
      HeadLine(trace, played, words),
      "fifo: strictly in the order of coming, on the tightest card. queue: the product's queue."};
  page.tables.push_back({"Figures", RowsOf(played)});
  sim::Chart waiting{.title = "Who waits", .x_name = "hours", .y_name = "claims in the queue"};
  sim::Chart held{.title = "What is held", .x_name = "hours", .y_name = "% of the cards"};
  for (const Played& one : played) {
    const std::string name(ToString(one.discipline));
    sim::Series queue{name, {}};
    sim::Series cards{name, {}};
    for (const sim::TimedPoint& point : one.result.points) {
      queue.points.emplace_back(point.hours, static_cast<double>(point.waiting));
      cards.points.emplace_back(point.hours, point.held_pct);
    }
    waiting.series.push_back(std::move(queue));
    held.series.push_back(std::move(cards));
  }
  page.charts = {std::move(waiting), std::move(held)};
  return page;
}

}  // namespace

std::string SpanText(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.1f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

void AddTimedOptions(CLI::App& app, TimedWords& words) {
  app.add_flag("--timed",
               words.timed,
               "Play the list's times: claims come, wait in the queue, run and go; beside strictly "
               "first come, first served");
  app.add_option("--every-node", words.every_node, "With --timed: one machine of so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--from", words.from, "With --timed: leave out what came earlier, as in 115d");
  app.add_option("--pace", words.pace, "With --timed: claims come so many times as fast")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 10'000.0));
  app.add_option(
         "--offered",
         words.offered,
         "With --timed, instead of --pace: such that the work that comes is so many percent "
         "of what the cards can do")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--estimates",
                 words.estimates,
                 "With --timed: every so-manieth arrival that waits is told a range of its start; "
                 "0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--movable",
                 words.movable,
                 "With --timed and --moves: so many percent of the claims declare that they may be "
                 "moved")
      ->capture_default_str()
      ->check(CLI::Range(0, 100));
  app.add_option("--restart",
                 words.restart,
                 "With --timed and --moves: so much longer runs who is moved, as in 10m; default: "
                 "5m, the notice of a pool");
}

int ReplayInTime(const std::string& nodes,
                 const std::string& pods,
                 const TimedWords& words,
                 bool json) {
  sim::TimedTraceOptions options{.every_node = words.every_node,
                                 .pace_pct = std::lround(words.pace * 100),
                                 .movable_pct = words.movable,
                                 .movable_seed = words.seed};
  if (words.moves > 0 && words.movable == 0) {
    throw CommandFailed{{.exit_code = kUsage,
                         .text = "--moves: with --timed nobody may be moved; say how many percent "
                                 "of the claims may be, as in --movable 50",
                         .code = {}}};
  }
  Duration restart = Pool().preempt_notice;
  if (!words.restart.empty()) restart = Need(ParseDuration(words.restart));
  if (!words.from.empty()) options.from_s = Need(ParseDuration(words.from)).count() / 1000;
  if (words.offered > 0) {
    options.pace_pct = 0;
    options.offered_pct = words.offered;
  }
  const sim::TimedTrace trace =
      sim::MakeTimedTrace(Need(sim::ReadNodes(nodes)), Need(sim::ReadPods(pods)), options);
  std::vector<Played> played;
  for (const auto discipline : {sim::Discipline::kFifo, sim::Discipline::kQueue}) {
    Progress progress{std::string(ToString(discipline))};
    const bool queue = discipline == sim::Discipline::kQueue;
    played.push_back({discipline,
                      sim::ReplayTimed(trace.fleet,
                                       {},
                                       trace.claims,
                                       {.discipline = discipline,
                                        .moves_per_10000 = queue ? words.moves : 0,
                                        .moves_at_once = 2,
                                        .restart = restart,
                                        .estimate_every = queue ? words.estimates : 0,
                                        .on_progress = [&](size_t done, size_t of) {
                                          progress.Show(done, of);
                                        }})});
  }
  WriteHtml(words.html, PageOf(trace, played, words));
  if (!json) {
    PrintPlayed(trace, played, words);
    return kOk;
  }
  Json answer = {{"trace", ToJson(trace)}, {"runs", Json::array()}};
  for (const Played& one : played) answer["runs"] += Json(sim::ToJson(one.result, one.discipline));
  OutJson(answer);
  return kOk;
}

}  // namespace sluice::cli
