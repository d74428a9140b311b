// SPDX-License-Identifier: Apache-2.0
// The controller in virtual time, among shares that say anything.
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <random>

#include "agent/arbiter.h"

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;
using region::GrantMode;

// Shares that come and go and say anything, beside one that is honest.
class HostileWorld {
 public:
  static constexpr ShareId kHonest = 100;

  explicit HostileWorld(uint32_t seed) : random_(seed), arbiter_(ArbiterOptions{}) {
    Join(kHonest);
  }

  Nanos now() const { return now_; }
  GrantMode Honest() const { return told_.at({kHonest, 0}).mode; }

  void ComeOrGo() {
    const ShareId id = 1 + Below(6);
    if (Below(200) != 0) {
      return;
    }
    if (Below(2) == 0) {
      Join(id);
    } else {
      arbiter_.Leave(id, now_);
      Forget(id);
    }
  }

  void Say(uint64_t step) {
    for (const auto& [id, grant] : told_) {
      if (id.share == kHonest) {
        const bool waits = grant.mode == GrantMode::kWait;
        arbiter_.Observe(id, {.waiting = waits, .busy = !waits, .submitted_ns = step}, now_);
        continue;
      }
      arbiter_.Observe(id,
                       {.waiting = Below(2) == 0,
                        .busy = Below(3) != 0,
                        .in_flight = Any(),
                        .launch = Any(),
                        .submitted_ns = static_cast<uint64_t>(Any().count()),
                        .finished_ns = static_cast<uint64_t>(Any().count())},
                       now_);
      if (Below(50) == 0) {
        arbiter_.Correct(id, Any(), 1s, now_);
      }
    }
  }

  // Whether no two shares may now run on one card.
  bool Step() {
    const Decision decision = arbiter_.Step(now_);
    for (const Grant& grant : decision.grants) {
      told_.at(grant.seat) = grant;
    }
    std::map<int, int> runners;
    for (const auto& [id, grant] : told_) {
      runners[id.card] += grant.mode == GrantMode::kRun ? 1 : 0;
    }
    // Mostly when the arbiter wishes it, at times earlier.
    const Nanos wish = std::max(now_, decision.wake.value_or(now_ + 250ms));
    now_ = std::max(now_ + 20us, Below(4) == 0 ? now_ + (wish - now_) / 2 : wish);
    return std::ranges::all_of(runners, [](const auto& entry) { return entry.second <= 1; });
  }

 private:
  uint32_t Below(uint32_t end) { return static_cast<uint32_t>(random_() % end); }
  Nanos Any() {
    const auto bits = static_cast<int64_t>(random_());
    return Nanos(bits << Below(32)) * (Below(8) == 0 ? -1 : 1);
  }
  void Forget(ShareId id) {
    std::erase_if(told_, [&](const auto& entry) { return entry.first.share == id; });
  }
  void Join(ShareId id) {
    const bool honest = id == kHonest;
    ShareTerms terms;
    terms.priority = honest ? 0 : static_cast<int>(Below(3)) - 2;
    const int cards = honest ? 2 : static_cast<int>(1 + Below(3));
    std::map<SeatId, Grant> kept;
    for (int card = 0; card < cards; ++card) {
      terms.cards.push_back({card,
                             honest ? 300 : Below(2) * Below(1200),
                             honest ? 0 : Below(2) * Below(1200),
                             GrantMode::kWait});
      kept[{id, card}] = told_[{id, card}];
    }
    arbiter_.Join(id, terms, now_);
    Forget(id);
    told_.merge(kept);
  }

  std::mt19937 random_;
  Arbiter arbiter_;
  std::map<SeatId, Grant> told_;
  Nanos now_ = 1s;
};

class Hostile : public ::testing::TestWithParam<uint32_t> {};

// Whatever is observed: a card never has two runners, a step always comes to an end, and who
// honestly wants cards has them within seconds.
TEST_P(Hostile, ObservationsHurtNobodyElse) {
  HostileWorld world(GetParam());
  Nanos served = world.now();
  for (uint64_t step = 0; step < 20'000; ++step) {
    world.ComeOrGo();
    world.Say(step);
    ASSERT_TRUE(world.Step()) << "two on one card, step " << step;
    served = world.Honest() == GrantMode::kWait ? served : world.now();
    ASSERT_LE(world.now() - served, 5s) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Arbiter, Hostile, ::testing::Range(0U, 20U));

}  // namespace
}  // namespace sluice::agent
