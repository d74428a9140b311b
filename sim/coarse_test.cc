// SPDX-License-Identifier: Apache-2.0
#include "sim/coarse.h"

#include <gtest/gtest.h>

#include "scheduler/ledger_for_tests.h"

namespace sluice::sim {
namespace {

using scheduler::Demand;
using scheduler::Dice;
using scheduler::Ledger;
using scheduler::Mix;

// Demands of some shares, each with a CPU and a main memory of its own.
Mix SomeMix(Dice& dice, Ledger& ledger, int demands) {
  Mix mix;
  for (int i = 0; i < demands; ++i) {
    const Demand demand{.cpu_millis = 1 + dice.Roll(64'000),
                        .main_memory = Bytes(int64_t{1 + dice.Roll(256'000)} << 20),
                        .memory = Bytes(100 * (1 + dice.Roll(9)))};
    mix.counts.emplace_back(ledger.Intern(demand), 1 + dice.Roll(3));
  }
  return mix;
}

int64_t CountOf(const Mix& mix, const Ledger& ledger, Bytes card_memory) {
  int64_t sum = 0;
  for (const auto& [demand, count] : mix.counts) {
    sum += ledger.demand(demand).memory == card_memory ? count : 0;
  }
  return sum;
}

TEST(Coarse, LeavesAListOfFewKindsAsItIs) {
  Dice dice(1);
  Ledger ledger;
  const Mix mix = SomeMix(dice, ledger, 2'400);
  EXPECT_EQ(Coarse(ledger, mix).counts, mix.counts);
  EXPECT_EQ(Relaxed(ledger, mix).counts, mix.counts);
}

TEST(Coarse, CountsThoseTogetherThatAskForAboutAsMuch) {
  Dice dice(2);
  Ledger ledger;
  const Mix mix = SomeMix(dice, ledger, 6'000);
  const Mix coarse = Coarse(ledger, mix);
  const Mix relaxed = Relaxed(ledger, mix);
  EXPECT_LE(coarse.counts.size(), kKindsMax);
  EXPECT_LE(relaxed.counts.size(), kKindsMax);
  for (int share = 1; share <= 9; ++share) {
    const int64_t count = CountOf(mix, ledger, Bytes(100 * share));
    EXPECT_EQ(CountOf(coarse, ledger, Bytes(100 * share)), count);
    EXPECT_EQ(CountOf(relaxed, ledger, Bytes(100 * share)), count);
  }
  // What is placed of the list can be placed of the relaxed one: it asks for no more of anything.
  const auto sum = [&](const Mix& of, auto&& what) {
    double all = 0;
    for (const auto& [index, count] : of.counts) {
      all += static_cast<double>(what(ledger.demand(index))) * static_cast<double>(count);
    }
    return all;
  };
  const auto cpu = [](const Demand& demand) { return demand.cpu_millis; };
  const auto memory = [](const Demand& demand) { return demand.main_memory.value(); };
  EXPECT_LE(sum(relaxed, cpu), sum(mix, cpu));
  EXPECT_LE(sum(relaxed, memory), sum(mix, memory));
  EXPECT_GT(sum(relaxed, cpu), 0.7 * sum(mix, cpu));
  EXPECT_GE(sum(coarse, cpu), sum(mix, cpu));
  EXPECT_LT(sum(coarse, cpu), 1.5 * sum(mix, cpu));
}

TEST(Coarse, KeepsTheMostFrequentWhereNothingIsAlike) {
  Ledger ledger;
  Mix mix;
  for (int i = 0; i < 5'000; ++i) {
    const Demand demand{.memory = Bytes(1), .only = {GpuId("card-" + std::to_string(i))}};
    mix.counts.emplace_back(ledger.Intern(demand), i);
  }
  const Mix coarse = Coarse(ledger, mix);
  ASSERT_EQ(coarse.counts.size(), kKindsMax);
  EXPECT_EQ(coarse.counts.front().second, 4'999);
  EXPECT_EQ(coarse.counts.back().second, 2'500);
}

}  // namespace
}  // namespace sluice::sim
