// SPDX-License-Identifier: Apache-2.0
#include "scheduler/placer.h"

#include <gtest/gtest.h>
#include <memory>
#include <utility>

#include "scheduler/fragment.h"
#include "scheduler/ledger_for_tests.h"

namespace sluice::scheduler {
namespace {

TEST(ScoreTree, FindsTheFirstOfTheBest) {
  ScoreTree tree(300);
  EXPECT_EQ(tree.best(), kNoFit);
  tree.Set(299, 5);
  EXPECT_EQ(tree.BestPlace(), 299U);
  tree.Set(17, 5);
  EXPECT_EQ(tree.BestPlace(), 17U);
  tree.Set(40, 6);
  EXPECT_EQ(tree.BestPlace(), 40U);
  tree.Set(40, kNoFit);
  tree.Set(17, 4);
  EXPECT_EQ(tree.best(), 5);
  EXPECT_EQ(tree.BestPlace(), 299U);
}

TEST(ScoreTreeProperty, AgreesWithAScan) {
  ForEverySeed(100, [](Dice& dice) {
    std::vector<Score> scores(static_cast<size_t>(1 + dice.Roll(600)), kNoFit);
    ScoreTree tree(scores.size());
    for (int step = 0; step < 200; ++step) {
      const auto place = static_cast<size_t>(dice.Roll(static_cast<int>(scores.size())));
      scores[place] = dice.OneIn(4) ? kNoFit : dice.Roll(9) - 4;
      tree.Set(place, scores[place]);
      const auto best = std::ranges::max_element(scores);
      ASSERT_EQ(tree.best(), *best);
      if (*best != kNoFit) {
        ASSERT_EQ(tree.BestPlace(), static_cast<size_t>(best - scores.begin()));
      }
    }
  });
}

Mix MixOf(const std::vector<DemandIndex>& demands) {
  Mix mix;
  int64_t weight = 1;
  for (const DemandIndex demand : demands) mix.counts.emplace_back(demand, weight++);
  return mix;
}

using Make = std::unique_ptr<Policy> (*)(const Mix&);
constexpr Make kPolicies[] = {
    [](const Mix&) { return MakeRandom(3); },
    [](const Mix&) { return MakeFirstFit(); },
    [](const Mix&) { return MakeBestFit(); },
    [](const Mix&) { return MakePacking(); },
    [](const Mix&) { return MakeClustering(); },
    [](const Mix&) { return MakeDotProduct(); },
    [](const Mix& mix) { return MakeFgd(mix); },
    [](const Mix&) { return MakeTightestCard(); },
};

// Binds, releases, closes and opens by the index, and asks beside it a policy of its own that looks
// at every node.
TEST(PlacerProperty, GivesTheAnswersOfAFullScan) {
  for (const Make make : kPolicies) {
    ForEverySeed(60, [&](Dice& dice) {
      Ledger ledger = SomeLedger(dice, 40);
      const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 10);
      const auto policy = make(MixOf(demands));
      const auto other = make(MixOf(demands));
      SCOPED_TRACE(std::string(policy->name()));
      Placer placer(ledger, *policy);
      std::vector<BindingIndex> live;
      for (int step = 0; step < 150; ++step) {
        if (!live.empty() && dice.OneIn(4)) {
          ledger.Release(live.back());
          live.pop_back();
        }
        if (dice.OneIn(20) && ledger.cards() > 0) {
          const auto card = static_cast<CardIndex>(dice.Roll(static_cast<int>(ledger.cards())));
          ledger.SetCardOpen(card, dice.OneIn(2));
        }
        if (dice.OneIn(30))
          ledger.SetNodeOpen(static_cast<NodeIndex>(dice.Roll(40)), dice.OneIn(2));
        const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(10))];
        Placement placement;
        Placement scanned;
        const bool placed = placer.Choose(demand, placement);
        ASSERT_EQ(ScanAll(ledger, *other, demand, scanned), placed);
        if (!placed) continue;
        ASSERT_EQ(placement, scanned);
        ASSERT_EQ(placement.cards.size(), static_cast<size_t>(ledger.demand(demand).count));
        for (const CardIndex card : placement.cards) ASSERT_TRUE(ledger.CardFits(demand, card));
        live.push_back(ledger.Bind(demand, placement));
        policy->OnPlaced(ledger, demand, placement);
        other->OnPlaced(ledger, demand, placement);
      }
    });
  }
}

TEST(Placer, SeesNodesThatAreAddedLater) {
  Ledger ledger;
  NodeSpec spec{.id = NodeId("a"), .cards = {{.id = GpuId("a/0"), .kind = {.memory = GiB(8)}}}};
  ledger.AddNode(spec);
  const DemandIndex demand = ledger.Intern({.memory = GiB(8)});
  const auto policy = MakeFirstFit();
  Placer placer(ledger, *policy);
  Placement placement;
  ASSERT_TRUE(placer.Choose(demand, placement));
  ledger.Bind(demand, placement);
  EXPECT_FALSE(placer.Choose(demand, placement));
  spec.id = NodeId("b");
  ledger.AddNode(spec);
  ASSERT_TRUE(placer.Choose(demand, placement));
  EXPECT_EQ(placement.node, 1U);
}

// A node that lags further behind than the log reaches.
TEST(Placer, CatchesUpWhenTheLogHasBeenCut) {
  Ledger ledger;
  for (const char* name : {"a", "b"}) {
    ledger.AddNode({.id = NodeId(name), .cards = {{.kind = {.memory = GiB(8)}}}});
  }
  const DemandIndex demand = ledger.Intern({.memory = GiB(8)});
  const auto policy = MakeFirstFit();
  Placer placer(ledger, *policy);
  Placement placement;
  ASSERT_TRUE(placer.Choose(demand, placement));
  ledger.Bind(demand, {.node = 0, .cards = {0}});
  const BindingIndex other = ledger.Bind(demand, {.node = 1, .cards = {1}});
  ledger.Release(other);
  while (ledger.kept_from() == 1) {
    ledger.SetNodeOpen(1, false);
    ledger.SetNodeOpen(1, true);
  }
  ASSERT_TRUE(placer.Choose(demand, placement));
  EXPECT_EQ(placement.node, 1U);
}

// What the fragment is by its definition, demand by demand and card by card.
int64_t FragmentByDefinition(const Ledger& ledger, const Mix& mix, NodeIndex node) {
  int64_t sum = 0;
  for (const auto& [demand, weight] : mix.counts) {
    const Demand& asked = ledger.demand(demand);
    int64_t all = 0;
    int64_t usable = 0;
    int enough = 0;
    for (const CardState& card : ledger.CardsOf(node)) {
      const Need& need = ledger.NeedOf(demand, card.kind);
      all += card.memory_millis;
      if (!need.admitted || card.memory_millis < need.memory_millis ||
          card.compute_free < need.compute) {
        continue;
      }
      usable += card.memory_millis;
      ++enough;
    }
    const bool runs =
        asked.count > 0 && enough >= asked.count && ledger.node(node).cpu_free >= asked.cpu_millis;
    sum += weight * (runs ? all - usable : all);
  }
  return sum;
}

TEST(FragmentsProperty, AreWhatTheirDefinitionSays) {
  ForEverySeed(200, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 15);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 12);
    const Mix mix = MixOf(demands);
    Fragments fragments(ledger, mix);
    const auto policy = MakeBestFit();
    for (int step = 0; step < 60; ++step) {
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(12))];
      Placement placement;
      if (ScanAll(ledger, *policy, demand, placement)) ledger.Bind(demand, placement);
      const auto node = static_cast<NodeIndex>(dice.Roll(15));
      ASSERT_EQ(fragments.Now(ledger, node), FragmentByDefinition(ledger, mix, node));
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
