// SPDX-License-Identifier: Apache-2.0
#include "scheduler/sluice_policy.h"

#include <gtest/gtest.h>
#include <memory>
#include <optional>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/placer.h"

namespace sluice::scheduler {
namespace {

// Two nodes of two cards each, 16 cores; demands for a half, a third and a whole card.
class SluicePolicy : public testing::Test {
 protected:
  SluicePolicy() {
    for (int n = 0; n < 2; ++n) {
      NodeSpec spec{.id = NodeId("n" + std::to_string(n)), .cpu_millis = 16'000};
      for (int c = 0; c < 2; ++c) {
        spec.cards.push_back({.id = GpuId(spec.id.text() + "/" + std::to_string(c)),
                              .kind = {.memory = Bytes(1000)}});
      }
      ledger_.AddNode(spec);
    }
    half_ = ledger_.Intern({.cpu_millis = 4000, .memory = Bytes(500)});
    third_ = ledger_.Intern({.cpu_millis = 2000, .memory = Bytes(330)});
    whole_ = ledger_.Intern({.cpu_millis = 8000, .memory = Bytes(1000), .whole = true});
    pair_ = ledger_.Intern({.cpu_millis = 8000, .count = 2, .memory = Bytes(1000), .whole = true});
    mix_.counts = {{half_, 3}, {third_, 2}, {whole_, 1}};
  }

  void Aim(std::vector<std::vector<Berth>> berths, SluiceLevers levers = {}) {
    policy_ = MakeSluice(mix_, {std::move(berths)}, levers);
    placer_.emplace(ledger_, *policy_);
  }

  // Places, or an empty placement on node 99.
  Placement Place(DemandIndex demand) {
    Placement placement;
    if (!placer_->Choose(demand, placement)) return {.node = 99, .cards = {}};
    last_ = ledger_.Bind(demand, placement);
    policy_->OnPlaced(ledger_, demand, placement);
    return placement;
  }
  void Release(BindingIndex binding) {
    const Binding was = ledger_.binding(binding);
    ledger_.Release(binding);
    policy_->OnReleased(ledger_, was);
  }

  Ledger ledger_;
  DemandIndex half_ = 0;
  DemandIndex third_ = 0;
  DemandIndex whole_ = 0;
  DemandIndex pair_ = 0;
  Mix mix_;
  std::unique_ptr<Policy> policy_;
  std::optional<Placer> placer_;
  BindingIndex last_ = 0;
};

const Placement kNowhere{.node = 99, .cards = {}};

TEST_F(SluicePolicy, FillsBerthsOfTheDemandFirst) {
  Aim({{}, {{half_, 3}, {pair_, Berth::kAnyCard}, {half_, 2}}});
  EXPECT_EQ(Place(half_), (Placement{1, {3}}));
}

TEST_F(SluicePolicy, KeepsRoomForBerthsWhileThereIsOther) {
  Aim({{{whole_, 0}, {whole_, 1}}, {{whole_, 2}}});
  EXPECT_EQ(Place(third_), (Placement{1, {3}}));
  EXPECT_EQ(Place(half_), (Placement{1, {3}}));
  EXPECT_EQ(Place(whole_), (Placement{0, {0}}));
}

TEST_F(SluicePolicy, TakesTheMostAlikeBerthWhenNoOtherRoomIsLeft) {
  Aim({{{half_, 0}, {half_, 0}, {whole_, 1}}, {{pair_, Berth::kAnyCard}}});
  EXPECT_EQ(Place(third_), (Placement{0, {0}}));
  // One berth for a half is left, and it is taken before the room of whole cards.
  EXPECT_EQ(Place(half_), (Placement{0, {0}}));
}

TEST_F(SluicePolicy, RefusesNothingToKeepABerth) {
  Aim({{{pair_, Berth::kAnyCard}}, {{pair_, Berth::kAnyCard}}});
  for (int i = 0; i < 8; ++i) EXPECT_NE(Place(half_), kNowhere) << i;
  EXPECT_EQ(Place(third_), kNowhere);
}

TEST_F(SluicePolicy, OpensABerthAgainWhenItsClaimEnds) {
  Aim({{}, {{whole_, 3}}});
  EXPECT_EQ(Place(whole_), (Placement{1, {3}}));
  Release(last_);
  EXPECT_NE(Place(third_).cards, (std::vector<CardIndex>{3}));
  EXPECT_EQ(Place(whole_), (Placement{1, {3}}));
}

TEST_F(SluicePolicy, GivesBerthsForSeveralCardsTogether) {
  Aim({{}, {{pair_, Berth::kAnyCard}}});
  EXPECT_EQ(Place(whole_).node, 0U);
  EXPECT_EQ(Place(pair_), (Placement{1, {2, 3}}));
}

TEST_F(SluicePolicy, LeavesBerthsOnCardsOutOfService) {
  Aim({{}, {{half_, 2}}});
  ledger_.SetCardOpen(2, false);
  const Placement placement = Place(half_);
  EXPECT_NE(placement, kNowhere);
  EXPECT_NE(placement.cards, (std::vector<CardIndex>{2}));
}

TEST_F(SluicePolicy, ReadsAnewWhatNobodyToldIt) {
  Aim({{}, {{half_, 2}, {half_, 2}}});
  EXPECT_EQ(Place(half_), (Placement{1, {2}}));
  ledger_.Bind(half_, {1, {2}});  // By somebody else.
  EXPECT_NE(Place(half_).cards, (std::vector<CardIndex>{2}));
}

Targets SomeTargets(Dice& dice, const Ledger& ledger, const std::vector<DemandIndex>& demands) {
  Targets targets;
  targets.by_node.resize(ledger.nodes());
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    for (int i = dice.Roll(6); i > 0; --i) {
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(10))];
      const NodeState& state = ledger.node(node);
      Berth berth{demand, Berth::kAnyCard};
      if (ledger.demand(demand).count == 1 && state.cards > 0) {
        berth.card = state.first_card + static_cast<CardIndex>(dice.Roll(state.cards));
      }
      targets.by_node[node].push_back(berth);
    }
  }
  return targets;
}

// Any targets, sensible or not, and things that happen behind the policy's back: what the index
// answers is what a full scan answers, and it is refused exactly when it fits nowhere.
TEST(SluicePolicyProperty, GivesTheAnswersOfAFullScanAndRefusesNothingThatFits) {
  ForEverySeed(150, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 25);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 10);
    Mix mix;
    for (const DemandIndex demand : demands) mix.counts.emplace_back(demand, 1 + dice.Roll(9));
    const Targets targets = SomeTargets(dice, ledger, demands);
    const SluiceLevers levers{!dice.OneIn(5), !dice.OneIn(5), !dice.OneIn(5)};
    const auto policy = MakeSluice(mix, targets, levers);
    const auto other = MakeSluice(mix, targets, levers);
    Placer placer(ledger, *policy);
    std::vector<BindingIndex> live;
    for (int step = 0; step < 200; ++step) {
      if (!live.empty() && dice.OneIn(4)) {
        const auto at = live.begin() + dice.Roll(static_cast<int>(live.size()));
        const Binding was = ledger.binding(*at);
        ledger.Release(*at);
        live.erase(at);
        policy->OnReleased(ledger, was);
        other->OnReleased(ledger, was);
      }
      if (dice.OneIn(25)) ledger.SetNodeOpen(static_cast<NodeIndex>(dice.Roll(25)), dice.OneIn(2));
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(10))];
      bool fits = false;
      for (NodeIndex node = 0; node < ledger.nodes(); ++node) fits |= ledger.Fits(demand, node);
      Placement placement;
      Placement scanned;
      ASSERT_EQ(placer.Choose(demand, placement), fits);
      ASSERT_EQ(ScanAll(ledger, *other, demand, scanned), fits);
      if (!fits) continue;
      ASSERT_EQ(placement, scanned);
      ASSERT_EQ(placement.cards.size(), static_cast<size_t>(ledger.demand(demand).count));
      for (const CardIndex card : placement.cards) ASSERT_TRUE(ledger.CardFits(demand, card));
      live.push_back(ledger.Bind(demand, placement));
      policy->OnPlaced(ledger, demand, placement);
      other->OnPlaced(ledger, demand, placement);
    }
  });
}

TEST(SluicePolicyProperty, IsFgdWithoutItsLevers) {
  ForEverySeed(60, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 25);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 10);
    Mix mix;
    for (const DemandIndex demand : demands) mix.counts.emplace_back(demand, 1 + dice.Roll(9));
    const auto sluice = MakeSluice(mix, SomeTargets(dice, ledger, demands), {false, false, false});
    const auto fgd = MakeFgd(mix);
    for (int step = 0; step < 150; ++step) {
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(10))];
      Placement by_sluice;
      Placement by_fgd;
      const bool placed = ScanAll(ledger, *sluice, demand, by_sluice);
      ASSERT_EQ(ScanAll(ledger, *fgd, demand, by_fgd), placed);
      if (!placed) continue;
      ASSERT_EQ(by_sluice, by_fgd);
      ledger.Bind(demand, by_fgd);
      sluice->OnPlaced(ledger, demand, by_fgd);
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
