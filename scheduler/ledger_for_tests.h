// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/ledger.h"

// Fleets and demands drawn by a seed, for the tests of the ledger and of what stands on it.
namespace sluice::scheduler {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  // 0 to `sides` - 1.
  int Roll(int sides) { return static_cast<int>(random_.Next() % static_cast<uint64_t>(sides)); }
  bool OneIn(int sides) { return Roll(sides) == 0; }

 private:
  SeededRandom random_;
};

// Runs `check` for seeds 1 to `seeds`, or for SLUICE_SEED alone; ends at the first failure.
template <typename F>
void ForEverySeed(uint64_t seeds, F&& check) {
  const char* given = std::getenv("SLUICE_SEED");
  const uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  const uint64_t last = given != nullptr ? first : seeds;
  for (uint64_t seed = first; seed <= last && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("SLUICE_SEED=" + std::to_string(seed));
    Dice dice(seed);
    check(dice);
  }
}

// The profiles of an A100 of 80 GB, as NVML lists their placements: eight places of memory.
inline Cut MigOfA100() {
  return {.pieces = {{"1g.10gb", GiB(10), ComputeMillis(142), 0b1111111, 1},
                     {"1g.20gb", GiB(20), ComputeMillis(142), 0b1010101, 2},
                     {"2g.20gb", GiB(20), ComputeMillis(285), 0b0010101, 2},
                     {"3g.40gb", GiB(40), ComputeMillis(428), 0b0010001, 4},
                     {"4g.40gb", GiB(40), ComputeMillis(571), 0b0000001, 4},
                     {"7g.80gb", GiB(80), ComputeMillis(1000), 0b0000001, 8}}};
}

// Now and then: places, units, or templates without places.
inline Cut SomeCut(Dice& dice, int model) {
  if (!dice.OneIn(4)) return {};
  if (model == 2) return MigOfA100();
  if (model == 1) return {.memory_unit = MiB(256), .compute_unit = ComputeMillis(10)};
  return {
      .pieces = {{"vir05", GiB(8), ComputeMillis(250)}, {"vir10", GiB(16), ComputeMillis(500)}}};
}

inline CardKind SomeKind(Dice& dice) {
  static const char* const kModels[] = {"A10", "L4", "A100"};
  static constexpr int kGib[] = {24, 24, 80};
  const int model = dice.Roll(3);
  return {.vendor = "nvidia",
          .model = kModels[model],
          .pool = PoolId(model == 2 ? "large" : "shared"),
          .memory = GiB(kGib[model]),
          .compute = ComputeMillis(dice.OneIn(4) ? 1500 : 1000),
          .slots = dice.OneIn(3) ? 3 : 1000,
          .cut = SomeCut(dice, model)};
}

// Nodes of a few types, some out of service.
inline Ledger SomeLedger(Dice& dice, int nodes) {
  Ledger ledger;
  std::vector<NodeSpec> types;
  for (int i = 0; i < 4; ++i) {
    NodeSpec spec{.cpu_millis = 8000 * (1 + dice.Roll(8)),
                  .memory = GiB(32 * (1 + dice.Roll(4))),
                  .slots = dice.OneIn(3) ? 4 : 100};
    const CardKind kind = SomeKind(dice);
    const int cards = dice.Roll(9);
    const int numa[] = {dice.Roll(3) - 1, dice.Roll(3) - 1};
    for (int c = 0; c < cards; ++c) {
      spec.cards.push_back({.kind = dice.OneIn(12) ? SomeKind(dice) : kind, .numa = numa[c % 2]});
    }
    if (cards > 1 && dice.OneIn(2)) spec.links = {{0, cards - 1, 100 * (1 + dice.Roll(4))}};
    types.push_back(spec);
  }
  for (int i = 0; i < nodes; ++i) {
    NodeSpec spec = types[static_cast<size_t>(dice.Roll(4))];
    spec.id = NodeId("n" + std::to_string(i));
    spec.cordoned = dice.OneIn(15);
    for (size_t c = 0; c < spec.cards.size(); ++c) {
      spec.cards[c].id = GpuId(spec.id.text() + "/" + std::to_string(c));
      if (dice.OneIn(25)) spec.cards[c].mode = GpuMode::kPassthrough;
      if (dice.OneIn(25)) spec.cards[c].health = GpuHealth::kStale;
    }
    ledger.AddNode(spec);
  }
  return ledger;
}

inline Demand SomeDemand(Dice& dice) {
  Demand demand{.cpu_millis = 1000 * dice.Roll(9), .main_memory = GiB(dice.Roll(17))};
  demand.count = dice.OneIn(6) ? 0 : (dice.OneIn(5) ? 1 + dice.Roll(4) : 1);
  if (demand.count == 0) return demand;
  demand.memory = MiB(512 * (1 + dice.Roll(50)));
  if (dice.OneIn(5)) demand.memory_percent = 1 + dice.Roll(100);
  if (dice.OneIn(3)) demand.guarantee = ComputeMillis(100 * dice.Roll(11));
  if (dice.OneIn(8)) demand.exclusive = true;
  if (dice.OneIn(5)) demand.whole = true;
  if (dice.OneIn(6)) demand.by_memory = true;
  if (dice.OneIn(6)) demand.cap = ComputeMillis(200);
  if (dice.OneIn(5)) demand.models = {"A10", "L4"};
  if (dice.OneIn(9)) demand.pool = PoolId("large");
  if (dice.OneIn(15)) demand.only = {GpuId("n1/0"), GpuId("n2/0"), GpuId("n3/1")};
  if (dice.OneIn(15)) demand.never = {GpuId("n0/0"), GpuId("n1/1")};
  if (dice.OneIn(12)) demand.piece = dice.OneIn(2) ? "2g.20gb" : "vir05";
  if (dice.OneIn(10)) demand.idle_cards = true;
  if (dice.OneIn(6)) demand.one_numa = true;
  if (dice.OneIn(5)) demand.node_rule = static_cast<NodeRule>(dice.Roll(3));
  if (dice.OneIn(4)) demand.card_rule = static_cast<CardRule>(dice.Roll(4));
  return demand;
}

inline std::vector<DemandIndex> SomeDemands(Dice& dice, Ledger& ledger, int count) {
  std::vector<DemandIndex> demands;
  for (int i = 0; i < count; ++i) demands.push_back(ledger.Intern(SomeDemand(dice)));
  return demands;
}

}  // namespace sluice::scheduler
