// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "scheduler/explain.h"
#include "sim/replay.h"

// Replays told to programs and to people.
namespace sluice::sim {

// {"policy", "seed", "arrivals", "moves", "decisions_per_s", "latency_us": {"p50", "p99"},
// "failed": {kind: n}, "allocation_pct": {"95": …}, "fragment_pct": {"95": …}}.
nlohmann::json ToJson(const ReplayResult& result);

// The loads that tables show, of those that were reached: every tenth, 95, and the last.
std::vector<int> LoadsShown(const Curve& curve);

// One arrival of a request that was asked about, in words:
// "arrival 812: on openb-node-0007, card 2" or "arrival 812: fits nowhere; 6212 cards: …".
std::string Say(const TraceFleet& fleet, const Arrival& arrival);

// The variant's published orders for these seeds, in their order; drawn ones where there is none.
std::vector<ArrivalOrder> OrdersFor(const Variant& variant, const std::vector<uint64_t>& seeds);

// What the authors published for one of our policies, by load: the mean over the seeds. Empty if
// they did not publish all of these seeds.
std::map<int, double> PublishedMeans(const Published& published,
                                     const std::string& variant,
                                     const std::string& policy,
                                     const std::vector<uint64_t>& seeds);
// Their name for one of our policies; empty: none.
std::string PublishedName(const std::string& policy);

}  // namespace sluice::sim
