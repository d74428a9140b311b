// SPDX-License-Identifier: Apache-2.0
#include "sim/timed_report.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluice::sim {
namespace {

using nlohmann::json;

double Rounded(double value) {
  return std::round(value * 1e3) / 1e3;
}

json ToJson(const RangeFigures& ranges) {
  json inside = nullptr;
  if (ranges.given > 0) {
    inside = Rounded(100 * static_cast<double>(ranges.inside) / static_cast<double>(ranges.given));
  }
  return {{"asked", ranges.asked},
          {"given", ranges.given},
          {"inside", ranges.inside},
          {"early", ranges.early},
          {"late", ranges.late},
          {"inside_pct", std::move(inside)},
          {"width_s", Rounded(ranges.width_s)}};
}

}  // namespace

json ToJson(const WaitFigures& wait) {
  return {{"claims", wait.claims},
          {"waited", wait.waited},
          {"mean", Rounded(wait.mean_s)},
          {"p50", Rounded(wait.p50_s)},
          {"p95", Rounded(wait.p95_s)},
          {"p99", Rounded(wait.p99_s)},
          {"max", Rounded(wait.max_s)}};
}

json ToJson(const TimedResult& result, Discipline discipline) {
  json by_size = json::object();
  for (const auto& [size, wait] : result.wait_by_size) by_size[size] = ToJson(wait);
  return {{"discipline", ToString(discipline)},
          {"claims", result.claims},
          {"starts", result.starts},
          {"refused", result.refused},
          {"moves", 0},
          {"wait_s", ToJson(result.wait)},
          {"wait_by_size_s", std::move(by_size)},
          {"longest_queue", result.longest_queue},
          {"gpu_hours_held", Rounded(result.gpu_hours_held)},
          {"gpu_hours_lost", Rounded(result.gpu_hours_lost)},
          {"utilisation_pct", Rounded(result.utilisation_pct)},
          {"offered_pct", Rounded(result.offered_pct)},
          {"hours", Rounded(result.hours)},
          {"estimates", ToJson(result.ranges)}};
}

json ToJson(const TimedTrace& trace) {
  return {{"machines", trace.nodes},
          {"cards", trace.fleet.size()},
          {"claims", trace.claims.size()},
          {"pace", static_cast<double>(trace.pace_pct) / 100},
          {"left_out",
           {{"without_card", trace.without_card},
            {"never_ran", trace.never_ran},
            {"too_early", trace.too_early},
            {"several_models", trace.many_models}}}};
}

}  // namespace sluice::sim
