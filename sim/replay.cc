// SPDX-License-Identifier: Apache-2.0
#include "sim/replay.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <tuple>

#include "scheduler/fragment.h"
#include "scheduler/placer.h"

namespace sluice::sim {
namespace {

using scheduler::Demand;
using scheduler::DemandIndex;
using scheduler::Fragments;
using scheduler::Ledger;
using scheduler::Mix;
using scheduler::NodeSpec;
using scheduler::Placement;

// What the study reckons with per node.
constexpr int kClaimsPerNodeMax = 1001;

NodeSpec SpecOf(const TraceNode& node) {
  NodeSpec spec{.id = NodeId(node.name),
                .cpu_millis = node.cpu_milli,
                .memory = MiB(node.memory_mib),
                .slots = kClaimsPerNodeMax};
  for (int i = 0; i < node.gpus; ++i) {
    spec.cards.push_back({.id = GpuId(node.name + "/" + std::to_string(i)),
                          .kind = {.model = node.model, .memory = Bytes(1000)}});
  }
  return spec;
}

Demand DemandOf(const TracePod& pod) {
  Demand demand{.cpu_millis = pod.cpu_milli,
                .main_memory = MiB(pod.memory_mib),
                .count = pod.gpus,
                .memory = Bytes(pod.gpu_milli),
                .guarantee = ComputeMillis(pod.core_milli),
                .whole = pod.gpus > 0 && pod.gpu_milli == 1000};
  if (pod.gpus > 0) demand.models = pod.models;
  return demand;
}

// The demands of the list without their main memory, most frequent first, until 95 % of the list
// is covered.
Mix TypicalMix(Ledger& ledger, const std::vector<TracePod>& pods) {
  std::map<DemandIndex, int64_t> counts;
  for (const TracePod& pod : pods) {
    Demand demand = DemandOf(pod);
    demand.main_memory = Bytes(0);
    ++counts[ledger.Intern(demand)];
  }
  Mix all;
  all.counts.assign(counts.begin(), counts.end());
  std::ranges::sort(all.counts, std::greater(), [&](const auto& entry) {
    const Demand& demand = ledger.demand(entry.first);
    return std::tuple(
        entry.second, demand.cpu_millis, demand.memory.value(), demand.count, demand.models);
  });
  Mix mix;
  int64_t covered = 0;
  for (const auto& entry : all.counts) {
    if (covered * 100 >= static_cast<int64_t>(pods.size()) * 95) break;
    mix.counts.push_back(entry);
    covered += entry.second;
  }
  return mix;
}

std::string KindOf(const TracePod& pod) {
  if (pod.gpus == 0) return "cpu";
  if (pod.gpus == 1 && pod.gpu_milli < 1000) return "share";
  return std::to_string(pod.gpus) + (pod.gpus == 1 ? " card" : " cards");
}

// Means by percent of load.
class Sampler {
 public:
  void Add(double load_percent, double value) {
    auto& [sum, count] = sums_[static_cast<int>(std::nearbyint(load_percent))];
    sum += value;
    ++count;
  }
  Curve Means() const {
    Curve curve;
    for (const auto& [percent, entry] : sums_) curve[percent] = entry.first / entry.second;
    return curve;
  }

 private:
  std::map<int, std::pair<double, int>> sums_;
};

double Percentile(std::vector<float>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return static_cast<double>(values[at]);
}

// The fragments of a fleet, kept up to date node by node.
class FragmentSum {
 public:
  FragmentSum(const Ledger& ledger, const Mix& mix) : fragments_(ledger, mix) {
    for (scheduler::NodeIndex node = 0; node < ledger.nodes(); ++node) {
      of_.push_back(fragments_.Now(ledger, node));
      sum_ += of_.back();
    }
  }
  void Update(const Ledger& ledger, scheduler::NodeIndex node) {
    sum_ -= of_[node];
    of_[node] = fragments_.Now(ledger, node);
    sum_ += of_[node];
  }
  // Thousandths of a card.
  double Milli() const {
    return static_cast<double>(sum_) / static_cast<double>(fragments_.demands());
  }

 private:
  Fragments fragments_;
  std::vector<int64_t> of_;
  int64_t sum_ = 0;
};

using PolicyMaker = std::unique_ptr<scheduler::Policy> (*)(const TraceFleet&, uint64_t seed);
constexpr std::pair<const char*, PolicyMaker> kPolicies[] = {
    {"random", [](const TraceFleet&, uint64_t seed) { return scheduler::MakeRandom(seed); }},
    {"first_fit", [](const TraceFleet&, uint64_t) { return scheduler::MakeFirstFit(); }},
    {"best_fit", [](const TraceFleet&, uint64_t) { return scheduler::MakeBestFit(); }},
    {"packing", [](const TraceFleet&, uint64_t) { return scheduler::MakePacking(); }},
    {"clustering", [](const TraceFleet&, uint64_t) { return scheduler::MakeClustering(); }},
    {"dot_product", [](const TraceFleet&, uint64_t) { return scheduler::MakeDotProduct(); }},
    {"fgd", [](const TraceFleet& fleet, uint64_t) { return scheduler::MakeFgd(fleet.mix); }},
    {"tightest_card", [](const TraceFleet&, uint64_t) { return scheduler::MakeTightestCard(); }},
};

}  // namespace

TraceFleet MakeTraceFleet(const Variant& variant, const std::vector<int32_t>& nodes) {
  TraceFleet fleet;
  for (const int32_t row : nodes) {
    const TraceNode& node = variant.nodes[static_cast<size_t>(row)];
    fleet.ledger.AddNode(SpecOf(node));
    fleet.capacity_milli += int64_t{1000} * node.gpus;
  }
  fleet.pods = variant.pods;
  for (const TracePod& pod : variant.pods) {
    fleet.demand_of.push_back(fleet.ledger.Intern(DemandOf(pod)));
  }
  fleet.mix = TypicalMix(fleet.ledger, variant.pods);
  return fleet;
}

std::vector<std::string> PolicyNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kPolicies) names.emplace_back(name);
  return names;
}

Result<std::unique_ptr<scheduler::Policy>> MakePolicy(const std::string& name,
                                                      const TraceFleet& fleet,
                                                      uint64_t seed) {
  std::string known;
  for (const auto& [policy, make] : kPolicies) {
    if (name == policy) return make(fleet, seed);
    known += (known.empty() ? "" : ", ") + std::string(policy);
  }
  return Fail(Code::kInvalidArgument, "there is no policy \"" + name + "\", only: " + known);
}

ReplayResult Replay(TraceFleet& fleet,
                    scheduler::Policy& policy,
                    const std::vector<int32_t>& arrivals,
                    const ReplayOptions& options) {
  using Clock = std::chrono::steady_clock;
  Ledger& ledger = fleet.ledger;
  ReplayResult result{.policy = std::string(policy.name()), .seed = options.seed};
  scheduler::Placer placer(ledger, policy);
  FragmentSum fragments(ledger, fleet.mix);
  Sampler allocation;
  Sampler fragment;
  std::vector<float> latency_us;
  latency_us.reserve(arrivals.size());
  const auto capacity = static_cast<double>(fleet.capacity_milli);
  int64_t arrived = 0;
  int64_t allocated = 0;
  Placement placement;
  for (const int32_t row : arrivals) {
    const TracePod& pod = fleet.pods[static_cast<size_t>(row)];
    const DemandIndex demand = fleet.demand_of[static_cast<size_t>(row)];
    const int64_t milli = int64_t{pod.gpus} * pod.gpu_milli;
    arrived += milli;
    auto start = Clock::now();
    std::chrono::duration<float, std::micro> took(0);
    const bool placed = placer.Choose(demand, placement);
    if (options.on_arrival) {
      took += Clock::now() - start;
      options.on_arrival(fleet,
                         {.number = latency_us.size(),
                          .of = arrivals.size(),
                          .row = static_cast<size_t>(row),
                          .placement = placed ? &placement : nullptr});
      start = Clock::now();
    }
    if (placed) {
      ledger.Bind(demand, placement);
      policy.OnPlaced(ledger, demand, placement);
    }
    took += Clock::now() - start;
    latency_us.push_back(took.count());
    ++result.arrivals;
    if (placed) {
      allocated += milli;
      fragments.Update(ledger, placement.node);
    } else {
      ++result.failed[KindOf(pod)];
    }
    const double load = static_cast<double>(arrived) / capacity * 100;
    if (load > options.load_percent) break;
    allocation.Add(load, static_cast<double>(allocated) / capacity * 100);
    const double free = static_cast<double>(fleet.capacity_milli - allocated);
    fragment.Add(load, free > 0 ? fragments.Milli() / free * 100 : 0);
  }
  result.allocation_pct = allocation.Means();
  result.fragment_pct = fragment.Means();
  const double sum_us = std::accumulate(latency_us.begin(), latency_us.end(), 0.0);
  if (sum_us > 0) result.decisions_per_s = 1e6 * static_cast<double>(latency_us.size()) / sum_us;
  result.latency_us_p50 = Percentile(latency_us, 0.5);
  result.latency_us_p99 = Percentile(latency_us, 0.99);
  return result;
}

}  // namespace sluice::sim
