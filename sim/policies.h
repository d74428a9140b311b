// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sim/replay.h"
#include "sim/sluice_setup.h"

namespace sluice::sim {

// Makes policies by name for fleets of one variant: those of MakePolicy, and `sluice`, whose
// targets are chosen once, at the first use. One thread at a time.
class Policies {
 public:
  static std::vector<std::string> Names();
  // kInvalidArgument, with the names there are, for an unknown one; else as MakeSluicePolicy.
  Result<std::unique_ptr<scheduler::Policy>> Make(const std::string& name,
                                                  const TraceFleet& fleet,
                                                  uint64_t seed);

 private:
  std::optional<SluiceSetup> sluice_;
};

}  // namespace sluice::sim
