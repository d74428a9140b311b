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
#include "scheduler/rescue.h"

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
  FragmentSum(const Ledger& ledger, const Mix& mix) : fragments_(ledger, mix), seen_(ledger.now()) {
    for (scheduler::NodeIndex node = 0; node < ledger.nodes(); ++node) {
      of_.push_back(fragments_.Now(ledger, node));
      sum_ += of_.back();
    }
  }
  // Looks at the nodes that have changed since the last look.
  void Update(const Ledger& ledger) {
    for (const scheduler::NodeIndex node : ledger.ChangesSince(seen_)) {
      sum_ -= of_[node];
      of_[node] = fragments_.Now(ledger, node);
      sum_ += of_[node];
    }
    seen_ = ledger.now();
  }
  // Thousandths of a card.
  double Milli() const {
    return static_cast<double>(sum_) / static_cast<double>(fragments_.demands());
  }

 private:
  Fragments fragments_;
  std::vector<int64_t> of_;
  int64_t sum_ = 0;
  uint64_t seen_;  // Position in the ledger's log.
};

// One replay under way.
class Run {
 public:
  Run(TraceFleet& fleet, scheduler::Policy& policy, const ReplayOptions& options)
      : fleet_(fleet),
        policy_(policy),
        options_(options),
        placer_(fleet.ledger, policy),
        rescuer_(fleet.ledger,
                 [this](scheduler::BindingIndex binding) {
                   return !options_.movable || options_.movable(fleet_.pods[row_of_[binding]]);
                 }),
        fragments_(fleet.ledger, fleet.mix) {
    result_.policy = policy.name();
    result_.seed = options.seed;
  }

  // False, and nothing done, if it is beyond the load asked for.
  bool Arrive(Arrival arrival) {
    const TracePod& pod = fleet_.pods[arrival.row];
    const int64_t milli = int64_t{pod.gpus} * pod.gpu_milli;
    const double load = Percent(arrived_ + milli);
    if (std::nearbyint(load) > options_.load_percent) return false;
    arrived_ += milli;
    ++result_.arrivals;
    if (Place(arrival)) {
      allocated_ += milli;
      fragments_.Update(fleet_.ledger);
    } else {
      ++result_.failed[KindOf(pod)];
    }
    allocation_.Add(load, Percent(allocated_));
    const auto free = static_cast<double>(fleet_.capacity_milli - allocated_);
    fragment_.Add(load, free > 0 ? fragments_.Milli() / free * 100 : 0);
    return true;
  }

  ReplayResult Finish() {
    result_.allocation_pct = allocation_.Means();
    result_.fragment_pct = fragment_.Means();
    const double sum_us = std::accumulate(latency_us_.begin(), latency_us_.end(), 0.0);
    if (sum_us > 0) {
      result_.decisions_per_s = 1e6 * static_cast<double>(latency_us_.size()) / sum_us;
    }
    result_.latency_us_p50 = Percentile(latency_us_, 0.5);
    result_.latency_us_p99 = Percentile(latency_us_, 0.99);
    return std::move(result_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  double Percent(int64_t milli) const {
    return static_cast<double>(milli) / static_cast<double>(fleet_.capacity_milli) * 100;
  }

  bool Place(Arrival& arrival) {
    const DemandIndex demand = fleet_.demand_of[arrival.row];
    Clock::time_point start = Clock::now();
    Clock::duration took{};
    bool placed = placer_.Choose(demand, placement_);
    if (!placed && options_.moves_per_10000 > 0) placed = MakeRoom(demand);
    if (options_.on_arrival) {
      took += Clock::now() - start;
      arrival.placement = placed ? &placement_ : nullptr;
      options_.on_arrival(fleet_, arrival);
      start = Clock::now();
    }
    if (placed) Bind(demand, arrival.row);
    took += Clock::now() - start;
    latency_us_.push_back(std::chrono::duration<float, std::micro>(took).count());
    return placed;
  }

  void Bind(DemandIndex demand, size_t row) {
    const scheduler::BindingIndex binding = fleet_.ledger.Bind(demand, placement_);
    policy_.OnPlaced(fleet_.ledger, demand, placement_);
    if (row_of_.size() <= binding) row_of_.resize(binding + 1);
    row_of_[binding] = row;
  }

  // Moves what must move; then the demand fits, at `placement_`. False: it cannot be, or too many
  // have been moved already.
  bool MakeRoom(DemandIndex demand) {
    const int64_t left = result_.arrivals * options_.moves_per_10000 / 10'000 - result_.moves;
    if (left <= 0 || fleet_.ledger.demand(demand).count == 0) return false;
    const int at_once = static_cast<int>(std::min<int64_t>(left, options_.moves_at_once));
    const auto rescue = rescuer_.Find(demand, at_once);
    if (!rescue) return false;
    std::vector<std::pair<DemandIndex, size_t>> moved;
    for (const scheduler::Move& move : rescue->moves) {
      const scheduler::Binding was = fleet_.ledger.binding(move.binding);
      fleet_.ledger.Release(move.binding);
      policy_.OnReleased(fleet_.ledger, was);
      moved.emplace_back(was.demand, row_of_[move.binding]);
    }
    // What was moved is placed first; the room that is made for the demand is where it is not.
    for (size_t i = 0; i < moved.size(); ++i) {
      placement_ = rescue->moves[i].to;
      Bind(moved[i].first, moved[i].second);
    }
    placement_ = rescue->placement;
    result_.moves += static_cast<int64_t>(moved.size());
    return true;
  }

  TraceFleet& fleet_;
  scheduler::Policy& policy_;
  const ReplayOptions& options_;
  scheduler::Placer placer_;
  std::vector<size_t> row_of_;  // By binding.
  scheduler::Rescuer rescuer_;
  FragmentSum fragments_;
  Sampler allocation_;
  Sampler fragment_;
  std::vector<float> latency_us_;
  int64_t arrived_ = 0;
  int64_t allocated_ = 0;
  Placement placement_;
  ReplayResult result_;
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

Result<TraceFleet> Annotated(TraceFleet fleet,
                             const std::vector<scheduler::Annotation>& annotations) {
  std::vector<std::string> models;
  for (scheduler::KindIndex kind = 0; kind < fleet.ledger.kinds(); ++kind) {
    models.push_back(fleet.ledger.kind(kind).model);
  }
  for (scheduler::DemandIndex& index : fleet.demand_of) {
    scheduler::Demand demand = fleet.ledger.demand(index);
    for (const scheduler::Annotation& annotation : annotations) {
      const auto applied = scheduler::ApplyAnnotation(demand, annotation, models);
      if (!applied) return Fail(applied.error());
      if (!*applied) {
        return Fail(Code::kInvalidArgument, annotation.key + " says nothing of placement");
      }
    }
    index = fleet.ledger.Intern(demand);
  }
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
  Run run(fleet, policy, options);
  for (size_t i = 0; i < arrivals.size(); ++i) {
    const auto row = static_cast<size_t>(arrivals[i]);
    if (!run.Arrive({.number = i, .of = arrivals.size(), .row = row})) break;
  }
  return run.Finish();
}

}  // namespace sluice::sim
