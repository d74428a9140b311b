// SPDX-License-Identifier: Apache-2.0
#include "sim/policies.h"

#include <algorithm>

namespace sluice::sim {

std::vector<std::string> Policies::Names() {
  std::vector<std::string> names = PolicyNames();
  names.emplace_back("sluice");
  return names;
}

Result<std::unique_ptr<scheduler::Policy>> Policies::Make(const std::string& name,
                                                          const TraceFleet& fleet,
                                                          uint64_t seed) {
  if (name == "sluice") {
    if (!sluice_) sluice_ = SluiceSetup{.choice = ChooseTargets(fleet)};
    return MakeSluicePolicy(fleet, *sluice_);
  }
  if (std::ranges::count(PolicyNames(), name) > 0) return MakePolicy(name, fleet, seed);
  std::string known;
  for (const std::string& one : Names()) known += (known.empty() ? "" : ", ") + one;
  return Fail(Code::kInvalidArgument, "there is no policy \"" + name + "\", only: " + known);
}

}  // namespace sluice::sim
