// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "model/claim.h"
#include "sim/timed.h"

// What an installation was asked for, from the claims that have ended on it. Pure.
namespace sluice::sim {

// Whether it held cards and ended; of others it is not known how long they would have run.
bool Ran(const PastClaim& past);

// The claims in the order of their coming, whatever order the past is in, and how long each was
// idle at its end. What a desktop got in several pieces, because it gave way, is one claim.
struct Asked {
  std::vector<TimedClaim> claims;
  std::vector<Duration> idle;
};
Asked AskedIn(std::span<const PastClaim> past);

// "8 GiB", "2 whole cards", "8 GiB, the first of 2 parts".
std::string SizeOf(const ClaimRequest& request, const std::vector<ClaimRequest>& more);

}  // namespace sluice::sim
