// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cut.h"

#include <bit>
#include <gtest/gtest.h>

#include "scheduler/ledger_for_tests.h"

namespace sluice::scheduler {
namespace {

Places Choose(const char* name, Places taken) {
  const Cut cut = MigOfA100();
  const Piece* piece = PieceFor(cut, Bytes(0), ComputeMillis(0), name);
  return ChoosePlaces(cut, piece->starts, piece->width, taken).value_or(0);
}

TEST(Cut, TakesTheSmallestPieceThatSuffices) {
  const Cut cut = MigOfA100();
  EXPECT_EQ(PieceFor(cut, GiB(5), ComputeMillis(0), "")->name, "1g.10gb");
  EXPECT_EQ(PieceFor(cut, GiB(11), ComputeMillis(0), "")->name, "1g.20gb");
  EXPECT_EQ(PieceFor(cut, GiB(11), ComputeMillis(200), "")->name, "2g.20gb");
  EXPECT_EQ(PieceFor(cut, GiB(1), ComputeMillis(500), "")->name, "4g.40gb");
  EXPECT_EQ(PieceFor(cut, GiB(81), ComputeMillis(0), ""), nullptr);
  EXPECT_EQ(PieceFor(cut, GiB(11), ComputeMillis(0), "1g.10gb"), nullptr);
  EXPECT_EQ(PieceFor(cut, GiB(1), ComputeMillis(0), "no such"), nullptr);
}

TEST(Cut, LetsSmallPiecesLieWhereLargeOnesCannotBegin) {
  // At the end: there it stands in the way of 3g only at its second start.
  EXPECT_EQ(Choose("1g.10gb", 0), 0b1000000U);
  EXPECT_EQ(Choose("1g.10gb", 0b1000000), 0b0100000U);
  // Not at 0, where 4g alone can lie.
  EXPECT_EQ(Choose("3g.40gb", 0), 0b11110000U);
  EXPECT_EQ(Choose("4g.40gb", 0), 0b00001111U);
  EXPECT_EQ(Choose("2g.20gb", 0), 0b00110000U);
}

TEST(Cut, RefusesWhereNoStartIsFree) {
  EXPECT_EQ(Choose("7g.80gb", 0b1), 0U);
  EXPECT_EQ(Choose("4g.40gb", 0b1000), 0U);
  EXPECT_EQ(Choose("3g.40gb", 0b10001), 0U);
  EXPECT_EQ(Choose("2g.20gb", 0b10000 | 0b100 | 0b1), 0U);
}

// Random pieces come and go; an oracle tries each start by counting place after place.
TEST(CutProperty, FindsRoomExactlyWhenThereIs) {
  const Cut cut = MigOfA100();
  ForEverySeed(300, [&](Dice& dice) {
    Places taken = 0;
    std::vector<Places> live;
    for (int step = 0; step < 60; ++step) {
      if (!live.empty() && dice.OneIn(3)) {
        const auto at = live.begin() + dice.Roll(static_cast<int>(live.size()));
        taken ^= *at;
        live.erase(at);
        continue;
      }
      const Piece& piece = cut.pieces[static_cast<size_t>(dice.Roll(6))];
      bool room = false;
      for (int start = 0; start < 8; ++start) {
        bool free = (piece.starts >> start & 1) != 0;
        for (int i = 0; i < piece.width; ++i) free = free && (taken >> (start + i) & 1) == 0;
        room = room || free;
      }
      const auto places = ChoosePlaces(cut, piece.starts, piece.width, taken);
      ASSERT_EQ(places.has_value(), room);
      if (!places) continue;
      EXPECT_EQ(*places & taken, 0U);
      EXPECT_EQ(std::popcount(*places), piece.width);
      EXPECT_NE(piece.starts & (*places & -*places), 0U) << "a start that is not legal";
      taken |= *places;
      live.push_back(*places);
    }
  });
}

}  // namespace
}  // namespace sluice::scheduler
