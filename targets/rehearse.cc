// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/random.h"
#include "scheduler/placer.h"
#include "scheduler/sluice_policy.h"
#include "targets/internal/supply.h"
#include "targets/targets.h"

namespace sluice::targets {
namespace {

using scheduler::DemandIndex;
using scheduler::Ledger;
using scheduler::Mix;
using scheduler::Placement;
using scheduler::Policy;

// The mix's demands, each as often as it counts, shuffled; then drawn ones, until `percent` of the
// capacity is asked for.
std::vector<DemandIndex> Draw(const Ledger& ledger, const Mix& mix, int percent, uint64_t seed) {
  SeededRandom random(seed);
  std::vector<DemandIndex> all;
  for (const auto& [demand, count] : mix.counts) {
    all.insert(all.end(), static_cast<size_t>(count), demand);
  }
  for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.Next() % i]);
  const int64_t wanted_millis = static_cast<int64_t>(ledger.cards()) * 10 * percent;
  std::vector<DemandIndex> drawn;
  int64_t asked_millis = 0;
  for (size_t i = 0; asked_millis < wanted_millis && !all.empty(); ++i) {
    if (i >= all.size() && asked_millis == 0) break;
    drawn.push_back(i < all.size() ? all[i] : all[random.Next() % all.size()]);
    asked_millis += WorthMillis(ledger, drawn.back());
  }
  return drawn;
}

// What is placed, in percent of the capacity: the mean over the loads in `measured_at`.
double PlayedPercent(Ledger ledger,
                     Policy& policy,
                     const std::vector<DemandIndex>& arrivals,
                     const std::vector<int>& measured_at) {
  const double percent_millis = 10.0 * static_cast<double>(ledger.cards());
  scheduler::Placer placer(ledger, policy);
  Placement placement;
  double arrived_millis = 0;
  double placed_millis = 0;
  double sum_percent = 0;
  size_t measured = 0;
  for (const DemandIndex demand : arrivals) {
    const auto worth = static_cast<double>(WorthMillis(ledger, demand));
    arrived_millis += worth;
    if (placer.Choose(demand, placement)) {
      ledger.Bind(demand, placement);
      policy.OnPlaced(ledger, demand, placement);
      placed_millis += worth;
    }
    while (measured < measured_at.size() &&
           arrived_millis >= measured_at[measured] * percent_millis) {
      sum_percent += placed_millis / percent_millis;
      ++measured;
    }
  }
  return measured > 0 ? sum_percent / static_cast<double>(measured) : 0;
}

struct Candidate {
  Choice choice;
  scheduler::Targets targets;
};

// Programs whose layout lost much of what they promised are not worth playing.
constexpr int64_t kLostPermilleMax = 15;

std::vector<Candidate> Candidates(const Ledger& ledger,
                                  const Mix& mix,
                                  const Rehearsal& rehearsal) {
  std::vector<Candidate> candidates;
  for (const int load : rehearsal.loads_percent) {
    const std::vector<Expected> expected = Scaled(ledger, mix, load);
    for (const int easy : rehearsal.easy) {
      Candidate candidate;
      candidate.choice.load_percent = load;
      candidate.choice.options.easy = easy;
      auto program = MakeTargets(ledger, expected, candidate.choice.options);
      if (!program) continue;
      const int64_t lost_millis = program->bound_millis - program->placed_millis;
      if (lost_millis > static_cast<int64_t>(ledger.cards()) * kLostPermilleMax) continue;
      candidate.targets = std::move(program->targets);
      candidates.push_back(std::move(candidate));
    }
  }
  return candidates;
}

}  // namespace

Choice Rehearse(const Ledger& ledger, const Mix& mix, const Rehearsal& rehearsal) {
  std::vector<std::vector<DemandIndex>> plays;
  for (int play = 0; play < std::max(rehearsal.plays, 1); ++play) {
    plays.push_back(Draw(ledger,
                         mix,
                         rehearsal.measured_at_percent.back(),
                         rehearsal.seed + static_cast<uint64_t>(play)));
  }
  const auto play = [&](const scheduler::Targets& targets, size_t first, size_t last) {
    double sum_percent = 0;
    for (size_t i = first; i < last; ++i) {
      const auto policy = scheduler::MakeSluice(rehearsal.fgd_mix, targets);
      sum_percent += PlayedPercent(ledger, *policy, plays[i], rehearsal.measured_at_percent);
    }
    return sum_percent;
  };
  std::vector<Candidate> candidates = Candidates(ledger, mix, rehearsal);
  for (Candidate& candidate : candidates) {
    candidate.choice.rehearsed_percent = play(candidate.targets, 0, 1);
  }
  const auto rehearsed = [](const Candidate& c) { return c.choice.rehearsed_percent; };
  // Stable: of equally good ones the first.
  std::ranges::stable_sort(candidates, std::greater(), rehearsed);
  candidates.resize(std::min(candidates.size(), static_cast<size_t>(rehearsal.finalists)));
  for (Candidate& candidate : candidates) {
    double& percent = candidate.choice.rehearsed_percent;
    percent =
        (percent + play(candidate.targets, 1, plays.size())) / static_cast<double>(plays.size());
  }
  std::ranges::stable_sort(candidates, std::greater(), rehearsed);
  Choice best = candidates.empty() ? Choice{} : candidates.front().choice;
  for (const auto& arrivals : plays) {
    const auto fgd = scheduler::MakeFgd(rehearsal.fgd_mix);
    best.fgd_percent += PlayedPercent(ledger, *fgd, arrivals, rehearsal.measured_at_percent) /
                        static_cast<double>(plays.size());
  }
  best.use_targets = best.rehearsed_percent > best.fgd_percent;
  return best;
}

}  // namespace sluice::targets
