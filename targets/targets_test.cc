// SPDX-License-Identifier: Apache-2.0
#include "targets/targets.h"

#include <gtest/gtest.h>
#include <map>

#include "scheduler/ledger_for_tests.h"
#include "targets/internal/knapsack.h"
#include "targets/internal/solver.h"

namespace sluice::targets {
namespace {

using scheduler::Berth;
using scheduler::DemandIndex;
using scheduler::Dice;
using scheduler::ForEverySeed;
using scheduler::Ledger;
using scheduler::Mix;
using scheduler::NodeIndex;
using scheduler::NodeSpec;
using scheduler::Placement;

TEST(Solver, FindsPricesAndTakesColumnsLater) {
  // 2x + y ≤ 10, x ≤ 3; most of 3x + 2y: y alone.
  Solver solver({10, 3});
  const int x = solver.Add(-3, {{0, 2}, {1, 1}});
  ASSERT_TRUE(solver.Solve());
  EXPECT_NEAR(solver.Value(x), 3, 1e-9);
  const int y = solver.Add(-2, {{0, 1}});
  ASSERT_TRUE(solver.Solve());
  EXPECT_NEAR(solver.Value(y), 10, 1e-9);
  EXPECT_NEAR(solver.Price(0), 2, 1e-9);
}

TEST(Solver, AnswersWhereThereIsNothingToDecide) {
  Solver solver({10, 3});
  ASSERT_TRUE(solver.Solve());
  EXPECT_EQ(solver.Price(1), 0);
  const int x = solver.Add(-3, {{0, 2}});
  ASSERT_TRUE(solver.Solve());
  EXPECT_NEAR(solver.Value(x), 5, 1e-9);
}

double BestByTrying(const std::vector<Extent>& sizes,
                    const std::vector<double>& worth,
                    Extent room,
                    size_t at) {
  if (at == sizes.size()) return 0;
  double best = BestByTrying(sizes, worth, room, at + 1);
  if (worth[at] > 0 && sizes[at].memory <= room.memory && sizes[at].compute <= room.compute) {
    const Extent left{room.memory - sizes[at].memory, room.compute - sizes[at].compute};
    best = std::max(best, worth[at] + BestByTrying(sizes, worth, left, at));
  }
  return best;
}

TEST(Knapsack, FindsTheMostWorth) {
  ForEverySeed(200, [](Dice& dice) {
    std::vector<Extent> sizes;
    std::vector<double> worth;
    for (int i = 0; i < 6; ++i) {
      sizes.push_back({100 * (1 + dice.Roll(9)), 100 * dice.Roll(9)});
      worth.push_back(dice.Roll(10) - 1);
    }
    const Extent room{100 * dice.Roll(11), 100 * dice.Roll(11)};
    const Packed packed = MostWorth(sizes, worth, room);
    ASSERT_NEAR(packed.worth, BestByTrying(sizes, worth, room, 0), 1e-9);
    Extent used;
    for (size_t i = 0; i < sizes.size(); ++i) {
      used.memory += packed.pattern[i] * sizes[i].memory;
      used.compute += packed.pattern[i] * sizes[i].compute;
    }
    ASSERT_LE(used.memory, room.memory);
    ASSERT_LE(used.compute, room.compute);
  });
}

Ledger Alike(int nodes, int cards) {
  Ledger ledger;
  for (int n = 0; n < nodes; ++n) {
    NodeSpec spec{.id = NodeId("n" + std::to_string(n)), .cpu_millis = 96'000};
    for (int c = 0; c < cards; ++c) {
      spec.cards.push_back({.id = GpuId(spec.id.text() + "/" + std::to_string(c)),
                            .kind = {.model = "T4", .memory = Bytes(1000)}});
    }
    ledger.AddNode(spec);
  }
  return ledger;
}

// 650 + 350 and 470 + 370 + 160 fill cards; the sizes one by one would leave holes.
TEST(Targets, CompleteCards) {
  Ledger ledger = Alike(2, 4);
  std::vector<Expected> expected;
  for (const int millis : {650, 350, 470, 370, 160}) {
    expected.push_back({ledger.Intern({.cpu_millis = 1000, .memory = Bytes(millis)}), 4});
  }
  const auto program = MakeTargets(ledger, expected, {});
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(program->placed_millis, 8000);
  EXPECT_EQ(program->bound_millis, 8000);
}

TEST(Targets, GiveTheScarceModelToWhoNeedsIt) {
  Ledger ledger = Alike(1, 2);
  NodeSpec other{.id = NodeId("other"), .cpu_millis = 96'000};
  for (int c = 0; c < 2; ++c) {
    other.cards.push_back(
        {.id = GpuId("o/" + std::to_string(c)), .kind = {.model = "A10", .memory = Bytes(1000)}});
  }
  ledger.AddNode(other);
  const DemandIndex any = ledger.Intern({.memory = Bytes(1000), .whole = true});
  const DemandIndex bound = ledger.Intern({.memory = Bytes(1000), .whole = true, .models = {"T4"}});
  const auto program = MakeTargets(ledger, {{any, 2}, {bound, 2}}, {});
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(program->placed_millis, 4000);
  EXPECT_EQ(program->targets.by_node[0].at(0).demand, bound);
  EXPECT_EQ(program->targets.by_node[1].at(0).demand, any);
}

// Whatever the fleet, what it holds already, and what is expected: all berths fit together beside
// what is held, and no more is kept than is expected.
TEST(TargetsProperty, BerthsFitTogether) {
  ForEverySeed(120, [](Dice& dice) {
    Ledger ledger = scheduler::SomeLedger(dice, 20);
    const std::vector<DemandIndex> demands = scheduler::SomeDemands(dice, ledger, 12);
    for (int i = dice.Roll(60); i > 0; --i) {
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(12))];
      const auto node = static_cast<NodeIndex>(dice.Roll(20));
      if (!ledger.Fits(demand, node)) continue;
      Placement placement{.node = node, .cards = {}};
      ChooseTightestCards(ledger, demand, placement);
      ledger.Bind(demand, placement);
    }
    std::vector<Expected> expected;
    std::map<DemandIndex, double> most;
    for (const DemandIndex demand : demands) {
      if (most.contains(demand)) continue;
      expected.push_back({demand, dice.Roll(200) / 10.0});
      most[demand] = expected.back().count + 1;
    }
    ProgramOptions options;
    options.complete_cards = !dice.OneIn(4);
    const auto program = MakeTargets(ledger, expected, options);
    ASSERT_TRUE(program) << program.error().message;
    std::map<DemandIndex, double> kept;
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      for (const Berth& berth : program->targets.by_node[node]) {
        ASSERT_TRUE(ledger.Fits(berth.demand, node));
        Placement placement{.node = node, .cards = {}};
        if (berth.card == Berth::kAnyCard) {
          ChooseTightestCards(ledger, berth.demand, placement);
        } else {
          ASSERT_TRUE(ledger.CardFits(berth.demand, berth.card));
          placement.cards.push_back(berth.card);
        }
        ledger.Bind(berth.demand, placement);
        ++kept[berth.demand];
      }
    }
    for (const auto& [demand, count] : kept) ASSERT_LE(count, most[demand]);
    ASSERT_LE(program->placed_millis, program->bound_millis + 1000 * 12 * 64);
  });
}

TEST(Targets, AreNoneOnMachinesWithCardsOfSeveralKinds) {
  Ledger ledger;
  NodeSpec node{.id = NodeId("n")};
  node.cards.push_back({.id = GpuId("a"), .kind = {.memory = GiB(24)}});
  node.cards.push_back({.id = GpuId("b"), .kind = {.memory = GiB(40)}});
  ledger.AddNode(node);
  const Mix mix{.counts = {{ledger.Intern({.memory = GiB(7)}), 3}}};
  const auto program = MakeTargets(ledger, Scaled(ledger, mix, 100), {});
  ASSERT_TRUE(program);
  EXPECT_EQ(program->placed_millis, 0);
  EXPECT_FALSE(Rehearse(ledger, mix, {.fgd_mix = mix}).use_targets);
}

TEST(Scaled, AsksForThatPartOfTheCards) {
  Ledger ledger = Alike(5, 4);
  const DemandIndex half = ledger.Intern({.memory = Bytes(500)});
  const DemandIndex cpu = ledger.Intern({.cpu_millis = 1, .count = 0});
  const auto expected = Scaled(ledger, Mix{{{half, 3}, {cpu, 6}}}, 90);
  EXPECT_DOUBLE_EQ(expected.at(0).count, 36);
  EXPECT_DOUBLE_EQ(expected.at(1).count, 72);
}

TEST(Rehearsal, ChoosesWhatDoesBetterThanFgd) {
  Ledger ledger = Alike(6, 4);
  Mix mix;
  for (const auto& [millis, count] : {std::pair{650, 8}, {350, 8}, {470, 8}, {370, 8}, {160, 8}}) {
    mix.counts.emplace_back(ledger.Intern({.cpu_millis = 1000, .memory = Bytes(millis)}), count);
  }
  Rehearsal rehearsal{.loads_percent = {95, 100}, .easy = {85}, .fgd_mix = mix};
  const Choice choice = Rehearse(ledger, mix, rehearsal);
  EXPECT_TRUE(choice.use_targets);
  EXPECT_GT(choice.rehearsed_percent, choice.fgd_percent);
  rehearsal.loads_percent = {};
  EXPECT_FALSE(Rehearse(ledger, mix, rehearsal).use_targets);
}

}  // namespace
}  // namespace sluice::targets
