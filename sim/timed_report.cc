// SPDX-License-Identifier: Apache-2.0
#include "sim/timed_report.h"

#include <nlohmann/json.hpp>

#include "sim/internal/rounded.h"

namespace sluice::sim {
namespace {

using nlohmann::json;

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

json FiguresToJson(const TimedResult& result) {
  return {{"claims", result.claims},
          {"starts", result.starts},
          {"refused", result.refused},
          {"wait_s", ToJson(result.wait)},
          {"longest_queue", result.longest_queue},
          {"gpu_hours_held", Rounded(result.gpu_hours_held)},
          {"gpu_hours_lost", Rounded(result.gpu_hours_lost)},
          {"utilisation_pct", Rounded(result.utilisation_pct)},
          {"offered_pct", Rounded(result.offered_pct)},
          {"hours", Rounded(result.hours)}};
}

json ToJson(const TimedResult& result, Discipline discipline) {
  json by_size = json::object();
  for (const auto& [size, wait] : result.wait_by_size) by_size[size] = ToJson(wait);
  json all = FiguresToJson(result);
  all["discipline"] = ToString(discipline);
  all["moves"] = result.moves;
  all["gpu_hours_restarting"] = Rounded(result.gpu_hours_restarting);
  all["wait_by_size_s"] = std::move(by_size);
  all["estimates"] = ToJson(result.ranges);
  return all;
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
