// SPDX-License-Identifier: Apache-2.0
#include "sim/bench/moves.h"

#include <cstdio>
#include <fmt/core.h>
#include <map>
#include <numeric>
#include <string>
#include <time.h>
#include <vector>

#include "sim/policies.h"
#include "sim/replay.h"
#include "sim/report.h"
#include "sim/trace.h"

namespace sluice::sim::bench {
namespace {

constexpr const char* kVariants[] = {"default", "gpushare40", "gpuspec33", "multigpu20", "cpu200"};
constexpr const char* kPolicies[] = {"fgd", "sluice"};
constexpr int kLoads[] = {95, 100, 130};
constexpr int kMovesMax = 80;  // Per 10,000 arrivals.

// Claims moved at once for one that fits nowhere.
constexpr int kAtOnce[] = {0, 1, 2};

struct Sums {
  std::map<int, double> percent;  // By load.
  int64_t moves = 0;
  int64_t arrivals = 0;
  double cpu_s = 0;
  int seeds = 0;
};

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Print(const std::string& config, const char* name, double value, const char* unit, int n) {
  const bool aimed = std::string(name) == "moves_per_10000";
  fmt::print(
      R"({{"bench":"scheduler","name":"{}","value":{:.2f},"unit":"{}","n":{},"config":{{{}}}{}}})"
      "\n",
      name,
      value,
      unit,
      n,
      config,
      aimed ? fmt::format(R"(,"aim":"<={}")", kMovesMax) : "");
}

void PrintSums(const char* policy, const std::string& variant, int at_once, const Sums& sums) {
  const std::string config =
      fmt::format(R"("policy":"{}","variant":"{}","moves_at_once":{},"moves":{},"seeds":"42-51")",
                  policy,
                  variant,
                  at_once,
                  sums.moves);
  for (const auto& [load, sum] : sums.percent) {
    Print(config + fmt::format(R"(,"load":{})", load),
          "moves_alloc_pct",
          sum / sums.seeds,
          "% of cards",
          sums.seeds);
  }
  Print(config,
        "moves_per_10000",
        1e4 * static_cast<double>(sums.moves) / static_cast<double>(sums.arrivals),
        "per 10,000 arrivals",
        sums.seeds);
  Print(config, "moves_replay_cpu_s", sums.cpu_s / sums.seeds, "s", sums.seeds);
  std::fflush(stdout);
}

bool Play(const Variant& variant,
          const std::vector<ArrivalOrder>& orders,
          const char* name,
          int at_once,
          Policies& policies) {
  Sums sums;
  for (const ArrivalOrder& order : orders) {
    TraceFleet fleet = MakeTraceFleet(variant, order.nodes);
    const auto policy = policies.Make(name, fleet, order.seed);
    if (!policy) {
      fmt::print(stderr, "no {}: {}\n", name, policy.error().message);
      return false;
    }
    const double start = CpuSeconds();
    const ReplayResult result = Replay(fleet,
                                       **policy,
                                       order.pods,
                                       {.seed = order.seed,
                                        .moves_per_10000 = at_once > 0 ? kMovesMax : 0,
                                        .moves_at_once = at_once});
    sums.cpu_s += CpuSeconds() - start;
    for (const int load : kLoads) sums.percent[load] += result.allocation_pct.at(load);
    sums.moves += result.moves;
    sums.arrivals += result.arrivals;
    ++sums.seeds;
  }
  PrintSums(name, variant.name, at_once, sums);
  return true;
}

}  // namespace

void WithMoves() {
  const auto folder = FindOpenb("");
  if (!folder) {
    fmt::print(stderr, "no rows with moves: {}\n", folder.error().message);
    return;
  }
  std::vector<uint64_t> seeds(10);
  std::iota(seeds.begin(), seeds.end(), 42);
  for (const char* name : kVariants) {
    const auto variant = ReadVariant(*folder, name);
    if (!variant) {
      fmt::print(stderr, "no moves on {}: {}\n", name, variant.error().message);
      continue;
    }
    const std::vector<ArrivalOrder> orders = OrdersFor(*variant, seeds);
    Policies policies;
    for (const char* policy : kPolicies) {
      for (const int at_once : kAtOnce) {
        if (!Play(*variant, orders, policy, at_once, policies)) return;
      }
    }
  }
}

}  // namespace sluice::sim::bench
