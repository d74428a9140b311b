// SPDX-License-Identifier: Apache-2.0
// What each lever of the `sluice` policy is worth, and what it knows beforehand: every row is one
// case over ten seeds, beside plain FGD on the same arrivals. Prints JSON lines; needs the openb
// data set (see FindOpenb). Arguments: names of cases to run, all without any.
#include <algorithm>
#include <cstdio>
#include <fmt/core.h>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/placer.h"
#include "sim/replay.h"
#include "sim/sluice_setup.h"
#include "sim/trace.h"

namespace sluice::sim::bench {
namespace {

using scheduler::DemandIndex;
using scheduler::Mix;

constexpr int kLoads[] = {95, 100, 130};
constexpr uint64_t kFirstSeed = 42;
constexpr uint64_t kLastSeed = 51;

// Core demands beside the memory of sharing requests.
enum class Cores { kNone, kHalf, kIndependent, kOpposite };

struct Case {
  const char* name;
  std::vector<const char*> variants;
  // Changes the setup that the rehearsal chose; may be empty.
  std::function<void(SluiceSetup&)> change;
  Cores cores = Cores::kNone;
  int moves_per_10000 = 0;
  // Nothing is known beforehand: the mix is what has arrived so far, and the program is solved
  // anew for what is free then.
  bool learns = false;
};

const std::vector<const char*> kAblated = {
    "default", "gpushare40", "gpuspec33", "multigpu50", "cpu200"};

// Plans for the load at which it is compared, whatever was rehearsed: that was without the lever.
void HoldBack(SluiceSetup& setup) {
  setup.levers.hold_back = true;
  setup.choice = {.use_targets = true, .load_percent = 100};
}

std::vector<Case> Cases() {
  return {
      {"untuned",
       {"gpuspec05", "gpushare20", "multigpu30", "cpu0", "cpu037", "cpu072", "cpu235", "cpu300"},
       {}},
      {"all levers", kAblated, {}},
      {"without own_berth", kAblated, [](SluiceSetup& s) { s.levers.own_berth = false; }},
      {"without free_room", kAblated, [](SluiceSetup& s) { s.levers.free_room = false; }},
      {"without like_berth", kAblated, [](SluiceSetup& s) { s.levers.like_berth = false; }},
      {"without complete_cards",
       kAblated,
       [](SluiceSetup& s) { s.choice.options.complete_cards = false; }},
      {"without rehearsal (97 %, easy 85)",
       kAblated,
       [](SluiceSetup& s) {
         s.choice.load_percent = 97;
         s.choice.options.easy = 85;
       }},
      {"mix learned as it arrives", kAblated, {}, Cores::kNone, 0, true},
      {"moves", kAblated, {}, Cores::kNone, 80},
      {"hold_back", kAblated, HoldBack},
      {"cores half of memory", {"default"}, {}, Cores::kHalf},
      {"cores independent", {"default"}, {}, Cores::kIndependent},
      {"cores opposite", {"default"}, {}, Cores::kOpposite},
      {"hold_back, cores half of memory", {"default"}, HoldBack, Cores::kHalf},
      {"hold_back, cores independent", {"default"}, HoldBack, Cores::kIndependent},
      {"hold_back, cores opposite", {"default"}, HoldBack, Cores::kOpposite},
  };
}

// Independent: drawn from the memory sizes of the list, by a seed of its own.
void GiveCores(Variant& variant, Cores cores) {
  std::vector<int> sizes;
  const auto shares = [](const TracePod& pod) { return pod.gpus == 1 && pod.gpu_milli < 1000; };
  for (const TracePod& pod : variant.pods) {
    if (shares(pod)) sizes.push_back(pod.gpu_milli);
  }
  SeededRandom random(7);
  for (TracePod& pod : variant.pods) {
    if (!shares(pod) || cores == Cores::kNone) continue;
    if (cores == Cores::kHalf) pod.core_milli = pod.gpu_milli / 2;
    if (cores == Cores::kIndependent) pod.core_milli = sizes[random.Next() % sizes.size()];
    if (cores == Cores::kOpposite) pod.core_milli = 1000 - pod.gpu_milli;
  }
}

// Plans anew every so often for what is free and what the arrivals so far say will come.
class Learner {
 public:
  Learner(TraceFleet& fleet, const std::vector<int32_t>& arrivals)
      : fleet_(fleet), arrivals_(arrivals) {}

  Curve Run() {
    std::map<int, std::pair<double, int>> sums;
    int64_t arrived = 0;
    int64_t allocated = 0;
    scheduler::Placement placement;
    for (size_t i = 0; i < arrivals_.size(); ++i) {
      const auto row = static_cast<size_t>(arrivals_[i]);
      const int64_t milli = int64_t{fleet_.pods[row].gpus} * fleet_.pods[row].gpu_milli;
      const DemandIndex demand = fleet_.demand_of[row];
      if (i % kEvery == 0) Plan(arrived);
      arrived += milli;
      ++seen_[demand];
      if (placer_->Choose(demand, placement)) {
        fleet_.ledger.Bind(demand, placement);
        policy_->OnPlaced(fleet_.ledger, demand, placement);
        allocated += milli;
      }
      auto& [sum, count] = sums[static_cast<int>(Percent(arrived) + 0.5)];
      sum += Percent(allocated);
      ++count;
    }
    Curve curve;
    for (const auto& [load, entry] : sums) curve[load] = entry.first / entry.second;
    return curve;
  }

 private:
  static constexpr size_t kEvery = 500;
  static constexpr int kHorizonPercent = 98;

  double Percent(int64_t milli) const {
    return 100.0 * static_cast<double>(milli) / static_cast<double>(fleet_.capacity_milli);
  }

  void Plan(int64_t arrived_milli) {
    const Mix mix{{seen_.begin(), seen_.end()}};
    const int rest_percent = kHorizonPercent - static_cast<int>(Percent(arrived_milli));
    scheduler::Targets berths;
    if (!seen_.empty() && rest_percent > 0) {
      auto program = targets::MakeTargets(
          fleet_.ledger, targets::Scaled(fleet_.ledger, mix, rest_percent), {.easy = 71});
      if (program) berths = std::move(program->targets);
    } else if (!seen_.empty()) {
      return;  // Beyond the horizon the last plan stays.
    }
    Mix known = mix;
    if (known.counts.empty()) known.counts = {{fleet_.demand_of[0], 1}};
    policy_ = scheduler::MakeSluice(std::move(known), std::move(berths));
    placer_.emplace(fleet_.ledger, *policy_);
  }

  TraceFleet& fleet_;
  const std::vector<int32_t>& arrivals_;
  std::map<DemandIndex, int64_t> seen_;
  std::unique_ptr<scheduler::Policy> policy_;
  std::optional<scheduler::Placer> placer_;
};

struct Means {
  std::map<int, double> percent;  // By load.
  int seeds = 0;
  int64_t moves = 0;
  int64_t arrivals = 0;

  void Add(const Curve& curve) {
    for (const int load : kLoads) {
      const auto at = curve.find(load);
      percent[load] += at != curve.end() ? at->second : 0;
    }
    ++seeds;
  }
};

void Print(const Case& the, const std::string& variant, const Means& ours, const Means& fgd) {
  for (const int load : kLoads) {
    fmt::print(R"({{"bench":"levers","name":"alloc_pct","value":{:.2f},"unit":"% of cards","n":{},)"
               R"("config":{{"case":"{}","variant":"{}","load":{},"moves_per_10000":{:.1f}}},)"
               R"("fgd":{:.2f}}})"
               "\n",
               ours.percent.at(load) / ours.seeds,
               ours.seeds,
               the.name,
               variant,
               load,
               ours.arrivals > 0
                   ? 1e4 * static_cast<double>(ours.moves) / static_cast<double>(ours.arrivals)
                   : 0.0,
               fgd.percent.at(load) / fgd.seeds);
  }
  std::fflush(stdout);
}

std::vector<ArrivalOrder> OrdersOf(const Variant& variant) {
  std::vector<ArrivalOrder> orders = variant.orders;
  for (uint64_t seed = kFirstSeed; variant.orders.empty() && seed <= kLastSeed; ++seed) {
    orders.push_back(DrawOrder(variant.nodes, variant.pods, {.seed = seed}));
  }
  return orders;
}

// The chosen setups, so that each variant is rehearsed once.
using Setups = std::map<std::pair<std::string, Cores>, SluiceSetup>;

void RunCase(const Case& the, Variant variant, Setups& setups) {
  GiveCores(variant, the.cores);
  const std::vector<ArrivalOrder> orders = OrdersOf(variant);
  const auto key = std::pair(variant.name, the.cores);
  if (!setups.contains(key) && !the.learns) {
    const TraceFleet fleet = MakeTraceFleet(variant, orders.front().nodes);
    setups[key] = {.choice = ChooseTargets(fleet)};
  }
  SluiceSetup setup = setups[key];
  if (the.change) the.change(setup);
  Means ours;
  Means fgd;
  for (const ArrivalOrder& order : orders) {
    TraceFleet plain = MakeTraceFleet(variant, order.nodes);
    const auto policy = scheduler::MakeFgd(plain.mix);
    fgd.Add(Replay(plain, *policy, order.pods, {.seed = order.seed}).allocation_pct);
    TraceFleet fleet = MakeTraceFleet(variant, order.nodes);
    if (the.learns) {
      ours.Add(Learner(fleet, order.pods).Run());
      continue;
    }
    const auto sluice = MakeSluicePolicy(fleet, setup);
    if (!sluice) {
      std::fprintf(stderr, "%s: %s\n", the.name, sluice.error().message.c_str());
      return;
    }
    const ReplayResult result = Replay(
        fleet, **sluice, order.pods, {.seed = order.seed, .moves_per_10000 = the.moves_per_10000});
    ours.Add(result.allocation_pct);
    ours.moves += result.moves;
    ours.arrivals += result.arrivals;
  }
  Print(the, variant.name, ours, fgd);
}

int Main(const std::vector<std::string>& wanted) {
  const auto folder = FindOpenb("");
  if (!folder) {
    std::fprintf(stderr, "no rows: %s\n", folder.error().message.c_str());
    return 0;
  }
  Setups setups;
  for (const Case& the : Cases()) {
    if (!wanted.empty() && std::ranges::count(wanted, the.name) == 0) continue;
    for (const char* name : the.variants) {
      auto variant = ReadVariant(*folder, name);
      if (!variant) {
        std::fprintf(stderr, "no %s: %s\n", name, variant.error().message.c_str());
        continue;
      }
      RunCase(the, *std::move(variant), setups);
    }
  }
  return 0;
}

}  // namespace
}  // namespace sluice::sim::bench

int main(int argc, char** argv) {
  return sluice::sim::bench::Main({argv + 1, argv + argc});
}
