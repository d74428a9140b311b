// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cut.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace sluice::scheduler {
namespace {

Places MaskOf(int start, int width) {
  return static_cast<Places>(((uint64_t{1} << width) - 1) << start);
}

int64_t WaysLeft(const Cut& cut, Places taken) {
  int64_t ways = 0;
  for (const Piece& piece : cut.pieces) {
    ways += int64_t{piece.width} * piece.width *
            std::popcount(StartsLeft(piece.starts, piece.width, taken));
  }
  return ways;
}

}  // namespace

bool HasPlaces(const Cut& cut) {
  return std::ranges::any_of(cut.pieces, [](const Piece& piece) { return piece.width > 0; });
}

const Piece* PieceFor(const Cut& cut,
                      Bytes memory,
                      ComputeMillis compute,
                      const std::string& name) {
  const Piece* least = nullptr;
  for (const Piece& piece : cut.pieces) {
    if (!name.empty() && piece.name != name) continue;
    if (piece.memory < memory || piece.compute < compute) continue;
    if (least == nullptr ||
        std::tie(piece.memory, piece.compute) < std::tie(least->memory, least->compute)) {
      least = &piece;
    }
  }
  return least;
}

std::optional<Places> ChoosePlaces(const Cut& cut, Places starts, int width, Places taken) {
  std::optional<Places> best;
  int64_t most = -1;
  for (Places left = StartsLeft(starts, width, taken); left != 0; left &= left - 1) {
    const Places places = MaskOf(std::countr_zero(left), width);
    const int64_t ways = WaysLeft(cut, taken | places);
    if (ways < most) continue;
    most = ways;
    best = places;
  }
  return best;
}

}  // namespace sluice::scheduler
