// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

namespace sluice::targets {

// What is left of a card, or what a share takes of one. Both in thousandths of the card; compute
// may pass 1000 where it is overcommitted.
struct Extent {
  int32_t memory = 0;
  int32_t compute = 0;

  friend auto operator<=>(const Extent&, const Extent&) = default;
};

// How many shares of each size go together; by position of the sizes.
using Pattern = std::vector<int>;

struct Packed {
  Pattern pattern;
  double worth = 0;
};

// The shares that fit `room` together and are worth most. Searches all of them, best first, but at
// most some ten thousand steps: then the best so far. Worths at or below zero are left out.
Packed MostWorth(const std::vector<Extent>& sizes, const std::vector<double>& worth, Extent room);

}  // namespace sluice::targets
