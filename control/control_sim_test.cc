// SPDX-License-Identifier: Apache-2.0
// Random wishes, deaths, silences and clock jumps, with the control process killed at random steps:
// whatever happens, no memory is promised twice, and once the faults end everything arrives.
#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using testing::Fault;
using testing::House;

uint64_t FirstSeed() {
  const char* given = std::getenv("SLUICE_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

int SeedCount() {
  const char* given = std::getenv("SLUICE_SEEDS");
  return given == nullptr ? 150 : std::atoi(given);
}

// One life of a house under faults.
class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed), house_(seed + 1'000'000) {
    Pool pool{.id = PoolId("shared"), .name = "Shared"};
    pool.preempt = static_cast<PreemptRule>(Pick(3));
    pool.preempt_notice = Duration(Pick(20'000));
    EXPECT_TRUE(house_.real_store->Commit(std::vector{store::Put(pool, 0)}));
    const int cards = 1 + Pick(3);
    for (int i = 0; i < cards; ++i) {
      house_.node.AddCard("GPU-" + std::to_string(i), GiB(Pick(2) == 0 ? 24 : 80));
    }
  }

  void Live(int steps) {
    for (int i = 0; i < steps; ++i) {
      ArmFaults();
      Act();
      house_.clock.Advance(Duration(Pick(4'000)));
      house_.Run();
      ASSERT_EQ(house_.Broken(), "") << "after step " << i << ": " << last_;
      if (dead_) {
        house_.RestartControl();
        dead_ = false;
      }
    }
  }

  // Faults end; every wish must come true.
  void Settle() {
    Disarm();
    house_.RestartControl();
    house_.node.agent_silent = false;
    for (const Desktop& desktop : house_.AllDesktops()) {
      if (Pick(3) == 0) house_.Wish(desktop.id, DesiredState::kDeleted);
    }
    house_.Wait(Duration(120'000), Duration(2'000));
    ASSERT_EQ(house_.Broken(), "");
    for (const Desktop& desktop : house_.AllDesktops()) {
      const DesktopState state = desktop.state;
      ASSERT_NE(desktop.desired, DesiredState::kDeleted) << desktop.reason;
      if (desktop.desired == DesiredState::kRunning) {
        ASSERT_TRUE(state == DesktopState::kReady || state == DesktopState::kQueued)
            << ToString(state) << ": " << desktop.reason;
      } else {
        ASSERT_TRUE(state == DesktopState::kStopped || state == DesktopState::kFailed)
            << ToString(state) << ": " << desktop.reason;
        ASSERT_TRUE(desktop.claim.empty());
      }
    }
  }

  // With every wish withdrawn, nothing may be left anywhere.
  void Empty() {
    house_.living_pids.clear();
    for (const Desktop& desktop : house_.AllDesktops()) {
      house_.Wish(desktop.id, DesiredState::kDeleted);
    }
    house_.Wait(Duration(180'000), Duration(2'000));
    ASSERT_TRUE(house_.AllDesktops().empty());
    ASSERT_TRUE(house_.node.boxes.empty());
    ASSERT_TRUE(house_.node.regions.empty());
    for (const auto& [id, card] : house_.node.cards) {
      ASSERT_EQ(MemoryHeld(house_.GetGpu(id.text())), Bytes(0));
    }
  }

  int Told(const std::string& action) const {
    return static_cast<int>(std::ranges::count(house_.audit.notes, action, &AuditNote::action));
  }

 private:
  int Pick(int below) { return static_cast<int>(random_.Next() % static_cast<uint64_t>(below)); }

  // Some calls from now, the process dies: that call and every later one have no effect, but the
  // first may have had its own.
  void ArmFaults() {
    left_ = Pick(3) == 0 ? Pick(12) : -1;
    const bool effect = Pick(2) == 0;
    auto fault = [this, effect]() {
      if (left_ < 0) return Fault::kNone;
      if (left_ > 0) {
        --left_;
        return Fault::kNone;
      }
      const bool first = !dead_;
      dead_ = true;
      return first && effect ? Fault::kAfter : Fault::kBefore;
    };
    house_.store.fault = fault;
    house_.node.fault = [fault](const std::string&) { return fault(); };
  }

  void Disarm() {
    house_.store.fault = [] { return Fault::kNone; };
    house_.node.fault = [](const std::string&) { return Fault::kNone; };
  }

  void Act() {
    const std::vector<Desktop> desktops = house_.AllDesktops();
    const auto any = [&]() {
      return desktops[static_cast<size_t>(Pick(static_cast<int>(desktops.size())))].id;
    };
    const int what = desktops.empty() ? 0 : Pick(14);
    last_ = what;
    switch (what) {
      case 0:
      case 1:
        if (desktops.size() < 12) {
          const DesktopId id = house_.AddDesktop("d", GiB(1 + Pick(30)));
          house_.Change(id, [&](Desktop& desktop) { desktop.request.priority = Pick(3); });
        }
        return;
      case 2:
      case 3:
        return house_.Wish(any(), DesiredState::kStopped);
      case 4:
        if (const DesktopId id = any(); house_.Get(id).desired != DesiredState::kDeleted) {
          house_.Wish(id, DesiredState::kRunning);
        }
        return;
      case 5:
        return house_.Wish(any(), DesiredState::kDeleted);
      case 6:
        return house_.Restart(any());
      case 7:
        if (const DesktopId id = any(); house_.node.boxes.contains(id)) {
          house_.node.Kill(id, "The supervisor was killed.");
        }
        return;
      case 8:
        house_.AddRun(100 + Pick(1'000), GiB(1 + Pick(20)));
        return;
      case 9:
        if (!house_.living_pids.empty()) house_.living_pids.erase(house_.living_pids.begin());
        return;
      case 10:
        house_.node.agent_silent = !house_.node.agent_silent;
        return;
      case 11:
        last_ok_ = house_.control().Consolidate({PoolId("shared"), Pick(4), true}).has_value();
        return;
      case 12:
        last_ok_ = house_.control().UndoConsolidation(PoolId("shared")).has_value();
        return;
      default:
        StartOrReleaseARun();
        return;
    }
  }

  void StartOrReleaseARun() {
    for (const Claim& claim : house_.AllClaims()) {
      if (claim.owner_kind != ClaimOwner::kRun || Pick(2) == 0) continue;
      // Whether it works depends on the moment; the invariants do not.
      if (Pick(2) == 0) {
        last_ok_ = house_.control().StartRun(claim.id, 1'000).has_value();
      } else {
        last_ok_ = house_.control().Release(claim.id, "Released.").has_value();
      }
    }
  }

  SeededRandom random_;
  House house_;
  int left_ = -1;
  bool dead_ = false;
  int last_ = 0;
  bool last_ok_ = false;
};

TEST(ControlSim, PromisesNothingTwiceAndArrivesWhateverHappens) {
  const uint64_t first = FirstSeed();
  int notices = 0;
  int moves = 0;
  for (uint64_t seed = first; seed < first + static_cast<uint64_t>(SeedCount()); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " (repeat it with SLUICE_SEED)");
    Life life(seed);
    life.Live(80);
    if (HasFatalFailure()) return;
    life.Settle();
    if (HasFatalFailure()) return;
    life.Empty();
    if (HasFatalFailure()) return;
    notices += life.Told("desktop.notice");
    moves += life.Told("desktop.move");
  }
  EXPECT_TRUE(SeedCount() < 50 || (notices > 0 && moves > 0))
      << notices << " notices, " << moves << " moves";
}

}  // namespace
}  // namespace sluice::control
