// SPDX-License-Identifier: Apache-2.0
#include "scheduler/explain.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "scheduler/ledger_for_tests.h"
#include "scheduler/placer.h"

namespace sluice::scheduler {
namespace {

CardSpec Card(const std::string& id, const std::string& model, int gib) {
  return {.id = GpuId(id), .kind = {.model = model, .memory = GiB(gib)}};
}

CardSpec In(GpuMode mode, CardSpec card) {
  card.mode = mode;
  return card;
}

void Hold(Ledger& ledger, CardIndex card, const Demand& demand) {
  NodeIndex node = 0;
  while (card >= ledger.node(node).first_card + ledger.node(node).cards) ++node;
  ledger.Bind(ledger.Intern(demand), {.node = node, .cards = {card}});
}

std::string Say(Ledger& ledger, const Demand& demand) {
  return ToWords(Explain(ledger, ledger.Intern(demand)), demand);
}

std::vector<std::string> Instead(Ledger& ledger, const Demand& demand) {
  std::vector<std::string> words;
  for (const Alternative& other : Explain(ledger, ledger.Intern(demand)).alternatives) {
    words.push_back(other.words);
  }
  return words;
}

using Words = std::vector<std::string>;

TEST(Explain, CountsCardsByTheFirstThingInTheWay) {
  Ledger ledger;
  ledger.AddNode({.id = NodeId("n"),
                  .cards = {Card("a", "A10", 24),
                            Card("b", "A10", 24),
                            Card("c", "L4", 24),
                            In(GpuMode::kCordoned, Card("d", "A10", 24)),
                            In(GpuMode::kPassthrough, Card("e", "L4", 24))}});
  Hold(ledger, 0, {.memory = GiB(18)});
  Hold(ledger, 1, {.memory = GiB(20)});
  EXPECT_EQ(Say(ledger, {.memory = GiB(8), .models = {"A10"}}),
            "5 cards: 2 too little memory (largest free 6 GiB), 1 another model, 1 cordoned, "
            "1 held for passthrough");
  EXPECT_EQ(Instead(ledger, {.memory = GiB(8), .models = {"A10"}}), (Words{"6 GiB", "on L4"}));
}

TEST(Explain, TellsTheMachinesLack) {
  Ledger ledger;
  ledger.AddNode({.id = NodeId("n"),
                  .cpu_millis = 3500,
                  .memory = GiB(16),
                  .cards = {Card("a", "A10", 24), Card("b", "A10", 24)}});
  EXPECT_EQ(Say(ledger, {.cpu_millis = 4000, .memory = GiB(8)}),
            "2 cards: 2 too little CPU (most free 3.5 cores)");
  EXPECT_EQ(Say(ledger, {.main_memory = GiB(17), .memory = GiB(8)}),
            "2 cards: 2 too little main memory (most free 16 GiB)");
  EXPECT_EQ(Say(ledger, {.cpu_millis = 4000, .count = 0}),
            "1 machine: 1 too little CPU (most free 3.5 cores)");
  EXPECT_EQ(Say(ledger, {.count = 3, .memory = GiB(8)}),
            "2 cards: 2 too few of one machine (most together 2)");
  EXPECT_EQ(Instead(ledger, {.count = 3, .memory = GiB(8)}), (Words{"2 cards"}));
  EXPECT_EQ(Say(ledger, {.memory = GiB(40)}), "2 cards: 2 too small (largest has 24 GiB)");
  EXPECT_EQ(Instead(ledger, {.memory = GiB(40)}), (Words{"24 GiB"}));
}

TEST(Explain, TellsOneCardByItself) {
  EXPECT_EQ(ToWords(Verdict{Check::kMemory, Service::kOpen, GiB(6).value()}),
            "too little memory (6 GiB free)");
  EXPECT_EQ(ToWords(Verdict{Check::kTooSmall, Service::kOpen, GiB(8).value()}),
            "too small (has 8 GiB)");
  EXPECT_EQ(ToWords(Verdict{Check::kService, Service::kCordoned, 0}), "cordoned");
  EXPECT_EQ(ToWords(Verdict{Check::kModel, Service::kOpen, 0}), "another model");
  EXPECT_EQ(ToWords(Verdict{}), "free");
}

TEST(Explain, TellsComputeAndUse) {
  Ledger ledger;
  ledger.AddNode({.id = NodeId("n"), .cards = {Card("a", "A10", 24)}});
  Hold(ledger, 0, {.memory = GiB(1), .guarantee = ComputeMillis(745)});
  const Demand much{.memory = GiB(1), .guarantee = ComputeMillis(300)};
  EXPECT_EQ(Say(ledger, much), "1 card: 1 too little compute (most free 25.5%)");
  EXPECT_EQ(Instead(ledger, much), (Words{"25% of the compute guaranteed"}));
  EXPECT_EQ(Say(ledger, {.memory = GiB(1), .whole = true}), "1 card: 1 in use");
  EXPECT_EQ(Say(ledger, {.memory = GiB(1)}), "1 card: 1 free");
}

TEST(Explain, TellsOfPieces) {
  Ledger ledger;
  CardKind kind{.vendor = "nvidia", .model = "A100", .memory = GiB(80), .cut = MigOfA100()};
  ledger.AddNode(
      {.id = NodeId("n"),
       .cards = {{.id = GpuId("a"), .kind = kind, .mode = GpuMode::kPartitioned, .numa = 0},
                 {.id = GpuId("b"), .kind = kind, .mode = GpuMode::kPartitioned, .numa = 1}}});
  EXPECT_EQ(Say(ledger, {.piece = "vir05"}), "2 cards: 2 not divided so");
  EXPECT_EQ(Say(ledger, {.whole = true}), "2 cards: 2 too small (largest has 80 GiB)");
  EXPECT_EQ(Say(ledger, {.count = 2, .memory = GiB(1), .one_numa = true}),
            "2 cards: 2 too few on one NUMA node (most together 1)");
  Hold(ledger, 0, {.memory = GiB(5)});
  Hold(ledger, 0, {.piece = "4g.40gb"});
  Hold(ledger, 1, {.piece = "3g.40gb"});
  EXPECT_EQ(Say(ledger, {.piece = "3g.40gb"}),
            "2 cards: 1 free, 1 too little memory (largest free 30 GiB)");
  EXPECT_EQ(Say(ledger, {.memory = GiB(50)}), "2 cards: 2 too little memory (largest free 40 GiB)");
  EXPECT_EQ(Instead(ledger, {.memory = GiB(50)}), (Words{"40 GiB"}));
}

TEST(Explain, TellsOfPlaces) {
  Ledger ledger;
  CardKind kind{.model = "A100", .memory = GiB(80), .cut = MigOfA100()};
  ledger.AddNode({.id = NodeId("n"), .cards = {{.id = GpuId("a"), .kind = kind}}});
  // Small pieces in the middle of both halves, as somebody else has put them.
  const DemandIndex small = ledger.Intern({.piece = "1g.10gb"});
  ledger.BindHeld(
      small,
      0,
      {{0, GiB(10), ComputeMillis(142), 0b10}, {0, GiB(10), ComputeMillis(142), 0b100000}});
  EXPECT_EQ(Say(ledger, {.memory = GiB(21)}), "1 card: 1 without a place for such a part");
  EXPECT_EQ(Instead(ledger, {.memory = GiB(21)}), (Words{"20 GiB"}));
}

int64_t AskedMemory(const Demand& demand, const CardKind& kind) {
  const int64_t all = kind.memory.value();
  if (demand.memory_percent == 0) return demand.memory.value();
  return all / 100 * demand.memory_percent + all % 100 * demand.memory_percent / 100;
}

// The pieces that would do; without pieces: none.
int PiecesThatDo(const Demand& demand, const CardKind& kind) {
  int64_t compute = demand.exclusive ? kind.compute.value() : demand.guarantee.value();
  if (demand.by_memory && !demand.exclusive) compute = 0;
  return static_cast<int>(std::ranges::count_if(kind.cut.pieces, [&](const Piece& piece) {
    return (demand.piece.empty() || piece.name == demand.piece) &&
           piece.memory.value() >= AskedMemory(demand, kind) && piece.compute.value() >= compute;
  }));
}

bool IsTooSmall(const Demand& demand, const CardKind& kind) {
  if (Bytes(AskedMemory(demand, kind)) > kind.memory) return true;
  const bool computes = !demand.by_memory && !demand.exclusive && !demand.whole;
  if (computes && demand.guarantee > kind.compute) return true;
  if (kind.cut.pieces.empty()) return false;
  const bool places = HasPlaces(kind.cut);
  if (demand.whole) return places || !demand.piece.empty();
  return PiecesThatDo(demand, kind) == 0 && (places || !demand.piece.empty());
}

bool OnlyIdle(const Demand& demand, const CardKind& kind) {
  return demand.whole || demand.idle_cards ||
         (!kind.cut.pieces.empty() && PiecesThatDo(demand, kind) == 0);
}

bool ClosedByBounds(const Ledger& ledger, CardIndex card) {
  const Service service = ledger.service(card);
  return service == Service::kForShares || service == Service::kForWhole;
}

// Looks afresh whether what is named does stand in the way, and everything named before does not.
bool StandsInTheWay(const Ledger& ledger, DemandIndex index, CardIndex card, Check check) {
  const Demand& demand = ledger.demand(index);
  const CardState& state = ledger.card(card);
  const CardKind& kind = ledger.kind(state.kind);
  NodeIndex n = 0;
  while (card >= ledger.node(n).first_card + ledger.node(n).cards) ++n;
  const NodeState& node = ledger.node(n);
  const auto has = [](const auto& list, const auto& value) {
    return std::ranges::find(list, value) != list.end();
  };
  int fitting = 0;
  for (CardIndex c = node.first_card; c < node.first_card + node.cards; ++c) {
    fitting += ledger.CardFits(index, c) ? 1 : 0;
  }
  switch (check) {
    case Check::kMachineClosed:
      return !node.open;
    case Check::kService:
      return ledger.service(card) != Service::kOpen && !ClosedByBounds(ledger, card);
    case Check::kName:
      return (!demand.only.empty() && !has(demand.only, ledger.card_id(card))) ||
             has(demand.never, ledger.card_id(card));
    case Check::kVendor:
      return !demand.vendor.empty() && demand.vendor != kind.vendor;
    case Check::kModel:
      return !demand.models.empty() && !has(demand.models, kind.model);
    case Check::kPool:
      return !demand.pool.empty() && demand.pool != kind.pool;
    case Check::kPiece:
      return !demand.piece.empty() &&
             std::ranges::find(kind.cut.pieces, demand.piece, &Piece::name) ==
                 kind.cut.pieces.end();
    case Check::kTooSmall:
      return IsTooSmall(demand, kind);
    case Check::kCpu:
      return node.cpu_free < demand.cpu_millis;
    case Check::kMainMemory:
      return Bytes(node.memory_free) < demand.main_memory;
    case Check::kMachineSlots:
      return node.slots_free < 1;
    case Check::kInUse:
      return OnlyIdle(demand, kind) && state.holders > 0;
    case Check::kMemory:
      return state.memory_free < ledger.NeedOf(index, state.kind).memory;
    case Check::kCompute:
      return state.compute_free < ledger.NeedOf(index, state.kind).compute;
    case Check::kSlots:
      return state.slots_free < 1;
    case Check::kPlaces: {
      const Need& need = ledger.NeedOf(index, state.kind);
      return need.width > 0 &&
             !ChoosePlaces(kind.cut, need.starts, need.width, state.taken).has_value();
    }
    case Check::kBounds:
      return ClosedByBounds(ledger, card);
    case Check::kTogether:
      return fitting < demand.count;
    case Check::kOneNuma:
      for (CardIndex c = node.first_card; c < node.first_card + node.cards; ++c) {
        int same = 0;
        for (CardIndex d = node.first_card; d < node.first_card + node.cards; ++d) {
          same += ledger.numa(c) == ledger.numa(d) && ledger.CardFits(index, d) ? 1 : 0;
        }
        if (same >= demand.count) return false;
      }
      return demand.one_numa && demand.count > 1;
    case Check::kNone:
      return false;
  }
  return false;
}

TEST(ExplainProperty, NeverLies) {
  ForEverySeed(300, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 10);
    const std::vector<DemandIndex> demands = SomeDemands(dice, ledger, 8);
    const auto policy = MakeFirstFit();
    for (int step = dice.Roll(80); step > 0; --step) {
      const DemandIndex demand = demands[static_cast<size_t>(dice.Roll(8))];
      Placement placement;
      if (ScanAll(ledger, *policy, demand, placement)) ledger.Bind(demand, placement);
    }
    for (CardIndex card = 0; card < ledger.cards(); ++card) {
      if (ledger.service(card) != Service::kOpen || !dice.OneIn(6)) continue;
      ledger.SetService(card, dice.OneIn(2) ? Service::kForShares : Service::kForWhole);
    }
    for (const DemandIndex demand : demands) {
      const Explanation explanation = Explain(ledger, demand);
      Placement placement;
      ASSERT_EQ(explanation.fits, ScanAll(ledger, *policy, demand, placement));
      int64_t count = 0;
      for (const Finding& finding : explanation.findings) count += finding.count;
      ASSERT_EQ(count, explanation.count);
      if (explanation.fits) {
        ASSERT_TRUE(explanation.alternatives.empty());
      }
      for (const Alternative& other : explanation.alternatives) {
        ASSERT_TRUE(ledger.FirstFit(other.demand)) << other.words;
      }
      if (ledger.demand(demand).count == 0) continue;
      for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
        const NodeState& state = ledger.node(node);
        for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
          const Verdict verdict = JudgeCard(ledger, demand, node, card);
          for (int before = 0; before < static_cast<int>(verdict.check); ++before) {
            ASSERT_FALSE(StandsInTheWay(ledger, demand, card, static_cast<Check>(before)))
                << before << " before " << static_cast<int>(verdict.check);
          }
          ASSERT_EQ(verdict.check != Check::kNone,
                    StandsInTheWay(ledger, demand, card, verdict.check));
        }
      }
    }
  });
}

// Nothing larger than the named amount would have been placed.
TEST(ExplainProperty, NamesTheLargestThatFits) {
  ForEverySeed(300, [](Dice& dice) {
    Ledger ledger = SomeLedger(dice, 6);
    const auto policy = MakeFirstFit();
    for (int step = 30; step > 0; --step) {
      const DemandIndex demand = ledger.Intern(SomeDemand(dice));
      Placement placement;
      if (ScanAll(ledger, *policy, demand, placement)) ledger.Bind(demand, placement);
    }
    const Demand asked{.count = 1 + dice.Roll(2), .memory = GiB(1 + dice.Roll(80))};
    const Explanation explanation = Explain(ledger, ledger.Intern(asked));
    for (const Alternative& other : explanation.alternatives) {
      if (other.demand.count != asked.count) continue;
      Demand more = other.demand;
      more.memory += MiB(256);
      EXPECT_FALSE(ledger.FirstFit(more)) << other.words;
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
