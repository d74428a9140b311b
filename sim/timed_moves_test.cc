// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/timed.h"

// Moves in a replay in time: who is moved goes on elsewhere and pays with a restart.
namespace sluice::sim {
namespace {

constexpr Duration kMinute{60'000};

std::vector<Gpu> Cards(int count) {
  std::vector<Gpu> cards;
  for (int i = 0; i < count; ++i) {
    const std::string node = fmt::format("n{}", i / 2);
    cards.push_back({.id = GpuId(fmt::format("{}/{}", node, i)),
                     .node = NodeId(node),
                     .index = i % 2,
                     .model = "T4",
                     .memory = GiB(24)});
  }
  return cards;
}

TimedClaim Claim(int number, ClaimRequest request, int at_min, int runs_min) {
  return {.id = ClaimId(fmt::format("c{:04}", number)),
          .request = std::move(request),
          .team = {},
          .kind = "any",
          .size = "any",
          .arrives = TimePoint(kMinute * (1 + at_min)),
          .runs = kMinute * runs_min,
          .movable = true};
}

ClaimRequest Part(Bytes memory) {
  return {.memory = memory};
}
ClaimRequest Whole(int count) {
  return {.count = count, .memory = GiB(24), .whole = true};
}

// Two cards of one machine, a share left on each when those beside them have ended; then somebody
// wants a whole card.
std::vector<TimedClaim> Scattered() {
  return {Claim(0, Part(GiB(16)), 0, 200),
          Claim(1, Part(GiB(16)), 0, 10),
          Claim(2, Part(GiB(8)), 1, 10),
          Claim(3, Part(GiB(8)), 1, 100),
          Claim(4, Whole(1), 20, 30)};
}

TimedOptions Moves(int per_10000) {
  return {.moves_per_10000 = per_10000, .restart = 5 * kMinute};
}

TEST(TimedMoves, StartTheFirstAndCostTheMovedARestart) {
  const std::vector<TimedClaim> claims = Scattered();
  const TimedResult without = ReplayTimed(Cards(2), {}, claims, {});
  EXPECT_GT(*without.outcomes[4].started, claims[4].arrives);
  EXPECT_EQ(without.moves, 0);
  EXPECT_EQ(without.gpu_hours_restarting, 0);
  const TimedResult with = ReplayTimed(Cards(2), {}, claims, Moves(10'000));
  EXPECT_EQ(*with.outcomes[4].started, claims[4].arrives);
  EXPECT_EQ(with.moves, 1);
  // A third of a card for five minutes.
  EXPECT_NEAR(with.gpu_hours_restarting, 5.0 / 60 / 3, 1e-3);
  EXPECT_NEAR(with.gpu_hours_held, without.gpu_hours_held + 5.0 / 60 / 3, 1e-3);
}

TEST(TimedMoves, AreNotMadeOfWhoHasNotDeclaredItNorPastTheBudget) {
  std::vector<TimedClaim> claims = Scattered();
  EXPECT_EQ(ReplayTimed(Cards(2), {}, claims, Moves(10'000)).moves, 1);
  // Five have come: one move only from 2,000 per 10,000 on.
  EXPECT_EQ(ReplayTimed(Cards(2), {}, claims, Moves(1'999)).moves, 0);
  EXPECT_EQ(ReplayTimed(Cards(2), {}, claims, Moves(2'000)).moves, 1);
  for (TimedClaim& claim : claims) claim.movable = false;
  EXPECT_EQ(ReplayTimed(Cards(2), {}, claims, Moves(10'000)).moves, 0);
}

TEST(TimedMovesProperty, NeverOverfillACardAndKeepToTheBudget) {
  int64_t moves = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    SeededRandom random(seed);
    const auto roll = [&](int below) {
      return static_cast<int>(random.Next() % static_cast<uint64_t>(below));
    };
    std::vector<TimedClaim> claims;
    for (int i = 0; i < 150; ++i) {
      ClaimRequest request = Part(MiB(512 * (1 + roll(40))));
      if (roll(4) == 0) request = Whole(1 + roll(2));
      const int at_min = roll(200);
      claims.push_back(Claim(i, request, at_min, 1 + roll(60)));
      claims.back().movable = roll(4) != 0;
    }
    TimedOptions options = Moves(3'000);
    options.moves_at_once = 2;
    options.on_state = [](const TimedState& state) {
      for (const Gpu& gpu : state.fleet) ASSERT_LE(MemoryHeld(gpu), gpu.memory) << gpu.id.text();
    };
    const TimedResult result = ReplayTimed(Cards(8), {}, claims, options);
    EXPECT_EQ(result.starts, 150);
    EXPECT_LE(result.moves, 150 * 3 / 10);
    // All that was held is what they ran and what moves added.
    double ran = 0;
    for (const TimedClaim& claim : claims) {
      const double cards =
          claim.request.whole
              ? claim.request.count
              : std::floor(1000.0 * static_cast<double>(claim.request.memory.value()) /
                           static_cast<double>(GiB(24).value())) /
                    1000;
      ran += cards * static_cast<double>(claim.runs.count()) / 3'600'000;
    }
    EXPECT_NEAR(result.gpu_hours_held, ran + result.gpu_hours_restarting, 1e-6);
    moves += result.moves;
  }
  EXPECT_GT(moves, 20);
}

}  // namespace
}  // namespace sluice::sim
