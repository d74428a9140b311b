// SPDX-License-Identifier: Apache-2.0
#include "sim/bound.h"

#include <algorithm>

#include "sim/coarse.h"
#include "sim/sluice_setup.h"

namespace sluice::sim {
namespace {

// Every core and all of the main memory may be used, and cards are put together as well as can be.
constexpr targets::ProgramOptions kAllOfIt{.easy = 100, .most = 100};
constexpr double kEqualPct = 0.005;

// A fleet and what is asked of it, at any load.
class Program {
 public:
  explicit Program(const TraceFleet& fleet)
      : ledger_(fleet.ledger), capacity_milli_(static_cast<double>(fleet.capacity_milli)) {
    expected_ = targets::Scaled(ledger_, Relaxed(ledger_, WholeMix(fleet)), 100);
  }

  // In percent of the capacity.
  Result<double> BoundAt(double load_percent) const {
    std::vector<targets::Expected> expected = expected_;
    for (targets::Expected& one : expected) one.count *= load_percent / 100;
    const auto program = targets::MakeTargets(ledger_, expected, kAllOfIt);
    if (!program) return Fail(program.error());
    return 100 * static_cast<double>(program->bound_millis) / capacity_milli_;
  }

 private:
  scheduler::Ledger ledger_;
  double capacity_milli_;
  std::vector<targets::Expected> expected_;
};

bool AllFitSomewhere(const TraceFleet& fleet) {
  return std::ranges::all_of(fleet.demand_of, [&](scheduler::DemandIndex demand) {
    for (scheduler::TypeIndex type = 0; type < fleet.ledger.types(); ++type) {
      if (fleet.ledger.FitsEmpty(demand, type)) return true;
    }
    return false;
  });
}

}  // namespace

Result<Bounds> BoundsOf(const TraceFleet& fleet, const std::vector<int>& loads_percent) {
  const Program program(fleet);
  Bounds bounds;
  for (const int load : loads_percent) {
    const auto bound = program.BoundAt(load);
    if (!bound) return Fail(bound.error());
    bounds.by_load[load] = *bound;
  }
  if (!AllFitSomewhere(fleet)) return bounds;
  // Nobody is refused up to the load at which all that has come still fits.
  // The program's answer is cut to whole thousandths of a card.
  const double slack = kEqualPct + 100.0 / static_cast<double>(fleet.capacity_milli);
  double fits = 0;
  double too_much = 100;
  while (too_much - fits > kEqualPct) {
    const double load = (fits + too_much) / 2;
    const auto bound = program.BoundAt(load);
    if (!bound) return Fail(bound.error());
    (*bound >= load - slack ? fits : too_much) = load;
  }
  bounds.first_refusal = fits;
  return bounds;
}

}  // namespace sluice::sim
