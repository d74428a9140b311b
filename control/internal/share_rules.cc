// SPDX-License-Identifier: Apache-2.0
#include "control/internal/share_rules.h"

#include "store/codec.h"

namespace sluice::control {

agent::ShareRules RulesIn(const Pool& pool, const Claim& claim) {
  return {.priority = pool.strict_priority ? claim.request.priority : 0,
          .bypass_rule = pool.bypass_rule,
          .bypass_slack = pool.bypass_slack};
}

agent::ShareRules RulesOf(store::Store& store, const Claim& claim) {
  Pool pool;
  if (!claim.allocations.empty()) {
    const auto gpu = store::Read<Gpu>(store, claim.allocations.front().gpu.text());
    if (gpu) {
      if (const auto row = store::Read<Pool>(store, gpu->value.pool.text())) pool = row->value;
    }
  }
  return RulesIn(pool, claim);
}

}  // namespace sluice::control
