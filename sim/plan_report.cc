// SPDX-License-Identifier: Apache-2.0
#include "sim/plan_report.h"

#include <nlohmann/json.hpp>

#include "sim/internal/rounded.h"
#include "sim/timed_report.h"

namespace sluice::sim {
namespace {

using nlohmann::json;

json TimeOrNull(TimePoint time) {
  return time == TimePoint() ? json(nullptr) : json(ToRfc3339(time));
}

json ToJson(const PlanHistory& history) {
  return {{"claims", history.claims},
          {"never_held", history.never_held},
          {"from", TimeOrNull(history.from)},
          {"until", TimeOrNull(history.until)},
          {"days", Rounded(history.days, 10)},
          {"days_needed", kPlanDaysNeeded},
          {"days_missing", Rounded(history.days_missing, 10)},
          {"claims_needed", kPlanClaimsNeeded},
          {"claims_missing", history.claims_missing},
          {"enough", history.enough},
          {"why", history.why},
          {"wait_s", ToJson(history.wait)}};
}

json ToJson(const PlanRun& run) {
  const TimedResult& result = run.result;
  json by_size = json::array();
  for (const auto& [size, wait] : result.wait_by_size) {
    json entry = ToJson(wait);
    entry["size"] = size;
    by_size.push_back(std::move(entry));
  }
  json refused_why = json::array();
  for (const auto& [reason, count] : run.refused_why) {
    refused_why.push_back({{"reason", reason}, {"claims", count}});
  }
  json points = json::array();
  for (const TimedPoint& point : result.points) {
    points.push_back({{"hours", Rounded(point.hours)},
                      {"waiting", point.waiting},
                      {"held_pct", Rounded(point.held_pct)}});
  }
  json cost = nullptr;
  if (run.cost) {
    cost = {{"card_hours", Rounded(run.cost->card_hours)},
            {"total", Rounded(run.cost->total)},
            {"per_useful_gpu_hour", Rounded(run.cost->per_useful_hour, 1e4)}};
  }
  json all = FiguresToJson(result);
  all["fleet"] = {{"text", run.fleet.text},
                  {"machines", run.fleet.machines},
                  {"cards", run.fleet.cards},
                  {"memory_bytes", run.fleet.memory.value()}};
  all["rules"] = {{"policy", ToString(run.rules.policy)},
                  {"overcommit_pct", run.rules.overcommit_pct},
                  {"preempt", ToString(run.rules.preempt)}};
  all["starts_again"] = result.starts_again;
  all["gave_way"] = result.gave_way;
  all["refused_why"] = std::move(refused_why);
  all["cut_short"] = result.cut_short;
  all["wait_by_size_s"] = std::move(by_size);
  all["cost"] = std::move(cost);
  all["points"] = std::move(points);
  return all;
}

json OrNull(const std::optional<PlanRun>& run) {
  return run ? ToJson(*run) : json(nullptr);
}

}  // namespace

json ToJson(const PlanAnswer& answer) {
  return {{"history", ToJson(answer.history)},
          {"load",
           {{"text", answer.load},
            {"synthetic", answer.synthetic},
            {"claims", answer.claims},
            {"any_card", answer.any_card},
            {"ended_by_idle", answer.ended_by_idle},
            {"in_parts", answer.in_parts},
            {"reservations", answer.reservations}}},
          {"today", OrNull(answer.today)},
          {"planned", OrNull(answer.planned)}};
}

}  // namespace sluice::sim
