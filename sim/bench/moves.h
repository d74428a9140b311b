// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::sim::bench {

// Rows with and without moves, policies fgd and sluice, ten seeds; needs the openb data set.
void WithMoves();

}  // namespace sluice::sim::bench
