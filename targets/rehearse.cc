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

double PlayedPercent(Ledger ledger, Policy& policy, const std::vector<DemandIndex>& arrivals) {
  scheduler::Placer placer(ledger, policy);
  Placement placement;
  int64_t placed_millis = 0;
  for (const DemandIndex demand : arrivals) {
    if (!placer.Choose(demand, placement)) continue;
    ledger.Bind(demand, placement);
    policy.OnPlaced(ledger, demand, placement);
    placed_millis += WorthMillis(ledger, demand);
  }
  return static_cast<double>(placed_millis) / (10.0 * static_cast<double>(ledger.cards()));
}

}  // namespace

Choice Rehearse(const Ledger& ledger, const Mix& mix, const Rehearsal& rehearsal) {
  const std::vector<DemandIndex> plays[] = {
      Draw(ledger, mix, rehearsal.measured_at_percent, rehearsal.seed),
      Draw(ledger, mix, rehearsal.measured_at_percent, rehearsal.seed + 1)};
  const auto played = [&](const Choice& choice, size_t play) {
    const auto program =
        MakeTargets(ledger, Scaled(ledger, mix, choice.load_percent), choice.options);
    if (!program) return 0.0;
    const auto policy = scheduler::MakeSluice(rehearsal.fgd_mix, program->targets);
    return PlayedPercent(ledger, *policy, plays[play]);
  };
  std::vector<Choice> choices;
  for (const int load : rehearsal.loads_percent) {
    for (const int cpu_easy : rehearsal.cpu_easy) {
      Choice& choice = choices.emplace_back();
      choice.load_percent = load;
      choice.options.cpu_easy = cpu_easy;
      choice.rehearsed_percent = played(choice, 0);
    }
  }
  // Stable: of equally good ones the first, which plans for the lower load.
  std::ranges::stable_sort(choices, std::greater(), &Choice::rehearsed_percent);
  choices.resize(std::min(choices.size(), static_cast<size_t>(rehearsal.finalists)));
  for (Choice& choice : choices) {
    choice.rehearsed_percent = (choice.rehearsed_percent + played(choice, 1)) / 2;
  }
  std::ranges::stable_sort(choices, std::greater(), &Choice::rehearsed_percent);
  Choice best = choices.empty() ? Choice{} : choices.front();
  for (const auto& play : plays) {
    const auto fgd = scheduler::MakeFgd(rehearsal.fgd_mix);
    best.fgd_percent += PlayedPercent(ledger, *fgd, play) / 2;
  }
  best.use_targets = best.rehearsed_percent > best.fgd_percent;
  return best;
}

}  // namespace sluice::targets
