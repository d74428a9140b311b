// SPDX-License-Identifier: Apache-2.0
// What the policies allocate in the published protocol, beside the published values, and how fast
// the placer decides. Prints JSON lines. Needs the openb data set for the former (see FindOpenb);
// without it the rows are left out and a line says so.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/core.h>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <time.h>
#include <utility>
#include <vector>

#include "base/random.h"
#include "scheduler/placer.h"
#include "sim/bench/moves.h"
#include "sim/bench/peer.h"
#include "sim/bench/timed.h"
#include "sim/policies.h"
#include "sim/replay.h"
#include "sim/report.h"
#include "sim/trace.h"

namespace sluice::sim::bench {
namespace {

using scheduler::Demand;
using scheduler::DemandIndex;
using scheduler::Ledger;
using scheduler::Placement;
using scheduler::Placer;

constexpr const char* kVariants[] = {"default",
                                     "gpushare40",
                                     "gpushare80",
                                     "gpushare100",
                                     "multigpu20",
                                     "multigpu30",
                                     "multigpu50",
                                     "gpuspec10",
                                     "gpuspec20",
                                     "gpuspec33",
                                     "cpu050",
                                     "cpu100",
                                     "cpu200"};
constexpr int kLoads[] = {95, 100, 130};

// What our own policy is to reach; elsewhere: what the study's FGD was published with.
struct AllocationAim {
  const char* variant;
  int load;
  double percent;
};
constexpr AllocationAim kAims[] = {{"default", 100, 95.83},
                                   {"default", 130, 95.95},
                                   {"gpuspec10", 100, 95.5},
                                   {"gpuspec20", 100, 95.5},
                                   {"gpuspec33", 100, 94.5}};

// The thread's own time on a core: what the machine's other programs take is not counted.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double Mean(const std::map<uint64_t, double>& values) {
  double sum = 0;
  for (const auto& [seed, value] : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// {"42": 95.14, …}
std::string PerSeed(const std::map<uint64_t, double>& values) {
  std::string json;
  for (const auto& [seed, value] : values) {
    json += fmt::format("{}\"{}\":{:.2f}", json.empty() ? "" : ",", seed, value);
  }
  return "{" + json + "}";
}

struct Cell {
  std::map<uint64_t, double> ours;
  std::map<uint64_t, double> published;
  double fgd = 0;     // Published mean.
  int64_t moves = 0;  // Of all seeds.
};

std::string AimOf(const std::string& policy, const std::string& variant, int load, double fgd) {
  if (policy != "sluice" || load < 100) return "";
  for (const AllocationAim& aim : kAims) {
    if (variant == aim.variant && load == aim.load) {
      return fmt::format(R"(,"aim":">={:.2f}")", aim.percent);
    }
  }
  return fmt::format(R"(,"aim":">={:.2f}")", fgd);
}

void PrintAllocation(const std::string& policy, const std::string& variant, int load, Cell& cell) {
  double worst = 0;
  for (const auto& [seed, value] : cell.published) {
    worst = std::max(worst, std::abs(std::round(cell.ours[seed] * 100) / 100 - value));
  }
  std::string beside;
  if (!cell.published.empty()) {
    beside = fmt::format(R"(,"published_mean":{:.2f},"largest_difference":{:.2f},"published":{})",
                         Mean(cell.published),
                         worst,
                         PerSeed(cell.published));
  }
  fmt::print(
      R"({{"bench":"scheduler","name":"alloc_pct","value":{:.2f},"unit":"% of cards","n":{},)"
      R"("config":{{"policy":"{}","variant":"{}","load":{},"seeds":"{}-{}","moves":{}}},)"
      R"("seeds":{}{}{}}})"
      "\n",
      Mean(cell.ours),
      cell.ours.size(),
      policy,
      variant,
      load,
      cell.ours.begin()->first,
      cell.ours.rbegin()->first,
      cell.moves,
      PerSeed(cell.ours),
      beside,
      AimOf(policy, variant, load, cell.fgd));
  std::fflush(stdout);
}

// The published values of one policy for one variant, by load and seed.
std::map<int, std::map<uint64_t, double>> PublishedOf(const Published& published,
                                                      const std::string& variant,
                                                      const std::string& policy) {
  std::map<int, std::map<uint64_t, double>> values;
  for (const PublishedCurve& curve : published.curves) {
    if (curve.metric != "alloc_pct" || curve.workload != variant ||
        curve.policy != PublishedName(policy)) {
      continue;
    }
    for (size_t i = 0; i < published.loads.size(); ++i) {
      values[published.loads[i]][curve.seed] = curve.values[i];
    }
  }
  return values;
}

// One variant, one policy, all seeds: a row per load.
void Allocate(const Variant& variant,
              const std::string& policy,
              Policies& policies,
              const Published& published) {
  std::map<int, Cell> cells;
  for (const ArrivalOrder& order : variant.orders) {
    TraceFleet fleet = MakeTraceFleet(variant, order.nodes);
    const auto made = policies.Make(policy, fleet, order.seed);
    if (!made) {
      std::fprintf(stderr, "no %s: %s\n", policy.c_str(), made.error().message.c_str());
      return;
    }
    const ReplayResult result = Replay(fleet, **made, order.pods, {.seed = order.seed});
    for (const int load : kLoads) {
      cells[load].ours[order.seed] = result.allocation_pct.at(load);
      cells[load].moves += result.moves;
    }
  }
  auto theirs = PublishedOf(published, variant.name, policy);
  auto fgd = PublishedOf(published, variant.name, "fgd");
  for (auto& [load, cell] : cells) {
    cell.published = theirs[load];
    cell.fgd = Mean(fgd[load]);
    PrintAllocation(policy, variant.name, load, cell);
  }
}

struct Speed {
  double per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  size_t n = 0;
};

// What is timed, and what is to be reached: 0 for what is only reported.
struct Timed {
  std::string policy;
  std::string fleet;
  int nodes = 0;
  double per_s_min = 0;
  double p99_us_max = 0;
};

void PrintSpeed(const Timed& timed, const Speed& speed) {
  const struct {
    const char* name;
    double value;
    const char* unit;
    std::string aim;
  } rows[] = {{"decisions_per_s",
               speed.per_s,
               "1/s",
               timed.per_s_min > 0 ? fmt::format(">={:.0f}", timed.per_s_min) : ""},
              {"latency_p50_us", speed.p50_us, "us", ""},
              {"latency_p99_us",
               speed.p99_us,
               "us",
               timed.p99_us_max > 0 ? fmt::format("<={:.0f}", timed.p99_us_max) : ""}};
  for (const auto& row : rows) {
    fmt::print(R"({{"bench":"scheduler","name":"{}","value":{:.4g},"unit":"{}","n":{},)"
               R"("config":{{"policy":"{}","nodes":{},"fleet":"{}"}}{}}})"
               "\n",
               row.name,
               row.value,
               row.unit,
               speed.n,
               timed.policy,
               timed.nodes,
               timed.fleet,
               row.aim.empty() ? "" : fmt::format(R"(,"aim":"{}")", row.aim));
  }
  std::fflush(stdout);
}

// The best of five runs: what else the machine does only slows it down.
void TimeTrace(const Variant& variant, const std::string& policy, Policies& policies) {
  const ArrivalOrder& order = variant.orders.front();
  Speed best;
  for (int run = 0; run < 5; ++run) {
    TraceFleet fleet = MakeTraceFleet(variant, order.nodes);
    const auto made = policies.Make(policy, fleet, order.seed);
    if (!made) return;
    const ReplayResult result = Replay(fleet, **made, order.pods, {.seed = order.seed});
    if (result.decisions_per_s < best.per_s) continue;
    best = {result.decisions_per_s,
            result.latency_us_p50,
            result.latency_us_p99,
            static_cast<size_t>(result.arrivals)};
  }
  PrintSpeed({.policy = policy,
              .fleet = "openb " + variant.name,
              .nodes = static_cast<int>(variant.nodes.size()),
              .per_s_min = policy == "fgd" ? 100'000.0 : (policy == "sluice" ? 50'000.0 : 0.0)},
             best);
}

void AgainstTheTable() {
  const auto folder = FindOpenb("");
  if (!folder) {
    std::fprintf(stderr, "no alloc_pct: %s\n", folder.error().message.c_str());
    return;
  }
  const auto published = ReadPublished(*folder + "/fgd_published_results.csv.gz");
  if (!published) {
    std::fprintf(stderr, "no alloc_pct: %s\n", published.error().message.c_str());
    return;
  }
  for (const char* name : kVariants) {
    const auto variant = ReadVariant(*folder, name);
    if (!variant) {
      std::fprintf(stderr, "no alloc_pct of %s: %s\n", name, variant.error().message.c_str());
      continue;
    }
    Policies policies;
    for (const std::string& policy : Policies::Names()) {
      Allocate(*variant, policy, policies, *published);
      if (variant->name == "default") TimeTrace(*variant, policy, policies);
    }
  }
}

// A made-up fleet of eight-card nodes in four models, and 400 demands of which few are frequent.
struct MadeUp {
  Ledger ledger;
  std::vector<DemandIndex> demands;
  std::vector<int64_t> weights;
  int64_t weight_sum = 0;
  scheduler::Mix mix;

  explicit MadeUp(int nodes) {
    static constexpr struct {
      const char* model;
      int gib;
      int cores;
    } kModels[] = {{"T4", 16, 96}, {"A10", 24, 128}, {"A100-40", 40, 96}, {"A100-80", 80, 128}};
    for (int i = 0; i < nodes; ++i) {
      const auto& model = kModels[i % 4];
      scheduler::NodeSpec spec{.id = NodeId("n" + std::to_string(i)),
                               .cpu_millis = 1000 * model.cores,
                               .memory = GiB(768),
                               .slots = 250};
      for (int c = 0; c < 8; ++c) {
        spec.cards.push_back({.id = GpuId(spec.id.text() + "/" + std::to_string(c)),
                              .kind = {.model = model.model, .memory = GiB(model.gib)}});
      }
      ledger.AddNode(spec);
    }
    SeededRandom random(1);
    const auto roll = [&](uint64_t sides) { return static_cast<int>(random.Next() % sides); };
    for (int i = 0; i < 400; ++i) {
      Demand demand{.cpu_millis = 1000 * (1 + roll(12)),
                    .main_memory = GiB(4 * (1 + roll(16))),
                    .memory = MiB(512 * (1 + roll(40))),
                    .guarantee = ComputeMillis(50 * roll(15))};
      if (roll(8) == 0) demand = {.cpu_millis = 8000, .count = 1 << roll(4), .whole = true};
      if (roll(6) == 0) demand.models = {"A10", "T4"};
      demands.push_back(ledger.Intern(demand));
      weights.push_back(1 + 4000 / (1 + i));
      weight_sum += weights.back();
      mix.counts.emplace_back(demands.back(), weights.back());
    }
  }

  DemandIndex Draw(SeededRandom& random) const {
    auto at = static_cast<int64_t>(random.Next() % static_cast<uint64_t>(weight_sum));
    size_t i = 0;
    while (at >= weights[i]) at -= weights[i++];
    return demands[i];
  }
};

Speed SpeedOf(std::vector<double>& us) {
  const auto at = [&](double part) {
    const auto i = static_cast<std::ptrdiff_t>(part * static_cast<double>(us.size() - 1));
    std::nth_element(us.begin(), us.begin() + i, us.end());
    return us[static_cast<size_t>(i)];
  };
  const double sum = std::accumulate(us.begin(), us.end(), 0.0);
  return {1e6 * static_cast<double>(us.size()) / sum, at(0.5), at(0.99), us.size()};
}

// `claims` arrive at an empty fleet; then as often one leaves and one arrives. Each twice: once for
// the sum, once with the clock read at each decision, which costs as much as a decision does.
struct Filling {
  Filling(const Timed& timed, int claims, bool each_timed)
      : fleet(timed.nodes),
        policy(timed.policy == "fgd" ? scheduler::MakeFgd(fleet.mix)
                                     : scheduler::MakeTightestCard()),
        placer(fleet.ledger, *policy) {
    arriving = Time(claims, each_timed, [] {});
    held = live.size();
    steady = Time(claims, each_timed, [&] {
      const size_t gone = random.Next() % live.size();
      fleet.ledger.Release(live[gone]);
      live[gone] = live.back();
      live.pop_back();
    });
  }

  template <typename Before>
  Speed Time(int claims, bool each_timed, Before&& before) {
    std::vector<double> us;
    const double start = CpuSeconds();
    for (int i = 0; i < claims; ++i) {
      before();
      const DemandIndex demand = fleet.Draw(random);
      const double decided = each_timed ? CpuSeconds() : 0;
      if (placer.Choose(demand, placement)) {
        live.push_back(fleet.ledger.Bind(demand, placement));
        policy->OnPlaced(fleet.ledger, demand, placement);
      }
      if (each_timed) us.push_back((CpuSeconds() - decided) * 1e6);
    }
    if (each_timed) return SpeedOf(us);
    return {.per_s = claims / (CpuSeconds() - start), .n = static_cast<size_t>(claims)};
  }

  MadeUp fleet;
  std::unique_ptr<scheduler::Policy> policy;
  Placer placer;
  SeededRandom random{2};
  std::vector<scheduler::BindingIndex> live;
  Placement placement;
  Speed arriving;
  Speed steady;
  size_t held = 0;
};

// The mean time of a decision, in us.
struct Means {
  double arriving_us = 0;
  double steady_us = 0;
};
Means TimeMadeUp(Timed timed, int claims) {
  const Filling sum(timed, claims, false);
  const Filling each(timed, claims, true);
  const auto print = [&](const std::string& what, Speed speed, double per_s) {
    speed.per_s = per_s;
    timed.fleet = "made up, " + what;
    PrintSpeed(timed, speed);
  };
  print(fmt::format("{} claims arrive", claims), each.arriving, sum.arriving.per_s);
  print(fmt::format("{} held, one goes, one comes", sum.held), each.steady, sum.steady.per_s);
  return {1e6 / sum.arriving.per_s, 1e6 / sum.steady.per_s};
}

void PrintRatio(const std::string& ours, double ours_us, double peer_us) {
  fmt::print(R"({{"bench":"scheduler","name":"peer_ratio","value":{:.4g},"unit":"times","n":1,)"
             R"("config":{{"ours":"{}","ours_us":{:.3g},"peer_us":{:.4g}}},"aim":">=1000"}})"
             "\n",
             peer_us / ours_us,
             ours,
             ours_us,
             peer_us);
}

// The peer's algorithm with as many nodes, cards and placed claims, and a request for a share.
double TimePeer(int nodes, int claims) {
  Peer peer;
  for (int i = 0; i < nodes; ++i) peer.AddNode(fmt::format("node-{:05}", i), 8, 24'576);
  SeededRandom random(3);
  for (int i = 0; i < claims; ++i) {
    const auto node = static_cast<size_t>(random.Next() % static_cast<uint64_t>(nodes));
    peer.Put(node, {static_cast<int>(random.Next() % 8)}, {.memory_mib = 4096, .cores = 10});
  }
  constexpr int kRuns = 15;
  std::vector<double> us;
  for (int run = 0; run < kRuns; ++run) {
    const double start = CpuSeconds();
    peer.Decide({.memory_mib = 4096, .cores = 10});
    us.push_back((CpuSeconds() - start) * 1e6);
  }
  std::ranges::sort(us);
  fmt::print(R"({{"bench":"scheduler","name":"decision_us","value":{:.4g},"unit":"us","n":{},)"
             R"("peer":"HAMi's algorithm","config":{{"nodes":{},"claims":{}}}}})"
             "\n",
             us[kRuns / 2],
             kRuns,
             nodes,
             claims);
  return us[kRuns / 2];
}

void MadeUpFleets() {
  const Means fgd =
      TimeMadeUp({.policy = "fgd", .nodes = 5'000, .per_s_min = 20'000, .p99_us_max = 200}, 30'000);
  const Means tightest = TimeMadeUp({.policy = "tightest_card", .nodes = 5'000}, 30'000);
  // The peer while the fleet fills: half of the claims are there on average.
  const double half_us = TimePeer(5'000, 15'000);
  const double full_us = TimePeer(5'000, 30'000);
  PrintRatio("fgd, arriving", fgd.arriving_us, half_us);
  PrintRatio("fgd, one goes, one comes", fgd.steady_us, full_us);
  PrintRatio("tightest_card, arriving", tightest.arriving_us, half_us);
  PrintRatio("tightest_card, one goes, one comes", tightest.steady_us, full_us);
  TimeMadeUp({.policy = "fgd", .nodes = 15'000, .p99_us_max = 1'000}, 90'000);
}

using Part = std::pair<std::string_view, void (*)()>;
constexpr Part kParts[] = {{"speed", MadeUpFleets},
                           {"table", AgainstTheTable},
                           {"moves", WithMoves},
                           {"timed", TimedReplays}};

// All parts, or those that are named.
int Main(std::span<char* const> words) {
  for (const std::string_view word : words) {
    if (std::ranges::find(kParts, word, &Part::first) != std::end(kParts)) continue;
    fmt::print(
        stderr, "bench_scheduler: there is no part {}, only: speed table moves timed\n", word);
    return 2;
  }
  for (const auto& [name, run] : kParts) {
    if (words.empty() || std::ranges::find(words, name) != words.end()) run();
  }
  return 0;
}

}  // namespace
}  // namespace sluice::sim::bench

int main(int argc, char** argv) {
  return sluice::sim::bench::Main({argv + 1, static_cast<size_t>(argc - 1)});
}
