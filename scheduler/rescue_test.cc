// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rescue.h"

#include <gtest/gtest.h>
#include <limits>
#include <tuple>

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

// The definition, step by step, on a copy of the whole ledger for each one or two claims of a node.
struct Plain {
  const Ledger& ledger;
  DemandIndex demand;
  std::function<bool(BindingIndex)> movable;

  using Away = std::tuple<int64_t, NodeIndex, std::vector<BindingIndex>>;  // Cost first.

  std::vector<Away> Of(int moves) const {
    std::vector<Away> all;
    const auto cost = [&](BindingIndex i) {
      int64_t memory = 1;
      for (const Held& part : ledger.binding(i).held) memory += part.memory.value();
      return memory;
    };
    const auto counts = [&](BindingIndex i) { return ledger.binding(i).live && movable(i); };
    for (BindingIndex i = 0; i < ledger.bindings(); ++i) {
      if (!counts(i)) continue;
      const NodeIndex node = ledger.binding(i).node;
      if (moves == 1) all.push_back({cost(i), node, {i}});
      for (BindingIndex j = i + 1; moves == 2 && j < ledger.bindings(); ++j) {
        if (counts(j) && ledger.binding(j).node == node) {
          all.push_back({cost(i) + cost(j), node, {i, j}});
        }
      }
    }
    std::ranges::sort(all);
    return all;
  }

  static std::optional<Placement> Tightest(const Ledger& at, DemandIndex moved) {
    std::optional<Placement> best;
    int64_t least = std::numeric_limits<int64_t>::max();
    const Demand& asked = at.demand(moved);
    for (NodeIndex node = 0; node < at.nodes(); ++node) {
      if (!at.Fits(moved, node)) continue;
      Placement placement{.node = node, .cards = {}};
      ChooseTightestCards(at, moved, placement);
      const int64_t left = asked.count == 1 && !asked.whole
                               ? at.card(placement.cards.front()).memory_free
                               : at.node(node).cpu_free;
      if (left >= least) continue;
      least = left;
      best = std::move(placement);
    }
    return best;
  }

  std::optional<Rescue> Carry(NodeIndex node, const std::vector<BindingIndex>& away) const {
    Ledger after = ledger;
    for (const BindingIndex i : away) after.Release(i);
    if (!after.Fits(demand, node)) return std::nullopt;
    Rescue rescue{.moves = {}, .placement = {.node = node, .cards = {}}};
    ChooseTightestCards(after, demand, rescue.placement);
    after.Bind(demand, rescue.placement);
    for (const BindingIndex i : away) {
      const DemandIndex moved = ledger.binding(i).demand;
      const auto to = Tightest(after, moved);
      if (!to) return std::nullopt;
      after.Bind(moved, *to);
      rescue.moves.push_back({i, *to});
    }
    return rescue;
  }

  std::optional<Rescue> Find(int moves_max) const {
    for (int moves = 1; moves <= moves_max; ++moves) {
      for (const auto& [cost, node, away] : Of(moves)) {
        if (auto rescue = Carry(node, away)) return rescue;
      }
    }
    return std::nullopt;
  }
};

// One thing happens to the ledger.
void Change(Dice& dice, Ledger& ledger, const std::vector<DemandIndex>& demands) {
  const auto node = static_cast<NodeIndex>(dice.Roll(static_cast<int>(ledger.nodes())));
  if (dice.OneIn(12)) {
    ledger.SetNodeOpen(node, dice.OneIn(2));
  } else if (dice.OneIn(12) && ledger.cards() > 0) {
    const auto card = static_cast<CardIndex>(dice.Roll(static_cast<int>(ledger.cards())));
    ledger.SetCardOpen(card, dice.OneIn(2));
  } else if (dice.OneIn(9) && ledger.bindings() > 0) {
    const auto gone = static_cast<BindingIndex>(dice.Roll(static_cast<int>(ledger.bindings())));
    if (ledger.binding(gone).live) ledger.Release(gone);
  } else {
    const DemandIndex demand =
        demands[static_cast<size_t>(dice.Roll(static_cast<int>(demands.size())))];
    if (!ledger.Fits(demand, node)) return;
    Placement placement{.node = node, .cards = {}};
    ChooseTightestCards(ledger, demand, placement);
    ledger.Bind(demand, placement);
  }
}

// Asked again and again beside a fleet that changes, it gives the plain search's answers.
TEST(RescueProperty, AgreesWithThePlainSearch) {
  int one = 0;
  int two = 0;
  int none = 0;
  ForEverySeed(400, [&](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 5);
    std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 6);
    const auto movable = [&](BindingIndex i) { return ledger.binding(i).demand % 5 != 0; };
    Rescuer rescuer(ledger, movable);
    for (int i = 0; i < 90; ++i) Change(dice, ledger, demands);
    for (int step = 0; step < 12; ++step) {
      for (int i = dice.Roll(4); i > 0; --i) Change(dice, ledger, demands);
      if (dice.OneIn(10)) demands.push_back(ledger.Intern(SomeDemand(dice)));
      if (dice.OneIn(20)) ledger.AddNode({.id = NodeId("late"), .cpu_millis = 64'000});
      const DemandIndex demand =
          demands[static_cast<size_t>(dice.Roll(static_cast<int>(demands.size())))];
      const int moves_max = dice.OneIn(3) ? 1 : 2;
      const auto plain = Plain{ledger, demand, movable}.Find(moves_max);
      ASSERT_EQ(rescuer.Find(demand, moves_max), plain);
      ASSERT_EQ(FindRescue(ledger, demand, {moves_max, movable}), plain);
      ++(!plain ? none : plain->moves.size() == 1 ? one : two);
    }
  });
  // The cases were there.
  EXPECT_GT(one, 0);
  EXPECT_GT(two, 0);
  EXPECT_GT(none, 0);
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
