// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <fmt/core.h>
#include <vector>

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
    {"held while claims came",
     [](const auto& r) { return fmt::format("{:.1f}%", r.utilisation_pct); }},
    {"start in the range told", [](const auto& r) { return RangeText(r.ranges); }},
};

void PrintPlayed(const sim::TimedTrace& trace, const std::vector<Played>& played) {
  const size_t left_out =
      trace.without_card + trace.never_ran + trace.too_early + trace.many_models;
  Out(fmt::format(
      "{} machines, {} cards; {} claims at {:.2f} times the trace's pace, {:.0f}% of what "
      "the cards can do; {} requests left out; no moves\n\n",
      trace.nodes,
      trace.fleet.size(),
      trace.claims.size(),
      static_cast<double>(trace.pace_pct) / 100,
      played.front().result.offered_pct,
      left_out));
  std::vector<std::string> head = {"FIGURE"};
  for (const Played& one : played) head.emplace_back(ToString(one.discipline));
  Table table(head);
  for (const auto& [name, figure] : kFigures) {
    std::vector<std::string> row = {name};
    for (const Played& one : played) row.push_back(figure(one.result));
    table.Add(std::move(row));
  }
  for (const auto& [size, wait] : played.front().result.wait_by_size) {
    std::vector<std::string> row = {fmt::format("mean, 95%: {}", size)};
    for (const Played& one : played) {
      const sim::WaitFigures& of = one.result.wait_by_size.at(size);
      row.push_back(SpanText(of.mean_s) + ", " + SpanText(of.p95_s));
    }
    table.Add(std::move(row));
  }
  Out(table.Lines("Nothing was played."));
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
}

int ReplayInTime(const std::string& nodes,
                 const std::string& pods,
                 const TimedWords& words,
                 bool json) {
  sim::TimedTraceOptions options{.every_node = words.every_node,
                                 .pace_pct = std::lround(words.pace * 100)};
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
    const bool estimates = discipline == sim::Discipline::kQueue;
    played.push_back({discipline,
                      sim::ReplayTimed(trace.fleet,
                                       {},
                                       trace.claims,
                                       {.discipline = discipline,
                                        .estimate_every = estimates ? words.estimates : 0,
                                        .on_progress = [&](size_t done, size_t of) {
                                          progress.Show(done, of);
                                        }})});
  }
  if (!json) {
    PrintPlayed(trace, played);
    return kOk;
  }
  Json answer = {{"trace", ToJson(trace)}, {"runs", Json::array()}};
  for (const Played& one : played) answer["runs"] += Json(sim::ToJson(one.result, one.discipline));
  OutJson(answer);
  return kOk;
}

}  // namespace sluice::cli
