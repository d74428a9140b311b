// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

namespace sluice::sim {

// To so many steps per unit: reports show no more digits than mean something.
inline double Rounded(double value, double steps = 1e3) {
  return std::round(value * steps) / steps;
}

}  // namespace sluice::sim
