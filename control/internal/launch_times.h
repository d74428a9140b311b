// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "model/desktop.h"

namespace sluice::control {

// How long each stage of the last launches took, so that a user can be told what is usual. One
// thread at a time.
class LaunchTimes {
 public:
  explicit LaunchTimes(int samples_max) : samples_max_(static_cast<size_t>(samples_max)) {}

  // Takes in one launch that succeeded.
  void Add(const std::vector<StageTime>& stages);

  // The median of each stage; 0: not known yet.
  std::map<LaunchStage, Duration> Usual() const;

  // What is kept in the store under kSettingId. Decoding takes what it can read.
  static constexpr std::string_view kSettingId = "launch_times";
  std::string Encode() const;
  void Decode(std::string_view json);

 private:
  size_t samples_max_;
  std::array<std::vector<int64_t>, kLaunchStageCount> samples_ms_;  // Oldest first.
};

}  // namespace sluice::control
