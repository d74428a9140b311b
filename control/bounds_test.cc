// SPDX-License-Identifier: Apache-2.0
// A pool's floor and ceiling: who waits for them, what is offered, and whom a change of them
// touches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;
using testing::House;
using enum DesktopState;

Pool PoolOf(House& house) {
  const auto row = store::Read<Pool>(*house.real_store, "shared");
  return row ? row->value : Pool{.id = PoolId("shared"), .name = "Shared"};
}

void SetBounds(House& house, int floor, int ceiling) {
  const auto row = store::Read<Pool>(*house.real_store, "shared");
  Pool pool = PoolOf(house);
  pool.floor_cards = floor;
  pool.ceiling_cards = ceiling;
  ASSERT_TRUE(
      house.real_store->Commit(std::vector{store::Put(pool, row ? row->version : uint64_t{0})}));
  house.Run();
}

// Three cards of 24 GiB.
struct ThreeCards {
  ThreeCards() {
    for (const char* id : {"GPU-1", "GPU-2", "GPU-3"}) house.node.AddCard(id, 24_GiB);
    SetBounds(house, 0, 0);
  }
  DesktopId Add(const std::string& name, Bytes memory) {
    house.clock.Advance(Duration(1'000));
    const DesktopId id = house.AddDesktop(name, memory);
    house.Run();
    return id;
  }
  DesktopId AddWhole(const std::string& name) {
    house.clock.Advance(Duration(1'000));
    const DesktopId id = house.AddDesktop(name, 4_GiB);
    house.Change(id, [](Desktop& desktop) { desktop.request.whole = true; });
    house.Run();
    return id;
  }
  std::string WhyWaits(const DesktopId& id) { return house.GetClaim(house.Get(id).claim)->reason; }
  // What the change would do to whom.
  std::map<DesktopId, std::vector<PoolEffect>> Try(int floor, int ceiling) {
    Pool pool = PoolOf(house);
    pool.floor_cards = floor;
    pool.ceiling_cards = ceiling;
    std::map<DesktopId, std::vector<PoolEffect>> effects;
    const PoolTrial trial = *house.control().TryPool(pool);
    for (const PoolEffect& effect : trial.effects) {
      effects[effect.desktop].push_back(effect);
    }
    return effects;
  }
  House house;
};

TEST(PoolFloor, LetsAWholeClaimWaitUntilItIsLowered) {
  ThreeCards three;
  SetBounds(three.house, 2, 0);
  const DesktopId first = three.AddWhole("first");
  const DesktopId second = three.AddWhole("second");
  EXPECT_EQ(three.house.StateOf(first), kReady);
  EXPECT_EQ(three.house.StateOf(second), kQueued);
  EXPECT_EQ(three.WhyWaits(second),
            "needs one whole card with 4 GiB or more; 2 cards are unused, but kept for shares "
            "(floor 2)");
  const DesktopId share = three.Add("share", 4_GiB);
  EXPECT_EQ(three.house.StateOf(share), kReady);
  SetBounds(three.house, 1, 0);
  EXPECT_EQ(three.house.StateOf(second), kReady);
}

TEST(PoolFloor, ThatLeavesNoWholeCardRefusesTheClaim) {
  ThreeCards three;
  SetBounds(three.house, 3, 0);
  const DesktopId whole = three.AddWhole("whole");
  EXPECT_EQ(three.house.StateOf(whole), kFailed);
  EXPECT_THAT(three.house.Get(whole).reason, HasSubstr("may be given out whole (floor 3)"));
}

TEST(PoolCeiling, KeepsSharesTogetherAcrossARestart) {
  ThreeCards three;
  SetBounds(three.house, 0, 1);
  const DesktopId large = three.Add("large", 20_GiB);
  const DesktopId small = three.Add("small", 8_GiB);
  EXPECT_EQ(three.house.StateOf(large), kReady);
  EXPECT_EQ(three.house.StateOf(small), kQueued);
  EXPECT_EQ(three.WhyWaits(small),
            "needs 8 GiB on one card; largest free: 4 GiB; 2 cards are kept whole (ceiling 1)");
  const DesktopId whole = three.AddWhole("whole");
  EXPECT_EQ(three.house.StateOf(whole), kReady);
  three.house.RestartControl();
  three.house.Run();
  EXPECT_EQ(three.house.StateOf(small), kQueued);
  SetBounds(three.house, 0, 0);
  EXPECT_EQ(three.house.StateOf(small), kReady);
}

TEST(PoolCeiling, IsHeededByWhatIsOfferedAndExplained) {
  ThreeCards three;
  SetBounds(three.house, 0, 1);
  three.Add("large", 20_GiB);
  const Offer offer = three.house.control().Offers({8_GiB, {}}).front();
  EXPECT_EQ(offer.largest_now, 4_GiB);
  EXPECT_EQ(offer.fits_now, 0);
  EXPECT_EQ(three.house.control().Offers({1_GiB, {}}).front().fits_now, 4);
  ClaimRequest request;
  request.memory = 8_GiB;
  const Explained why = *three.house.control().Explain({.request = request});
  EXPECT_EQ(why.answer, Explained::Answer::kWaits);
  EXPECT_EQ(why.summary,
            "3 cards: 2 kept whole (ceiling 1), 1 too little memory (largest free 4 GiB)");
  EXPECT_EQ(why.cards[1].words, "kept whole (ceiling 1)");
  ASSERT_EQ(why.alternatives.size(), 1u);
  EXPECT_EQ(why.alternatives[0].words, "4 GiB");
}

TEST(PoolBounds, AreTriedOutWithWhoIsAgainstThem) {
  ThreeCards three;
  const DesktopId first = three.Add("first", 20_GiB);
  const DesktopId second = three.Add("second", 20_GiB);
  const DesktopId whole = three.AddWhole("whole");
  const auto ceiling = three.Try(0, 1);
  ASSERT_EQ(ceiling.count(second), 1u);
  EXPECT_EQ(ceiling.count(first), 0u) << "who came first stays within";
  EXPECT_EQ(ceiling.at(second)[0].kind, PoolEffect::Kind::kAboveCeiling);
  EXPECT_THAT(ceiling.at(second)[0].detail,
              HasSubstr("2 cards carry shares, the ceiling would be 1"));
  const auto floor = three.Try(3, 0);
  ASSERT_EQ(floor.count(whole), 1u);
  EXPECT_EQ(floor.at(whole)[0].kind, PoolEffect::Kind::kBelowFloor);
  EXPECT_THAT(floor.at(whole)[0].detail,
              HasSubstr("2 cards are left to shares, the floor would be 3"));
  SetBounds(three.house, 0, 1);
  for (const DesktopId& id : {first, second, whole}) {
    EXPECT_EQ(three.house.StateOf(id), kReady) << "nobody is ended for a bound";
  }
  EXPECT_EQ(three.Try(0, 2).count(second), 0u) << "a looser bound is against nobody";
}

TEST(PoolBounds, AreTriedOutOnTheQueue) {
  ThreeCards three;
  SetBounds(three.house, 2, 0);
  three.AddWhole("first");
  const DesktopId waits = three.AddWhole("waits");
  ASSERT_EQ(three.house.StateOf(waits), kQueued);
  const auto lower = three.Try(1, 0);
  ASSERT_EQ(lower.count(waits), 1u);
  EXPECT_EQ(lower.at(waits)[0].kind, PoolEffect::Kind::kStarts);
  const auto higher = three.Try(3, 0);
  EXPECT_EQ(higher.at(waits)[0].kind, PoolEffect::Kind::kRefused);
  EXPECT_EQ(three.house.StateOf(waits), kQueued);
}

}  // namespace
}  // namespace sluice::control
