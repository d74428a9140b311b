// SPDX-License-Identifier: Apache-2.0
#include "model/pool.h"

#include "model/internal/names.h"

namespace sluice {
namespace {

constexpr internal::Names<BypassRule, 3> kBypassRules{{"warn", "throttle", "end"}};
constexpr internal::Names<PlacementPolicy, 5> kPlacementPolicies{
    {"tightest_card", "best_fit", "packing", "fgd", "sluice"}};
constexpr internal::Names<PreemptRule, 3> kPreemptRules{{"never", "borrowed", "lower_priority"}};

}  // namespace

std::string_view ToString(BypassRule rule) {
  return kBypassRules.Of(rule);
}
std::optional<BypassRule> ParseBypassRule(std::string_view text) {
  return kBypassRules.Find(text);
}

std::string_view ToString(PreemptRule rule) {
  return kPreemptRules.Of(rule);
}
std::optional<PreemptRule> ParsePreemptRule(std::string_view text) {
  return kPreemptRules.Find(text);
}

std::string_view ToString(PlacementPolicy policy) {
  return kPlacementPolicies.Of(policy);
}
std::optional<PlacementPolicy> ParsePlacementPolicy(std::string_view text) {
  return kPlacementPolicies.Find(text);
}

std::string WhyTooSmall(const Pool& pool) {
  return "The smallest share is " + ToText(pool.share_memory_min) +
         ": a program's context on the " + "card is taken to cost " + ToText(kContextMemory) +
         " of it until it was measured.";
}

}  // namespace sluice
