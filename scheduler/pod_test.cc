// SPDX-License-Identifier: Apache-2.0
#include "scheduler/pod.h"

#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/placer.h"

namespace sluice::scheduler {
namespace {

NodeSpec Machine(const std::string& name, int cards, const Cut& cut = {}) {
  NodeSpec spec{.id = NodeId(name), .cpu_millis = 8000, .memory = GiB(32)};
  for (int i = 0; i < cards; ++i) {
    spec.cards.push_back(
        {.id = GpuId(name + std::to_string(i)), .kind = {.memory = GiB(80), .cut = cut}});
  }
  return spec;
}

struct Fleet {
  explicit Fleet(int cards, const Cut& cut = {}) { ledger.AddNode(Machine("n", cards, cut)); }
  std::optional<PodPlacement> Place(const std::vector<Demand>& containers,
                                    const std::vector<Demand>& inits = {}) {
    pod = InternPod(ledger, containers, inits);
    return PlacePod(ledger, *policy, pod);
  }
  // The memory held of each card, in GiB, with the pod bound.
  std::vector<int64_t> Bind(const std::vector<Demand>& containers,
                            const std::vector<Demand>& inits = {}) {
    const auto placement = Place(containers, inits);
    if (!placement) return {};
    BindPod(ledger, pod, *placement);
    std::vector<int64_t> held;
    for (const CardState& card : ledger.CardsOf(0)) held.push_back(80 - (card.memory_free >> 30));
    return held;
  }
  Ledger ledger;
  Pod pod;
  std::unique_ptr<Policy> policy = MakeTightestCard();
};

using Gib = std::vector<int64_t>;

TEST(Pod, SharesACardBetweenItsContainers) {
  Fleet fleet(2);
  EXPECT_EQ(fleet.Bind({{.memory = GiB(30)}, {.memory = GiB(40)}}), (Gib{70, 0}));
  EXPECT_EQ(fleet.ledger.card(0).holders, 2);
}

TEST(Pod, NeverGivesOneContainerTwoSharesOfOneCard) {
  Fleet fleet(2);
  EXPECT_EQ(fleet.Bind({{.count = 2, .memory = GiB(10)}, {.memory = GiB(10)}}), (Gib{20, 10}));
  EXPECT_FALSE(Fleet(1).Place({{.count = 2, .memory = GiB(10)}}));
}

TEST(Pod, PlacesAllOrNothing) {
  Fleet fleet(1);
  EXPECT_FALSE(fleet.Place({{.memory = GiB(50)}, {.memory = GiB(40)}}));
  EXPECT_FALSE(fleet.Place({{.memory = GiB(50)}, {.whole = true}}));
  EXPECT_TRUE(fleet.Place({{.memory = GiB(50)}, {.memory = GiB(30)}}));
}

TEST(Pod, TakesForInitsOnlyWhatTheContainersDoNotHave) {
  EXPECT_EQ(Fleet(1).Bind({{.memory = GiB(8)}}, {{.memory = GiB(8)}}), (Gib{8}));
  EXPECT_EQ(Fleet(1).Bind({{.memory = GiB(8)}}, {{.memory = GiB(10)}, {.memory = GiB(9)}}),
            (Gib{10}));
  EXPECT_EQ(Fleet(1).Bind({{.memory = GiB(8)}, {.memory = GiB(8)}}, {{.memory = GiB(16)}}),
            (Gib{16}));
  EXPECT_EQ(Fleet(1).Bind({{.memory = GiB(8)}}, {{.whole = true}}), (Gib{80}));
  EXPECT_EQ(Fleet(2).Bind({{.memory = GiB(8)}}, {{.count = 2, .memory = GiB(2)}}), (Gib{8, 2}));
}

TEST(Pod, CountsCpuAsTheLargerOfBoth) {
  Fleet fleet(1);
  EXPECT_TRUE(fleet.Place({{.cpu_millis = 4000}, {.cpu_millis = 4000}}, {{.cpu_millis = 8000}}));
  EXPECT_FALSE(fleet.Place({{.cpu_millis = 4000}, {.cpu_millis = 4001}}));
  EXPECT_FALSE(fleet.Place({{.cpu_millis = 1}}, {{.cpu_millis = 8001}}));
}

TEST(Pod, GivesAnInitThePieceOfAContainer) {
  Fleet fleet(1, MigOfA100());
  const auto placement =
      fleet.Place({{.piece = "3g.40gb"}, {.piece = "2g.20gb"}}, {{.memory = GiB(30)}});
  ASSERT_TRUE(placement);
  EXPECT_EQ(placement->held.size(), 2U);
  EXPECT_EQ(fleet.Bind({{.piece = "3g.40gb"}}, {{.piece = "4g.40gb"}}), (Gib{80}));
}

TEST(Pod, TriesOtherCardsWhereTheTightestLeadNowhere) {
  Fleet fleet(2);
  fleet.ledger.BindHeld(fleet.ledger.Intern({.count = 1}), 0, {{0, GiB(60), ComputeMillis(0)}});
  // The first fits both cards and is tried on card 0, which the second cannot do without.
  EXPECT_EQ(fleet.Bind({{.memory = GiB(20)}, {.memory = GiB(20), .only = {GpuId("n0")}}}),
            (Gib{80, 20}));
}

// By trying every card for every container, in every order.
bool AnyWay(const Ledger& ledger, const std::vector<Demand>& containers, NodeIndex node) {
  const NodeState& state = ledger.node(node);
  std::vector<CardState> cards(ledger.CardsOf(node).begin(), ledger.CardsOf(node).end());
  std::vector<bool> placed(containers.size());
  const std::function<bool(size_t)> any = [&](size_t left) {
    for (size_t c = 0; c < containers.size() && left > 0; ++c) {
      for (CardIndex i = 0; i < state.cards && !placed[c]; ++i) {
        const Need need = NeedOn(containers[c], ledger.kind(cards[i].kind));
        if (!NeedFits(need, cards[i])) continue;
        if (!TakesName(containers[c], ledger.card_id(state.first_card + i))) continue;
        const CardState was = cards[i];
        cards[i].memory_free -= need.memory;
        cards[i].compute_free -= ComputeTaken(need, cards[i]);
        ++cards[i].holders;
        --cards[i].slots_free;
        placed[c] = true;
        if (any(left - 1)) return true;
        placed[c] = false;
        cards[i] = was;
      }
    }
    return left == 0;
  };
  return any(containers.size());
}

Demand SomeShare(Dice& dice) {
  Demand demand = SomeDemand(dice);
  demand.count = 1;
  return demand;
}

TEST(PodProperty, FitsExactlyWhenSomeWayIsThereAndNeverHoldsMoreThanThereIs) {
  ForEverySeed(300, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 5);
    const auto policy = MakeTightestCard();
    for (int step = 0; step < 25; ++step) {
      std::vector<Demand> containers;
      for (int i = dice.Roll(3); i >= 0; --i) containers.push_back(SomeShare(dice));
      // Places are chosen by where they leave most, so not every order of them is tried.
      for (Demand& demand : containers) demand.piece.clear();
      const Pod pod = InternPod(ledger, containers, {});
      bool any = false;
      bool places = false;
      for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
        any |= ledger.RoomBesideCards(pod.beside, node) && AnyWay(ledger, containers, node);
        for (const CardState& card : ledger.CardsOf(node))
          places |= HasPlaces(ledger.kind(card.kind).cut);
      }
      const auto placement = PlacePod(ledger, *policy, pod);
      if (!places) {
        ASSERT_EQ(placement.has_value(), any);
      }
      if (!placement) continue;
      for (size_t i = 0; i < containers.size(); ++i) ASSERT_EQ(placement->containers[i].size(), 1U);
      BindPod(ledger, pod, *placement);
      for (const CardState& card : ledger.CardsOf(placement->node)) {
        ASSERT_GE(card.memory_free, 0);
        ASSERT_GE(card.compute_free, 0);
        ASSERT_GE(card.slots_free, 0);
      }
    }
  });
}

// A pod of one container and an init that asks no more is that container.
TEST(PodProperty, IsItsContainerWhenThereIsOne) {
  ForEverySeed(300, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 8);
    const auto policy = MakeTightestCard();
    for (int step = 0; step < 20; ++step) {
      const Demand demand = SomeShare(dice);
      const DemandIndex alone = ledger.Intern(demand);
      const Pod pod = InternPod(ledger, {demand}, {demand});
      Placement expected;
      const bool fits = ScanAll(ledger, *policy, alone, expected);
      const auto placement = PlacePod(ledger, *policy, pod);
      ASSERT_EQ(placement.has_value(), fits);
      if (!fits) continue;
      EXPECT_EQ(placement->node, expected.node);
      ASSERT_EQ(placement->held.size(), 1U);
      EXPECT_EQ(placement->inits[0], placement->containers[0]);
      BindPod(ledger, pod, *placement);
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
