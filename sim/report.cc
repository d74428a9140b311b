// SPDX-License-Identifier: Apache-2.0
#include "sim/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/internal/rounded.h"

namespace sluice::sim {
namespace {

nlohmann::json ToJson(const Curve& curve) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [load, value] : curve) json[std::to_string(load)] = Rounded(value, 1e4);
  return json;
}

std::string CardsOf(const scheduler::Ledger& ledger, const scheduler::Placement& placement) {
  std::string cards;
  for (const scheduler::CardIndex card : placement.cards) {
    const auto number = card - ledger.node(placement.node).first_card;
    cards += (cards.empty() ? "" : " ") + std::to_string(number);
  }
  if (cards.empty()) return "";
  return (placement.cards.size() == 1 ? ", card " : ", cards ") + cards;
}

// The authors' names.
constexpr std::pair<const char*, const char*> kPublishedNames[] = {
    {"random", "01-Random"},
    {"dot_product", "02-DotProd"},
    {"clustering", "03-GpuClustering"},
    {"packing", "04-GpuPacking"},
    {"best_fit", "05-BestFit"},
    {"fgd", "06-FGD"},
};

}  // namespace

nlohmann::json ToJson(const ReplayResult& result) {
  return {{"policy", result.policy},
          {"seed", result.seed},
          {"arrivals", result.arrivals},
          {"moves", result.moves},
          {"decisions_per_s", std::round(result.decisions_per_s)},
          {"latency_us",
           {{"p50", Rounded(result.latency_us_p50, 1e3)},
            {"p99", Rounded(result.latency_us_p99, 1e3)}}},
          {"failed", result.failed},
          {"allocation_pct", ToJson(result.allocation_pct)},
          {"fragment_pct", ToJson(result.fragment_pct)}};
}

std::vector<int> LoadsShown(const Curve& curve) {
  std::vector<int> loads;
  for (const auto& [load, value] : curve) {
    const bool last = load == curve.rbegin()->first;
    if ((load > 0 && load % 10 == 0) || load == 95 || last) loads.push_back(load);
  }
  return loads;
}

std::string Say(const TraceFleet& fleet, const Arrival& arrival) {
  const scheduler::Ledger& ledger = fleet.ledger;
  const std::string head = "arrival " + std::to_string(arrival.number + 1) + ": ";
  if (arrival.placement != nullptr) {
    return head + "on " + ledger.node_id(arrival.placement->node).text() +
           CardsOf(ledger, *arrival.placement);
  }
  const scheduler::DemandIndex demand = fleet.demand_of[arrival.row];
  constexpr auto kWords = scheduler::MemoryWords::kPercentOfCard;
  const scheduler::Explanation why = scheduler::Explain(ledger, demand, kWords);
  std::string text = head + "fits nowhere; " + ToWords(why, ledger.demand(demand), kWords);
  const char* separator = "; would fit: ";
  for (const scheduler::Alternative& other : why.alternatives) {
    text += separator + other.words;
    separator = ", ";
  }
  return text;
}

std::vector<ArrivalOrder> OrdersFor(const Variant& variant, const std::vector<uint64_t>& seeds) {
  std::vector<ArrivalOrder> orders;
  for (const uint64_t seed : seeds) {
    const auto known = std::ranges::find(variant.orders, seed, &ArrivalOrder::seed);
    orders.push_back(known != variant.orders.end()
                         ? *known
                         : DrawOrder(variant.nodes, variant.pods, {.seed = seed}));
  }
  return orders;
}

std::string PublishedName(const std::string& policy) {
  for (const auto& [ours, theirs] : kPublishedNames) {
    if (policy == ours) return theirs;
  }
  return "";
}

std::map<int, double> PublishedMeans(const Published& published,
                                     const std::string& variant,
                                     const std::string& policy,
                                     const std::vector<uint64_t>& seeds) {
  const std::string name = PublishedName(policy);
  std::map<int, double> means;
  size_t found = 0;
  for (const PublishedCurve& curve : published.curves) {
    if (name.empty() || curve.metric != "alloc_pct" || curve.workload != variant ||
        curve.policy != name || std::ranges::count(seeds, curve.seed) == 0) {
      continue;
    }
    ++found;
    for (size_t i = 0; i < published.loads.size(); ++i) {
      means[published.loads[i]] += curve.values[i] / static_cast<double>(seeds.size());
    }
  }
  return found == seeds.size() ? means : std::map<int, double>();
}

}  // namespace sluice::sim
