// SPDX-License-Identifier: Apache-2.0
#include "control/internal/launch_times.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice::control {

void LaunchTimes::Add(const std::vector<StageTime>& stages) {
  for (const StageTime& stage : stages) {
    if (stage.ended_at == TimePoint{} || stage.ended_at < stage.started_at) continue;
    std::vector<int64_t>& samples = samples_ms_.at(static_cast<size_t>(stage.stage));
    samples.push_back((stage.ended_at - stage.started_at).count());
    if (samples.size() > samples_max_) samples.erase(samples.begin());
  }
}

std::map<LaunchStage, Duration> LaunchTimes::Usual() const {
  std::map<LaunchStage, Duration> usual;
  for (size_t i = 0; i < samples_ms_.size(); ++i) {
    std::vector<int64_t> sorted = samples_ms_[i];
    Duration median{0};
    if (!sorted.empty()) {
      std::ranges::sort(sorted);
      median = Duration(sorted[sorted.size() / 2]);
    }
    usual[static_cast<LaunchStage>(i)] = median;
  }
  return usual;
}

std::string LaunchTimes::Encode() const {
  nlohmann::json json = nlohmann::json::object();
  for (size_t i = 0; i < samples_ms_.size(); ++i) {
    json[std::string(ToString(static_cast<LaunchStage>(i)))] = samples_ms_[i];
  }
  return json.dump();
}

void LaunchTimes::Decode(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  for (size_t i = 0; i < samples_ms_.size(); ++i) {
    const auto found = json.find(std::string(ToString(static_cast<LaunchStage>(i))));
    if (found == json.end() || !found->is_array()) continue;
    samples_ms_[i].clear();
    for (const nlohmann::json& sample : *found) {
      if (sample.is_number_integer() && samples_ms_[i].size() < samples_max_) {
        samples_ms_[i].push_back(sample.get<int64_t>());
      }
    }
  }
}

}  // namespace sluice::control
