// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "base/ids.h"

namespace sluice::portal {

// A share's use over all its cards.
struct ShareLoad {
  Bytes used;
  Bytes limit;
  Bytes peak;
  Bytes overhead;
  // Of one card: the largest of its cards.
  ComputeMillis guarantee;
  ComputeMillis cap;
  ComputeMillis compute_used;
  ComputeMillis compute_waiting;
  int utilization_percent = 0;
  int processes = 0;

  bool busy() const { return processes > 0 || utilization_percent > 0; }
  friend bool operator==(const ShareLoad&, const ShareLoad&) = default;
};

// The use of shares as of at most `max_age` ago: lists ask for many of them, many times a second.
// Thread-safe.
class Usage {
 public:
  Usage(agent::Agent& agent, const Clock& clock, Duration max_age)
      : agent_(agent), clock_(clock), max_age_(max_age) {}

  // nullopt when the agent does not know the claim.
  std::optional<ShareLoad> Of(const ClaimId& claim);

 private:
  struct Sample {
    std::optional<ShareLoad> load;
    Duration at;
  };

  agent::Agent& agent_;
  const Clock& clock_;
  const Duration max_age_;
  Guarded<std::map<ClaimId, Sample>> samples_;
};

}  // namespace sluice::portal
