// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <utility>

#include "control/internal/placement.h"

namespace sluice::control {
namespace {

using Json = nlohmann::json;

Json ToJson(const ClaimRequest& request) {
  return {{"count", request.count},
          {"memory", request.memory.value()},
          {"guarantee", request.guarantee.value()},
          {"cap", request.cap.value()},
          {"guarantee_by_memory", request.guarantee_by_memory},
          {"whole", request.whole},
          {"vendor", request.vendor},
          {"gpu_model", request.gpu_model}};
}

// Throws what the library throws where something has another type; see DecodePlacementPlan.
ClaimRequest RequestFrom(const Json& json) {
  ClaimRequest request;
  request.count = json.at("count").get<int>();
  request.memory = Bytes(json.at("memory").get<int64_t>());
  request.guarantee = ComputeMillis(json.at("guarantee").get<int32_t>());
  request.cap = ComputeMillis(json.at("cap").get<int32_t>());
  request.guarantee_by_memory = json.at("guarantee_by_memory").get<bool>();
  request.whole = json.at("whole").get<bool>();
  request.vendor = json.at("vendor").get<std::string>();
  request.gpu_model = json.at("gpu_model").get<std::string>();
  return request;
}

PlacementPlan PlanFrom(const Json& json) {
  PlacementPlan plan;
  plan.wished = ParsePlacementPolicy(json.at("wished").get<std::string>()).value();
  plan.rules.policy = ParsePlacementPolicy(json.at("policy").get<std::string>()).value();
  plan.note = json.at("note").get<std::string>();
  plan.seen = json.at("seen").get<int64_t>();
  plan.cards = json.at("cards").get<std::string>();
  plan.made_at = TimePoint(Duration(json.at("made_at").get<int64_t>()));
  for (const Json& one : json.at("expected")) {
    plan.rules.expected.push_back({RequestFrom(one.at("request")), one.at("count").get<int64_t>()});
  }
  for (const Json& one : json.at("berths")) {
    plan.rules.berths.push_back(
        {GpuId(one.at("gpu").get<std::string>()), RequestFrom(one.at("request"))});
  }
  return plan;
}

}  // namespace

std::string Encode(const PlacementPlan& plan) {
  Json json{{"wished", ToString(plan.wished)},
            {"policy", ToString(plan.rules.policy)},
            {"note", plan.note},
            {"seen", plan.seen},
            {"cards", plan.cards},
            {"made_at", plan.made_at.time_since_epoch().count()},
            {"expected", Json::array()},
            {"berths", Json::array()}};
  for (const scheduler::ExpectedRequest& one : plan.rules.expected) {
    json["expected"].push_back({{"request", ToJson(one.request)}, {"count", one.count}});
  }
  for (const scheduler::CardBerth& berth : plan.rules.berths) {
    json["berths"].push_back({{"gpu", berth.gpu.text()}, {"request", ToJson(berth.request)}});
  }
  return json.dump();
}

std::optional<PlacementPlan> DecodePlacementPlan(std::string_view text) {
  try {
    return PlanFrom(Json::parse(text));
  } catch (const std::exception&) {  // The library's, and bad_optional_access.
    return std::nullopt;
  }
}

}  // namespace sluice::control
