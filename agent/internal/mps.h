// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/agent.h"

// The vendor's own way of sharing a card in space. Where its daemon runs, shares have no turns.
namespace sluice::agent {

// Whether the daemon's control pipe is there.
bool MpsRuns(const std::string& control);

// Shows the share the daemon's pipes, and tells its programs how large a part of the card's threads
// is theirs: the guarantee, which is then also the most that they have. The variable only lowers
// what the daemon allows; a program that clears it has as much as the daemon gives to anybody.
void AddMps(const std::string& control,
            const std::vector<Allocation>& allocations,
            PreparedShare& prepared);

}  // namespace sluice::agent
