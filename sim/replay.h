// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "scheduler/annotations.h"
#include "scheduler/ledger.h"
#include "scheduler/policy.h"
#include "sim/trace.h"

// The published protocol: requests arrive one at a time, nobody leaves, nothing is retried, and
// after each arrival the fleet is measured.
namespace sluice::sim {

// A trace's machines and requests in the scheduler's terms. A thousandth of a card is a unit of its
// memory, compute is not asked for: the trace knows one number per card.
struct TraceFleet {
  scheduler::Ledger ledger;
  std::vector<scheduler::DemandIndex> demand_of;  // By row of the request list.
  scheduler::Mix mix;                             // Of the whole list; see TypicalMix.
  std::vector<TracePod> pods;
  int64_t capacity_milli = 0;  // Thousandths of a card in the fleet.
};
// Nodes are added in the order of `nodes`, which breaks ties.
TraceFleet MakeTraceFleet(const Variant& variant, const std::vector<int32_t>& nodes);

// Every request as if its pod had these annotations; the mix stays as it was. kInvalidArgument for
// a value that is none, and for an annotation that says nothing of placement.
Result<TraceFleet> Annotated(TraceFleet fleet,
                             const std::vector<scheduler::Annotation>& annotations);

// "random", "first_fit", "best_fit", "packing", "clustering", "dot_product", "fgd",
// "tightest_card". kInvalidArgument, with the names there are, for another one.
Result<std::unique_ptr<scheduler::Policy>> MakePolicy(const std::string& name,
                                                      const TraceFleet& fleet,
                                                      uint64_t seed);
std::vector<std::string> PolicyNames();

inline constexpr int kLoadPercentMax = 1000;

// A figure at each arrived load, in percent of the capacity: the mean over the arrivals at which
// the load rounds to that percent. Loads that never occurred are left out.
using Curve = std::map<int, double>;

struct ReplayResult {
  std::string policy;
  uint64_t seed = 0;
  int64_t arrivals = 0;
  int64_t moves = 0;
  double decisions_per_s = 0;
  double latency_us_p50 = 0;
  double latency_us_p99 = 0;
  std::map<std::string, int64_t> failed;  // "cpu", "share", "1 card", "2 cards", …
  Curve allocation_pct;                   // Of the capacity.
  Curve fragment_pct;                     // Fragments, of what is free.
};

// One arrival, as decided and before it is bound.
struct Arrival {
  size_t number = 0;  // From 0.
  size_t of = 0;
  size_t row = 0;                                   // Of the request list.
  const scheduler::Placement* placement = nullptr;  // Null: it fits nowhere.
};

struct ReplayOptions {
  uint64_t seed = 42;
  int load_percent = kLoadPercentMax;  // The replay ends before the load rounds to more.
  // Claims that may be moved to make room for one that fits nowhere: at most so many per 10,000
  // arrivals so far, so many at once, of those of which `movable` is true (empty: all). 0: none.
  int moves_per_10000 = 0;
  int moves_at_once = 1;
  std::function<bool(const TracePod&)> movable;
  // Called for each arrival with the ledger before it; not timed. May be empty.
  std::function<void(const TraceFleet&, const Arrival&)> on_arrival;
};
ReplayResult Replay(TraceFleet& fleet,
                    scheduler::Policy& policy,
                    const std::vector<int32_t>& arrivals,
                    const ReplayOptions& options);

}  // namespace sluice::sim
