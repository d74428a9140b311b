// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::sim::bench {

// openb lists in time: strictly in the order of coming, by the queue, and by the queue with moves;
// one line per figure.
// Prints nothing where the data set is missing.
void TimedReplays();

}  // namespace sluice::sim::bench
