// SPDX-License-Identifier: Apache-2.0
#include "model/pool.h"

#include "model/internal/names.h"

namespace sluice {
namespace {

constexpr internal::Names<BypassRule, 3> kBypassRules{{"warn", "throttle", "end"}};

}  // namespace

std::string_view ToString(BypassRule rule) {
  return kBypassRules.Of(rule);
}
std::optional<BypassRule> ParseBypassRule(std::string_view text) {
  return kBypassRules.Find(text);
}

std::string WhyTooSmall(const Pool& pool) {
  return "The smallest share is " + ToText(pool.share_memory_min) +
         ": a program's context on the " + "card is taken to cost " + ToText(kContextMemory) +
         " of it until it was measured.";
}

}  // namespace sluice
