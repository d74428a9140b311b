// SPDX-License-Identifier: Apache-2.0
#include "scheduler/ledger.h"

#include <bit>
#include <gtest/gtest.h>
#include <set>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/placer.h"

namespace sluice::scheduler {
namespace {

NodeSpec Node(const std::string& name, int cards, CardKind kind = {.memory = GiB(24)}) {
  NodeSpec spec{.id = NodeId(name), .cpu_millis = 16'000, .memory = GiB(64), .slots = 10};
  for (int i = 0; i < cards; ++i) {
    spec.cards.push_back({.id = GpuId(name + "/" + std::to_string(i)), .kind = kind});
  }
  return spec;
}

struct OneCard {
  explicit OneCard(CardKind kind = {.memory = GiB(24)}) { ledger.AddNode(Node("n", 1, kind)); }
  bool Fits(const Demand& demand) { return ledger.Fits(ledger.Intern(demand), 0); }
  BindingIndex Bind(const Demand& demand) {
    return ledger.Bind(ledger.Intern(demand), {.node = 0, .cards = {0}});
  }
  Ledger ledger;
};

TEST(Ledger, InternsEqualDemandsOnce) {
  Ledger ledger;
  const DemandIndex a = ledger.Intern({.memory = GiB(8)});
  const DemandIndex b = ledger.Intern({.memory = GiB(9)});
  EXPECT_NE(a, b);
  EXPECT_EQ(ledger.Intern({.memory = GiB(8)}), a);
  EXPECT_EQ(ledger.demands(), 2U);
}

TEST(Ledger, KeepsBothDimensionsHard) {
  OneCard one;
  one.Bind({.memory = GiB(20), .guarantee = ComputeMillis(300)});
  EXPECT_TRUE(one.Fits({.memory = GiB(4), .guarantee = ComputeMillis(700)}));
  EXPECT_FALSE(one.Fits({.memory = GiB(4) + Bytes(1)}));
  EXPECT_FALSE(one.Fits({.memory = GiB(1), .guarantee = ComputeMillis(701)}));
}

TEST(Ledger, CountsGuaranteesWithThePoolsOvercommit) {
  OneCard one({.memory = GiB(24), .compute = ComputeMillis(1500)});
  one.Bind({.memory = GiB(1), .guarantee = ComputeMillis(1000)});
  EXPECT_TRUE(one.Fits({.memory = GiB(1), .guarantee = ComputeMillis(500)}));
  EXPECT_FALSE(one.Fits({.memory = GiB(1), .guarantee = ComputeMillis(501)}));
}

TEST(Ledger, GivesExclusiveComputeBesideBestEffortOnly) {
  OneCard one;
  one.Bind({.memory = GiB(1)});
  one.Bind({.memory = GiB(1), .exclusive = true});
  EXPECT_TRUE(one.Fits({.memory = GiB(1)}));
  EXPECT_FALSE(one.Fits({.memory = GiB(1), .guarantee = ComputeMillis(1)}));
  EXPECT_FALSE(one.Fits({.memory = GiB(1), .exclusive = true}));
}

TEST(Ledger, GivesAWholeCardOnlyWithoutHolders) {
  OneCard one;
  EXPECT_TRUE(one.Fits({.memory = GiB(1), .whole = true}));
  const BindingIndex share = one.Bind({.memory = GiB(1)});
  EXPECT_FALSE(one.Fits({.memory = GiB(1), .whole = true}));
  one.ledger.Release(share);
  one.Bind({.memory = GiB(1), .whole = true});
  EXPECT_EQ(one.ledger.card(0).memory_free, 0);
  EXPECT_FALSE(one.Fits({.memory = Bytes(1)}));
}

TEST(Ledger, GivesNoMoreSlotsThanThereAre) {
  OneCard one({.memory = GiB(24), .slots = 2});
  one.Bind({.memory = GiB(1)});
  EXPECT_TRUE(one.Fits({.memory = GiB(1)}));
  one.Bind({.memory = GiB(1)});
  EXPECT_FALSE(one.Fits({.memory = GiB(1)}));
}

TEST(Ledger, ReadsPercentOfTheCard) {
  OneCard one({.memory = Bytes(1001)});
  const Ledger& ledger = one.ledger;
  const DemandIndex third = one.ledger.Intern({.memory_percent = 33});
  EXPECT_EQ(ledger.NeedOf(third, 0).memory, 330);
  const DemandIndex all = one.ledger.Intern({.memory_percent = 100});
  EXPECT_EQ(ledger.NeedOf(all, 0).memory, 1001);
}

TEST(Ledger, GivesComputeByMemoryAsFarAsItIsFree) {
  OneCard one;
  one.Bind({.memory = GiB(1), .guarantee = ComputeMillis(900)});
  const Demand asked{.memory = GiB(8), .by_memory = true};
  EXPECT_TRUE(one.Fits(asked));
  EXPECT_EQ(one.ledger.Take(one.ledger.Intern(asked), 0).compute, ComputeMillis(100));
}

TEST(Ledger, HeedsNamesAndService) {
  Ledger ledger;
  ledger.AddNode(Node("n", 2));
  EXPECT_TRUE(ledger.CardFits(ledger.Intern({.memory = GiB(1), .only = {GpuId("n/1")}}), 1));
  EXPECT_FALSE(ledger.CardFits(ledger.Intern({.memory = GiB(1), .only = {GpuId("n/1")}}), 0));
  EXPECT_FALSE(ledger.CardFits(ledger.Intern({.memory = GiB(1), .never = {GpuId("n/1")}}), 1));
  const DemandIndex two = ledger.Intern({.count = 2, .memory = GiB(1)});
  EXPECT_TRUE(ledger.Fits(two, 0));
  ledger.SetCardOpen(1, false);
  EXPECT_FALSE(ledger.Fits(two, 0));
  ledger.SetCardOpen(1, true);
  ledger.SetNodeOpen(0, false);
  EXPECT_FALSE(ledger.Fits(two, 0));
}

TEST(Ledger, LogsTheNodeOfAClosedCardAmongNodesWithoutCards) {
  Ledger ledger;
  ledger.AddNode(Node("a", 0));
  ledger.AddNode(Node("b", 1));
  ledger.AddNode(Node("c", 0));
  ledger.AddNode(Node("d", 1));
  ledger.SetCardOpen(0, false);
  ledger.SetCardOpen(1, false);
  const auto changes = ledger.ChangesSince(1);
  EXPECT_EQ(std::vector<NodeIndex>(changes.begin(), changes.end()), (std::vector<NodeIndex>{1, 3}));
}

TEST(Ledger, LetsDemandsBeKnownBeforeTheirCards) {
  Ledger ledger;
  const DemandIndex demand = ledger.Intern({.memory = GiB(24)});
  ledger.AddNode(Node("n", 1));
  EXPECT_TRUE(ledger.Fits(demand, 0));
}

// Counts everything afresh from the bindings and holds it against the ledger's records.
void ExpectSound(const Ledger& ledger) {
  std::vector<int64_t> memory(ledger.cards());
  std::vector<int64_t> compute(ledger.cards());
  std::vector<int> holders(ledger.cards());
  std::vector<int> whole(ledger.cards());
  std::vector<Places> taken(ledger.cards());
  std::vector<int64_t> cpu(ledger.nodes());
  std::vector<int> claims(ledger.nodes());
  for (BindingIndex i = 0; i < ledger.bindings(); ++i) {
    const Binding& binding = ledger.binding(i);
    if (!binding.live) continue;
    cpu[binding.node] += ledger.demand(binding.demand).cpu_millis;
    ++claims[binding.node];
    for (const Held& held : binding.held) {
      memory[held.card] += held.memory.value();
      compute[held.card] += held.compute.value();
      ++holders[held.card];
      EXPECT_EQ(taken[held.card] & held.places, 0U) << "one place twice";
      taken[held.card] |= held.places;
      whole[held.card] += ledger.demand(binding.demand).whole ? 1 : 0;
    }
  }
  for (CardIndex card = 0; card < ledger.cards(); ++card) {
    const CardKind& kind = ledger.kind(ledger.card(card).kind);
    EXPECT_LE(memory[card], kind.memory.value());
    EXPECT_LE(compute[card], kind.compute.value());
    EXPECT_LE(holders[card], kind.slots);
    if (whole[card] > 0) {
      EXPECT_EQ(holders[card], 1);
    }
    EXPECT_EQ(ledger.card(card).memory_free, kind.memory.value() - memory[card]);
    EXPECT_EQ(ledger.card(card).compute_free, kind.compute.value() - compute[card]);
    EXPECT_EQ(ledger.card(card).holders, holders[card]);
    EXPECT_EQ(ledger.card(card).taken, taken[card]);
    if (HasPlaces(kind.cut) && holders[card] > 0) {
      EXPECT_GE(std::popcount(taken[card]), holders[card]);
    }
  }
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    const NodeType& type = ledger.type(ledger.node(node).type);
    EXPECT_GE(ledger.node(node).cpu_free, 0);
    EXPECT_GE(ledger.node(node).memory_free, 0);
    EXPECT_EQ(ledger.node(node).cpu_free, type.cpu_millis - cpu[node]);
    EXPECT_EQ(ledger.node(node).slots_free, type.slots - claims[node]);
    EXPECT_GE(ledger.node(node).slots_free, 0);
  }
}

TEST(LedgerProperty, NeverHoldsMoreThanThereIs) {
  ForEverySeed(300, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 12);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 12);
    const auto policy = MakeFirstFit();
    std::vector<BindingIndex> live;
    for (int step = 0; step < 120; ++step) {
      if (!live.empty() && dice.OneIn(3)) {
        const auto at = live.begin() + dice.Roll(static_cast<int>(live.size()));
        ledger.Release(*at);
        live.erase(at);
      } else {
        const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(12))];
        Placement placement;
        if (!ScanAll(ledger, *policy, demand, placement)) continue;
        live.push_back(ledger.Bind(demand, placement));
      }
      if (step % 20 == 0) ExpectSound(ledger);
    }
    ExpectSound(ledger);
    for (const BindingIndex binding : live) ledger.Release(binding);
    ExpectSound(ledger);
  });
}

// What is live, bound anew in another ledger in any order, gives the same records.
TEST(LedgerProperty, IsWhatIsHeldWhateverCameBefore) {
  ForEverySeed(200, [](Dice& dice) {
    const Dice fleet = dice;
    const auto fresh = [&] {
      Dice again = fleet;
      return SomeLedger(again, 8);
    };
    Ledger ledger = fresh();
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 8);
    const auto policy = MakeRandom(7);
    std::vector<BindingIndex> live;
    for (int step = dice.Roll(60); step > 0; --step) {
      Placement placement;
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(8))];
      if (ScanAll(ledger, *policy, demand, placement)) {
        policy->OnPlaced(ledger, demand, placement);
        live.push_back(ledger.Bind(demand, placement));
      }
      if (!live.empty() && dice.OneIn(4)) {
        ledger.Release(live.back());
        live.pop_back();
      }
    }
    Ledger replayed = fresh();
    for (size_t i = live.size(); i-- > 0;) {
      const Binding& binding = ledger.binding(live[i]);
      replayed.BindHeld(replayed.Intern(ledger.demand(binding.demand)), binding.node, binding.held);
    }
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      EXPECT_EQ(ledger.node(node).cpu_free, replayed.node(node).cpu_free);
      EXPECT_EQ(ledger.node(node).memory_free, replayed.node(node).memory_free);
      EXPECT_EQ(ledger.shapes(node), replayed.shapes(node));
    }
    for (CardIndex card = 0; card < ledger.cards(); ++card) {
      EXPECT_EQ(ledger.card(card).memory_free, replayed.card(card).memory_free);
      EXPECT_EQ(ledger.card(card).compute_free, replayed.card(card).compute_free);
      EXPECT_EQ(ledger.card(card).memory_millis, replayed.card(card).memory_millis);
      EXPECT_EQ(ledger.card(card).holders, replayed.card(card).holders);
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
