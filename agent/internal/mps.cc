// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/mps.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace sluice::agent {
namespace {

constexpr char kInnerPipes[] = "/run/sluice/mps";
// Of a share that is guaranteed nothing. More: those with a guarantee have less of theirs. Less: a
// card that is idle is hardly used by it.
constexpr int64_t kBestEffortPercent = 10;

// One for all cards: the variable knows no more.
int64_t ActiveThreads(const std::vector<Allocation>& allocations) {
  int64_t least = 100;
  for (const Allocation& allocation : allocations) {
    const int64_t percent = allocation.guarantee > ComputeMillis(0)
                                ? allocation.guarantee.value() / 10
                                : kBestEffortPercent;
    least = std::min(least, std::max<int64_t>(percent, 1));
  }
  return least;
}

}  // namespace

bool MpsRuns(const std::string& control) {
  return access(control.c_str(), F_OK) == 0;
}

void AddMps(const std::string& control,
            const std::vector<Allocation>& allocations,
            PreparedShare& prepared) {
  // Pipes and sockets can be written to through a mount that is read-only.
  const std::string folder = std::filesystem::path(control).parent_path();
  prepared.mounts.push_back({folder, kInnerPipes, false});
  prepared.environment.push_back(fmt::format("CUDA_MPS_PIPE_DIRECTORY={}", kInnerPipes));
  prepared.environment.push_back(
      fmt::format("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE={}", ActiveThreads(allocations)));
}

}  // namespace sluice::agent
