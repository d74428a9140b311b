// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue.h"

#include <gtest/gtest.h>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

bool All(BindingIndex) {
  return true;
}

// `nodes` of `cards` cards each and 16 cores.
Ledger Alike(int nodes, int cards) {
  Ledger ledger;
  for (int n = 0; n < nodes; ++n) {
    NodeSpec spec{.id = NodeId("n" + std::to_string(n)), .cpu_millis = 16'000};
    for (int c = 0; c < cards; ++c) {
      spec.cards.push_back(
          {.id = GpuId(spec.id.text() + "/" + std::to_string(c)), .kind = {.memory = Bytes(1000)}});
    }
    ledger.AddNode(spec);
  }
  return ledger;
}

TEST(Rescue, MovesTheSmallestClaimThatMakesRoom) {
  Ledger ledger = Alike(2, 2);
  const DemandIndex small = ledger.Intern({.memory = Bytes(300)});
  const DemandIndex large = ledger.Intern({.memory = Bytes(600)});
  const DemandIndex whole = ledger.Intern({.memory = Bytes(1000), .whole = true});
  ledger.Bind(large, {0, {0}});
  const BindingIndex moved = ledger.Bind(small, {0, {1}});
  ledger.Bind(large, {1, {2}});
  ledger.Bind(large, {1, {3}});
  const auto rescue = FindRescue(ledger, whole, {1, All});
  ASSERT_TRUE(rescue);
  ASSERT_EQ(rescue->moves.size(), 1U);
  EXPECT_EQ(rescue->moves[0].binding, moved);
  EXPECT_EQ(rescue->moves[0].to, (Placement{0, {0}}));
  EXPECT_EQ(rescue->placement, (Placement{0, {1}}));
}

TEST(Rescue, MovesNobodyWhoHasNotDeclaredIt) {
  Ledger ledger = Alike(2, 1);
  const DemandIndex half = ledger.Intern({.memory = Bytes(500)});
  const DemandIndex whole = ledger.Intern({.memory = Bytes(1000), .whole = true});
  const BindingIndex first = ledger.Bind(half, {0, {0}});
  const BindingIndex second = ledger.Bind(half, {1, {1}});
  EXPECT_FALSE(FindRescue(ledger, whole, {2, [](BindingIndex) { return false; }}));
  const auto rescue =
      FindRescue(ledger, whole, {2, [&](BindingIndex binding) { return binding == second; }});
  ASSERT_TRUE(rescue);
  EXPECT_EQ(rescue->moves[0].binding, second);
  EXPECT_NE(rescue->moves[0].binding, first);
}

TEST(Rescue, TakesTwoMovesOnlyWhereAllowed) {
  Ledger ledger = Alike(2, 2);
  const DemandIndex third = ledger.Intern({.memory = Bytes(300)});
  const DemandIndex two = ledger.Intern({.count = 2, .memory = Bytes(1000), .whole = true});
  for (const CardIndex card : {0U, 1U}) ledger.Bind(third, {0, {card}});
  ledger.Bind(third, {1, {2}});
  EXPECT_TRUE(FindRescue(ledger, two, {1, All}));
  ledger.Bind(third, {1, {3}});
  EXPECT_FALSE(FindRescue(ledger, two, {1, All}));
  const auto rescue = FindRescue(ledger, two, {2, All});
  ASSERT_TRUE(rescue);
  EXPECT_EQ(rescue->moves.size(), 2U);
}

// What it finds can be done step by step, and it disturbs nothing while it looks.
TEST(RescueProperty, CanBeDone) {
  int found = 0;
  ForEverySeed(300, [&](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 12);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 8);
    for (int i = 0; i < 80; ++i) {
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(8))];
      const auto node = static_cast<NodeIndex>(dice.Roll(12));
      if (!ledger.Fits(demand, node)) continue;
      Placement placement{.node = node, .cards = {}};
      ChooseTightestCards(ledger, demand, placement);
      ledger.Bind(demand, placement);
    }
    for (const DemandIndex demand : demands) {
      const auto rescue = FindRescue(ledger, demand, {1 + dice.Roll(2), [](BindingIndex binding) {
                                                        return binding % 3 != 0;
                                                      }});
      if (!rescue) continue;
      ++found;
      Ledger after = ledger;
      for (const Move& move : rescue->moves) {
        ASSERT_NE(move.binding % 3, 0U);
        after.Release(move.binding);
      }
      ASSERT_TRUE(after.Fits(demand, rescue->placement.node));
      after.Bind(demand, rescue->placement);
      for (const Move& move : rescue->moves) {
        const DemandIndex moved = ledger.binding(move.binding).demand;
        for (const CardIndex card : move.to.cards) ASSERT_TRUE(after.CardFits(moved, card));
        ASSERT_TRUE(after.Fits(moved, move.to.node));
        after.Bind(moved, move.to);
      }
    }
  });
  EXPECT_GT(found, 0);
}

}  // namespace
}  // namespace sluice::scheduler
