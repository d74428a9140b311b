// SPDX-License-Identifier: Apache-2.0
#include "model/claim.h"

#include <gtest/gtest.h>
#include <vector>

namespace sluice {
namespace {

using enum ClaimPhase;
const std::vector<ClaimPhase> kAll = {kPending, kReserved, kCommitted, kReleased, kRefused};

TEST(ClaimPhase, ReadsBackEveryName) {
  for (const ClaimPhase phase : kAll) EXPECT_EQ(ParseClaimPhase(ToString(phase)), phase);
  EXPECT_EQ(ParseClaimPhase("unknown"), std::nullopt);
  EXPECT_EQ(ParseClaimPhase(""), std::nullopt);
}

TEST(ClaimOwner, ReadsBackEveryName) {
  for (const ClaimOwner owner : {ClaimOwner::kDesktop, ClaimOwner::kRun}) {
    EXPECT_EQ(ParseClaimOwner(ToString(owner)), owner);
  }
  EXPECT_EQ(ParseClaimOwner("Desktop"), std::nullopt);
}

TEST(ClaimPhase, LeavesReleasedAndRefusedNeverAgain) {
  for (const ClaimPhase to : kAll) {
    EXPECT_FALSE(CanMove(kReleased, to));
    EXPECT_FALSE(CanMove(kRefused, to));
  }
}

TEST(ClaimPhase, ReachesCommittedOnlyThroughReserved) {
  for (const ClaimPhase from : kAll) EXPECT_EQ(CanMove(from, kCommitted), from == kReserved);
}

TEST(ClaimPhase, ReachesEveryPhaseFromPending) {
  std::vector<ClaimPhase> reached = {kPending};
  for (size_t i = 0; i < reached.size(); ++i) {
    for (const ClaimPhase to : kAll) {
      const bool known = std::find(reached.begin(), reached.end(), to) != reached.end();
      if (!known && CanMove(reached[i], to)) reached.push_back(to);
    }
  }
  EXPECT_EQ(reached.size(), kAll.size());
}

TEST(ClaimPhase, MayAlwaysBeReleasedWhileAlive) {
  for (const ClaimPhase from : {kPending, kReserved, kCommitted}) {
    EXPECT_TRUE(CanMove(from, kReleased));
  }
}

}  // namespace
}  // namespace sluice
