// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/internal/files.h"
#include "base/units.h"

namespace sluice::agent {

// What the driver says that a process of the share holds of one of its cards, and what the ledger
// says of that.
struct Holding {
  GpuId gpu;
  int64_t host_pid = 0;
  Bytes real;
  Bytes ledger;
  bool known = false;  // It has a slot in the ledger, or needs none.
};

// Finds a share's programs that go round its ledger, and does with them what the rule says. One
// thread at a time.
class BypassWatch {
 public:
  // Whether the process with this number is the share's, as the kernel says at this moment.
  using Belongs = std::function<bool(int64_t host_pid)>;

  // `grace`: from "asked to end" to "killed".
  explicit BypassWatch(Duration grace) : grace_(grace) {}

  // Takes in one look at all cards. A program is dealt with when it was found twice in a row
  // (one with a slot: ten times), and then for as long as it lives. Signals go through a descriptor
  // of the process, which was asked for before the last `belongs`: never to one that has taken over
  // its number. `now` is steady. Returns what was done, with everything but the claim.
  std::vector<Bypass> Look(const std::vector<Holding>& seen,
                           const ShareRules& rules,
                           Duration now,
                           const Belongs& belongs);

  // Whether the share's work is to be slowed down.
  bool throttles() const;
  // Programs dealt with that are alive, by card.
  int Count(const GpuId& gpu) const;

 private:
  struct Suspect {
    File process;  // A pidfd.
    Bypass last;
    int looks = 0;  // In a row, until it is dealt with.
    int looks_needed = 0;
    bool dealt = false;
    Duration asked_at{0};
  };

  static bool HasEnded(const Suspect& suspect);
  bool Open(Suspect& suspect, const Belongs& belongs) const;
  static BypassStep Apply(Suspect& suspect, BypassRule rule, Duration now);

  Duration grace_;
  std::map<int64_t, Suspect> suspects_;  // By host pid.
};

}  // namespace sluice::agent
