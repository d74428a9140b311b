// SPDX-License-Identifier: Apache-2.0
#include "targets/targets.h"

#include "targets/internal/supply.h"

namespace sluice::targets {

Result<Program> MakeTargets(const scheduler::Ledger& ledger,
                            const std::vector<Expected>& expected,
                            const ProgramOptions& options) {
  const std::vector<Supply> supplies = SuppliesOf(ledger, expected);
  auto fractions = Solve(ledger, expected, supplies, options);
  if (!fractions) return Fail(fractions.error());
  if (!options.complete_cards) fractions->fillings.clear();
  return LayOut(ledger, expected, supplies, *fractions);
}

std::vector<Expected> Scaled(const scheduler::Ledger& ledger,
                             const scheduler::Mix& mix,
                             int load_percent) {
  double asked_millis = 0;
  for (const auto& [demand, count] : mix.counts) {
    asked_millis += static_cast<double>(WorthMillis(ledger, demand) * count);
  }
  const double wanted_millis = static_cast<double>(ledger.cards()) * 10.0 * load_percent;
  std::vector<Expected> expected;
  for (const auto& [demand, count] : mix.counts) {
    const double factor = asked_millis > 0 ? wanted_millis / asked_millis : 1;
    expected.push_back({demand, static_cast<double>(count) * factor});
  }
  return expected;
}

}  // namespace sluice::targets
