// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "agent/agent.h"
#include "base/units.h"
#include "control/internal/world.h"

// Pure: the rows of the cards and what the agent says about them, to the rows that should be.
namespace sluice::control {

struct GpuFacts {
  TimePoint now;
  NodeId node;  // Where a card is whose answer does not say it.
  // nullopt: the agent did not answer just now.
  std::optional<std::vector<agent::CardState>> cards;
  Duration silent_for{0};     // Since its last answer, by the steady clock.
  bool first_answer = false;  // The first of this process: what is gone now was taken out before.
};

// An agent that has not answered for this long makes its cards stale.
inline constexpr Duration kSilentMax{5'000};
// How often `last_seen` of an unchanged card is written.
inline constexpr Duration kSeenEvery{60'000};

// New cards appear, changed ones are rewritten with their shares and mode kept, a card that is gone
// turns stale. It is removed at the next start, if nobody holds a share of it: a card that is lost
// for a moment must not take its mode or the waiting claims with it.
std::vector<store::Write> GpuSteps(const Gpus& rows, const GpuFacts& facts);

}  // namespace sluice::control
