// SPDX-License-Identifier: Apache-2.0
#include "sim/bench/timed.h"

#include <cstdio>
#include <fmt/core.h>
#include <string>
#include <utility>
#include <vector>

#include "sim/timed_trace.h"

namespace sluice::sim::bench {
namespace {

// Before day 115 there are 25 requests for cards.
constexpr int64_t kFromS = 115 * 86'400;
constexpr int kEstimateEvery = 40;

struct Case {
  const char* variant;
  int every_node;
  int offered_pct;
  std::vector<int> movable_pct;  // Also played with moves, for so many that may be moved.
};
// The whole fleet never fills at a list's own pace, so a part of it, and
// faster. `default` steered what the queue does, the other lists did not.
const Case kCases[] = {{"default", 80, 100, {50, 100}},
                       {"default", 40, 150, {50, 100}},
                       {"gpushare100", 80, 100, {100}},
                       {"gpuspec33", 80, 100, {100}},
                       {"gpuspec33", 40, 150, {100}}};
constexpr int kMovesPer10000 = 80;

struct Line {
  std::string config;
  int64_t claims = 0;

  void Print(const char* name, double value, const char* unit, const std::string& aim) const {
    fmt::print(
        R"({{"bench":"scheduler","name":"{}","value":{:.4g},"unit":"{}","n":{},"config":{{{}}})"
        R"({}}})"
        "\n",
        name,
        value,
        unit,
        claims,
        config,
        aim.empty() ? "" : fmt::format(R"(,"aim":"{}")", aim));
  }
};

void PrintFigures(const Line& line, const TimedResult& result, const TimedResult* fifo) {
  const auto below = [&](double value) {
    return fifo ? fmt::format("<={:.4g}", value) : std::string();
  };
  const auto above = [&](double value) {
    return fifo ? fmt::format(">={:.4g}", value) : std::string();
  };
  line.Print("timed_wait_mean_s", result.wait.mean_s, "s", below(fifo ? fifo->wait.mean_s : 0));
  line.Print("timed_wait_p95_s", result.wait.p95_s, "s", below(fifo ? fifo->wait.p95_s : 0));
  line.Print("timed_gpu_hours_lost",
             result.gpu_hours_lost,
             "GPU h",
             below(fifo ? fifo->gpu_hours_lost : 0));
  line.Print("timed_utilisation_pct",
             result.utilisation_pct,
             "%",
             above(fifo ? fifo->utilisation_pct : 0));
  line.Print("timed_hours", result.hours, "h", "");
  for (const auto& [size, wait] : result.wait_by_size) {
    Line of = line;
    of.config += fmt::format(R"(,"size":"{}")", size);
    of.claims = wait.claims;
    const WaitFigures* theirs = fifo ? &fifo->wait_by_size.at(size) : nullptr;
    of.Print("timed_size_wait_mean_s", wait.mean_s, "s", below(theirs ? theirs->mean_s : 0));
    of.Print("timed_size_wait_p95_s", wait.p95_s, "s", below(theirs ? theirs->p95_s : 0));
  }
}

void PrintRanges(const Line& line, const RangeFigures& ranges) {
  if (ranges.given == 0) return;
  Line of = line;
  of.claims = ranges.given;
  of.config +=
      fmt::format(R"(,"asked":{},"early":{},"late":{})", ranges.asked, ranges.early, ranges.late);
  of.Print("timed_estimates_inside_pct",
           100 * static_cast<double>(ranges.inside) / static_cast<double>(ranges.given),
           "%",
           ">=80");
  of.Print("timed_estimates_width_s", ranges.width_s, "s", "");
}

}  // namespace

namespace {

void Play(const Variant& variant, const Case& the) {
  TimedTrace trace = MakeTimedTrace(variant.nodes,
                                    variant.pods,
                                    {.every_node = the.every_node,
                                     .from_s = kFromS,
                                     .pace_pct = 0,
                                     .offered_pct = the.offered_pct});
  const auto line = [&](const char* discipline, const TimedResult& result, int movable_pct) {
    std::string config =
        fmt::format(R"("variant":"{}, timed","every_node":{},"machines":{},"cards":{},)"
                    R"("offered_pct":{:.1f},"pace":{:.2f},"discipline":"{}","moves":{})",
                    the.variant,
                    the.every_node,
                    trace.nodes,
                    trace.fleet.size(),
                    result.offered_pct,
                    static_cast<double>(trace.pace_pct) / 100,
                    discipline,
                    result.moves);
    if (movable_pct > 0) config += fmt::format(R"(,"movable_pct":{})", movable_pct);
    return Line{std::move(config), result.starts};
  };
  const TimedResult fifo =
      ReplayTimed(trace.fleet, {}, trace.claims, {.discipline = Discipline::kFifo});
  PrintFigures(line("fifo", fifo, 0), fifo, nullptr);
  const TimedResult queue =
      ReplayTimed(trace.fleet, {}, trace.claims, {.estimate_every = kEstimateEvery});
  PrintFigures(line("queue", queue, 0), queue, &fifo);
  PrintRanges(line("queue", queue, 0), queue.ranges);
  for (const int percent : the.movable_pct) {
    trace = MakeTimedTrace(variant.nodes,
                           variant.pods,
                           {.every_node = the.every_node,
                            .from_s = kFromS,
                            .pace_pct = trace.pace_pct,
                            .movable_pct = percent});
    const TimedResult moved = ReplayTimed(
        trace.fleet, {}, trace.claims, {.moves_per_10000 = kMovesPer10000, .moves_at_once = 2});
    const Line of = line("queue, moves", moved, percent);
    PrintFigures(of, moved, &fifo);
    of.Print("timed_gpu_hours_restarting", moved.gpu_hours_restarting, "GPU h", "");
    of.Print("timed_moves_per_10000",
             1e4 * static_cast<double>(moved.moves) / static_cast<double>(moved.claims),
             "per 10,000",
             fmt::format("<={}", kMovesPer10000));
  }
  std::fflush(stdout);
}

}  // namespace

void TimedReplays() {
  const auto folder = FindOpenb("");
  if (!folder) return;
  for (const Case& the : kCases) {
    const auto variant = ReadVariant(*folder, the.variant);
    if (variant) Play(*variant, the);
  }
}

}  // namespace sluice::sim::bench
