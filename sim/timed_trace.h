// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sim/timed.h"
#include "sim/trace.h"

// A trace as a fleet and claims in time.
namespace sluice::sim {

// Cards of machines, all with the memory `card`, of which a thousandth of a card is a thousandth.
// What else a machine has (CPU, main memory) is left out: a desktop does not reserve it.
std::vector<Gpu> CardsOf(const std::vector<TraceNode>& nodes, Bytes card);

struct TimedTraceOptions {
  // Only one machine of so many, from the first on; 1: all.
  int every_node = 1;
  // Requests that came earlier are left out.
  int64_t from_s = 0;
  // How much faster they come, in percent of the trace's own pace: 200 is twice as fast. How long
  // they run stays. 0: such that `offered_pct` comes out.
  int64_t pace_pct = 100;
  // For pace 0: work that comes between the first and the last arrival, in percent of what the
  // fleet can do in that time.
  int offered_pct = 100;
  Bytes card = MiB(1000);
  // So many percent of the claims may be moved, drawn by a seed.
  int movable_pct = 0;
  uint64_t movable_seed = 42;
};

struct TimedTrace {
  std::vector<Gpu> fleet;
  size_t nodes = 0;
  std::vector<TimedClaim> claims;
  int64_t pace_pct = 100;
  size_t without_card = 0;  // Left out: they ask for no card…
  size_t never_ran = 0;     // …or the trace has no start or no end of them…
  size_t too_early = 0;     // …or they came before `from_s`.
  size_t many_models = 0;   // …or they accept several models, which a claim cannot say.
};

// A request runs from its start to its end in the trace, and comes when it was created. Its kind is
// its class of service with its size, all that is known of it when it comes.
TimedTrace MakeTimedTrace(const std::vector<TraceNode>& nodes,
                          const std::vector<TracePod>& pods,
                          const TimedTraceOptions& options);

}  // namespace sluice::sim
