// SPDX-License-Identifier: Apache-2.0
#include "scheduler/rules.h"

#include <gtest/gtest.h>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/placer.h"

namespace sluice::scheduler {
namespace {

// Eight cards, four to a processor; pairs (0 1) (2 3) … by NVLink.
NodeSpec EightCards(const std::string& name) {
  NodeSpec spec{.id = NodeId(name)};
  for (int i = 0; i < 8; ++i) {
    spec.cards.push_back({.id = GpuId(name + "/" + std::to_string(i)),
                          .kind = {.vendor = "nvidia", .memory = GiB(80)},
                          .numa = i / 4});
    if (i % 2 == 1) spec.links.push_back({i - 1, i, 400});
  }
  return spec;
}

struct Fleet {
  explicit Fleet(int nodes) {
    for (int i = 0; i < nodes; ++i) ledger.AddNode(EightCards("n" + std::to_string(i)));
  }
  Placement Choose(const Demand& demand) {
    Placement placement;
    const DemandIndex index = ledger.Intern(demand);
    EXPECT_TRUE(ScanAll(ledger, *policy, index, placement));
    return placement;
  }
  std::vector<CardIndex> Take(const Demand& demand) {
    const Placement placement = Choose(demand);
    ledger.Bind(ledger.Intern(demand), placement);
    return placement.cards;
  }
  void Occupy(CardIndex card) {
    ledger.Bind(ledger.Intern({.whole = true}), {.node = card / 8, .cards = {card}});
  }
  Ledger ledger;
  std::unique_ptr<Policy> policy = MakeTightestCard();
};

using Cards = std::vector<CardIndex>;
Demand Whole(int count) {
  return {.count = count, .whole = true, .card_rule = CardRule::kClosest};
}

TEST(Closest, TakesPairsAndProcessors) {
  Fleet fleet(1);
  EXPECT_EQ(fleet.Choose(Whole(2)).cards, (Cards{0, 1}));
  EXPECT_EQ(fleet.Choose(Whole(4)).cards, (Cards{0, 1, 2, 3}));
  fleet.Occupy(1);
  EXPECT_EQ(fleet.Choose(Whole(2)).cards, (Cards{2, 3}));
  EXPECT_EQ(fleet.Choose(Whole(4)).cards, (Cards{4, 5, 6, 7}));
}

TEST(Closest, BreaksNoPairForASingleCard) {
  Fleet fleet(1);
  const Cards first = fleet.Take(Whole(1));
  const Cards second = fleet.Take(Whole(1));
  EXPECT_EQ(second[0], first[0] ^ 1U) << "the partner of the broken pair";
  EXPECT_EQ(fleet.Take(Whole(2)).size(), 2U);
  EXPECT_EQ(fleet.Take(Whole(4)), (Cards{4, 5, 6, 7})) << "the other processor stayed whole";
}

TEST(Closest, IsFoundAmongMoreSetsThanAreTried) {
  NodeSpec spec{.id = NodeId("n")};
  for (int i = 0; i < 40; ++i) {
    spec.cards.push_back({.id = GpuId(std::to_string(i)), .kind = {.memory = GiB(8)}});
    if (i % 8 != 0) spec.links.push_back({i - 1, i, 100});
  }
  Ledger ledger;
  ledger.AddNode(spec);
  const DemandIndex demand =
      ledger.Intern({.count = 8, .memory = GiB(1), .card_rule = CardRule::kClosest});
  Placement placement{.node = 0, .cards = {}};
  ChooseByRule(ledger, demand, placement);
  EXPECT_EQ(placement.cards, (Cards{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(OneNuma, IsHard) {
  Fleet fleet(1);
  const Demand four{.count = 4, .memory = GiB(1), .one_numa = true};
  EXPECT_EQ(fleet.Choose(four).cards, (Cards{0, 1, 2, 3}));
  fleet.Occupy(0);
  EXPECT_EQ(fleet.Choose(four).cards, (Cards{4, 5, 6, 7}));
  fleet.Occupy(4);
  Placement placement;
  EXPECT_FALSE(ScanAll(fleet.ledger, *fleet.policy, fleet.ledger.Intern(four), placement));
  Demand anywhere = four;
  anywhere.one_numa = false;
  EXPECT_EQ(fleet.Choose(anywhere).cards.size(), 4U);
  Demand five = four;
  five.count = 5;
  EXPECT_FALSE(fleet.ledger.FitsEmpty(fleet.ledger.Intern(five), 0));
}

TEST(CardRules, PackAndSpread) {
  Fleet fleet(1);
  fleet.ledger.Bind(fleet.ledger.Intern({.memory = GiB(10)}), {.node = 0, .cards = {3}});
  EXPECT_EQ(fleet.Choose({.memory = GiB(1), .card_rule = CardRule::kBinpack}).cards, Cards{3});
  EXPECT_EQ(fleet.Choose({.memory = GiB(1), .card_rule = CardRule::kSpread}).cards, Cards{0});
  EXPECT_EQ(fleet.Choose({.memory = GiB(1), .idle_cards = true}).cards, Cards{0});
}

TEST(NodeRules, CountTheDemandItself) {
  Fleet fleet(3);
  fleet.ledger.Bind(fleet.ledger.Intern({.memory = GiB(10)}), {.node = 1, .cards = {8}});
  EXPECT_EQ(fleet.Choose({.memory = GiB(1), .node_rule = NodeRule::kBinpack}).node, 1U);
  EXPECT_EQ(fleet.Choose({.memory = GiB(1), .node_rule = NodeRule::kSpread}).node, 0U);
  // A small node that the demand would fill is packed before a large one that is fuller now.
  NodeSpec small{.id = NodeId("small")};
  small.cards.push_back({.id = GpuId("s/0"), .kind = {.vendor = "nvidia", .memory = GiB(80)}});
  fleet.ledger.AddNode(small);
  EXPECT_EQ(fleet.Choose({.memory = GiB(70), .node_rule = NodeRule::kBinpack}).node, 3U);
}

// Each rule keeps what the ledger says fits, whichever policy stands behind it, and the index
// answers as looking at every node does.
TEST(RulesProperty, ArePlacedSoundAndAlikeWithAndWithoutTheIndex) {
  ForEverySeed(200, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 10);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 10);
    const auto policy =
        dice.OneIn(2) ? MakeBestFit() : MakeFgd({{{demands[0], 1}, {demands[1], 3}}});
    Placer placer(ledger, *policy);
    for (int step = 0; step < 60; ++step) {
      const DemandIndex index = demands[static_cast<size_t>(dice.Roll(10))];
      const Demand& demand = ledger.demand(index);
      Placement placement;
      Placement again;
      const bool found = placer.Choose(index, placement);
      ASSERT_EQ(ScanAll(ledger, *policy, index, again), found);
      if (!found) continue;
      EXPECT_EQ(placement, again);
      ASSERT_EQ(placement.cards.size(), static_cast<size_t>(demand.count));
      for (const CardIndex card : placement.cards) {
        EXPECT_TRUE(ledger.CardFits(index, card));
        if (demand.one_numa) {
          EXPECT_EQ(ledger.numa(card), ledger.numa(placement.cards.front()));
        }
        if (demand.idle_cards) {
          EXPECT_EQ(ledger.card(card).holders, 0);
        }
      }
      ledger.Bind(index, placement);
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
