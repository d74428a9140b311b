// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::sim::bench {

// The openb list in time, by the queue and strictly in the order of coming; one line per figure.
// Prints nothing where the data set is missing.
void TimedReplays();

}  // namespace sluice::sim::bench
