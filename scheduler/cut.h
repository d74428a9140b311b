// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

// How the driver of a card cuts it up, where it does: in units, in fixed pieces (Ascend's vNPU
// templates), or in pieces that lie at fixed places (NVIDIA's MIG profiles). Where limits are kept
// in user space there is nothing of this: any number of bytes will do.
namespace sluice::scheduler {

// Places of a card by bit: the first is bit 0.
using Places = uint32_t;
inline constexpr int kPlacesMax = 32;

struct Piece {
  std::string name;  // "1g.10gb", "vir05_1c_16g".
  Bytes memory;
  ComputeMillis compute;
  // Where it may begin, and how many places it takes from there: as NVML lists the placements of a
  // MIG profile. 0: it lies nowhere in particular.
  Places starts = 0;
  int width = 0;

  friend auto operator<=>(const Piece&, const Piece&) = default;
};

struct Cut {
  // What is asked for is rounded up to whole units. 0: to the byte, to the thousandth. (Cambricon:
  // 256 MiB and 1 %.)
  Bytes memory_unit;
  ComputeMillis compute_unit;
  // Not empty: a share is one of these and nothing between. All have places, or none has.
  std::vector<Piece> pieces;

  friend auto operator<=>(const Cut&, const Cut&) = default;
};

// Whether pieces of this cut lie at places; such a card is never given whole.
bool HasPlaces(const Cut& cut);

// The piece with the least memory, then compute, that has at least so much of both; of equal ones
// the first. With a `name` only the one of that name. Null: there is none.
const Piece* PieceFor(const Cut& cut, Bytes memory, ComputeMillis compute, const std::string& name);

// Where something of this width may begin now: `starts` without those that run into `taken`.
inline Places StartsLeft(Places starts, int width, Places taken) {
  Places left = starts;
  for (int i = 0; i < width; ++i) left &= ~taken >> i;
  return left;
}

// The places that it is given: of those it may have, the ones that leave other pieces the most ways
// to lie, wide ones counting more; of equally good ones the highest. Nothing if there is no room.
// Requires: the width is at most kPlacesMax, and no start runs past the last place.
std::optional<Places> ChoosePlaces(const Cut& cut, Places starts, int width, Places taken);

}  // namespace sluice::scheduler
