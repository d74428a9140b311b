// SPDX-License-Identifier: Apache-2.0
// What an installation keeps of its claims is enough to decide again: played through the core, the
// history gives each decision that was made, on the same cards.
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "control/internal/claim_steps.h"
#include "control/internal/placement.h"
#include "control/internal/testing/house.h"

namespace sluice::control {
namespace {

using testing::House;

int SeedCount() {
  const char* given = std::getenv("SLUICE_SEEDS");
  return given == nullptr ? 5 : std::atoi(given);
}

// The pool's rules as they were from a time on.
struct RulesSince {
  Pool pool;
  std::optional<PlacementPlan> plan;
};

// An installation that lives, one event at a time.
class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed), house_(seed + 77) {
    // Cards of two sizes in one machine get no berths.
    const bool alike = Pick(3) > 0;
    for (int i = 0; i < 3; ++i) {
      house_.node.AddCard("GPU-" + std::to_string(i), GiB(alike || Pick(2) == 0 ? 24 : 40));
    }
    SetPolicy();
    for (int i = 0; i < 60; ++i) AddPast();
    house_.Run();
    first_ = house_.clock.Now();
  }

  void Live(int steps) {
    for (int i = 0; i < steps; ++i) {
      house_.clock.Advance(Duration(1'000 + Pick(5'000)));
      Act();
      house_.Run();
      Note();
    }
  }

  House& house() { return house_; }
  TimePoint first() const { return first_; }
  const std::map<TimePoint, RulesSince>& rules() const { return rules_; }

 private:
  int Pick(int sides) { return static_cast<int>(random_.Next() % static_cast<uint64_t>(sides)); }

  void Act() {
    const int what = Pick(12);
    if (what == 0) return SetPolicy();
    if (what < 8 || desktops_.empty()) return Add();
    const size_t which = static_cast<size_t>(Pick(static_cast<int>(desktops_.size())));
    house_.Wish(desktops_[which], DesiredState::kStopped);
    desktops_.erase(desktops_.begin() + static_cast<std::ptrdiff_t>(which));
  }

  void Add() {
    const DesktopId id = house_.AddDesktop("d", GiB(1 + Pick(12)));
    if (Pick(3) == 0) {
      const ComputeMillis guarantee(100 * Pick(8));
      house_.Change(id, [guarantee](Desktop& desktop) { desktop.request.guarantee = guarantee; });
    }
    desktops_.push_back(id);
  }

  void SetPolicy() {
    auto row = store::Read<Pool>(*house_.real_store, "shared");
    Pool pool = row ? row->value : Pool();
    pool.id = PoolId("shared");
    pool.placement = static_cast<PlacementPolicy>(Pick(5));
    const uint64_t version = row ? row->version : 0;
    ASSERT_TRUE(house_.real_store->Commit(std::vector{store::Put(pool, version)}));
  }

  void AddPast() {
    PastClaim past;
    past.id = ClaimId(NewIdText("clm", house_.clock.Now(), random_));
    past.request.memory = GiB(1 + Pick(4) * 3);
    past.queued_since = past.held_since = house_.clock.Now();
    past.ended_at = house_.clock.Now() + Duration(1);
    ASSERT_TRUE(house_.real_store->Commit(std::vector{store::Put(past, 0)}));
  }

  void Note() {
    RulesSince rules{.pool = store::Read<Pool>(*house_.real_store, "shared")->value};
    const auto row =
        house_.real_store->Get(store::Kind::kSetting, PlacementSettingId(PoolId("shared")));
    if (row) rules.plan = DecodePlacementPlan(row->body);
    rules_[house_.clock.Now()] = rules;
  }

  SeededRandom random_;
  House house_;
  TimePoint first_;
  std::vector<DesktopId> desktops_;
  std::map<TimePoint, RulesSince> rules_;
};

struct Event {
  PastClaim claim;
  bool ended = false;
};

// Every claim since `first`: those that have ended from what is kept of them, the others as they
// are.
std::vector<Event> Recorded(House& house, TimePoint first) {
  std::vector<Event> events;
  const auto past = store::ReadAll<PastClaim>(*house.real_store);
  for (const auto& row : *past) {
    if (row.value.queued_since > first) events.push_back({row.value, true});
  }
  for (const Claim& claim : house.AllClaims()) {
    const bool lives = claim.phase == ClaimPhase::kPending || Holds(claim);
    if (lives) events.push_back({ToPast(claim, {}, ""), false});
  }
  return events;
}

class Replay {
 public:
  Replay(House& house, const std::map<TimePoint, RulesSince>& rules) : rules_(rules) {
    const auto cards = store::ReadAll<Gpu>(*house.real_store);
    for (const auto& row : *cards) {
      Gpu gpu = row.value;
      gpu.shares.clear();
      world_.gpus[gpu.id] = {gpu, 1};
    }
  }

  // Returns how many decisions were compared.
  int Play(const std::vector<Event>& events) {
    std::set<TimePoint> times;
    for (const Event& event : events) {
      times.insert(event.claim.queued_since);
      if (!event.claim.allocations.empty()) times.insert(event.claim.held_since);
      if (event.ended) times.insert(event.claim.ended_at);
    }
    int decisions = 0;
    for (const TimePoint now : times) {
      for (const Event& event : events) {
        if (event.ended && event.claim.ended_at == now) End(event.claim);
      }
      for (const Event& event : events) {
        if (event.claim.queued_since == now && !(event.ended && event.claim.ended_at == now)) {
          Queue(event.claim);
        }
      }
      decisions += PlaceAll(events, now);
    }
    return decisions;
  }

 private:
  void End(const PastClaim& past) {
    world_.claims.erase(past.id);
    for (auto& [id, row] : world_.gpus) {
      std::erase_if(row.value.shares, [&](const Share& share) { return share.claim == past.id; });
    }
  }

  void Queue(const PastClaim& past) {
    Claim claim;
    claim.id = past.id;
    claim.request = past.request;
    claim.queued_since = past.queued_since;
    world_.claims[claim.id] = {claim, 1};
  }

  // Places until nothing more is placed, and expects what was recorded for this time.
  int PlaceAll(const std::vector<Event>& events, TimePoint now) {
    const RulesSince& rules = rules_.at(now);
    world_.pools[rules.pool.id] = {rules.pool, 1};
    std::map<ClaimId, const PastClaim*> expected;
    for (const Event& event : events) {
      const bool placed = !event.claim.allocations.empty() && event.claim.held_since == now;
      if (placed) expected[event.claim.id] = &event.claim;
    }
    int decisions = 0;
    while (const auto placed = Next(now, rules)) {
      const auto recorded = expected.find(placed->first);
      if (recorded == expected.end()) {
        ADD_FAILURE() << placed->first.text() << " was not placed at "
                      << now.time_since_epoch().count();
        return decisions;
      }
      EXPECT_EQ(placed->second, recorded->second->allocations) << placed->first.text();
      Take(placed->first, recorded->second->allocations, now);
      expected.erase(recorded);
      ++decisions;
    }
    for (const auto& [id, claim] : expected) {
      ADD_FAILURE() << id.text() << " was placed at " << now.time_since_epoch().count();
    }
    return decisions;
  }

  std::optional<std::pair<ClaimId, std::vector<Allocation>>> Next(TimePoint now,
                                                                  const RulesSince& rules) {
    const QueueRows rows = QueueRowsOf(world_, now, nullptr, rules.plan ? &*rules.plan : nullptr);
    for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(rows.Input())) {
      if (const auto* placed = std::get_if<scheduler::Placed>(&answer.decision)) {
        return std::pair(answer.id, placed->allocations);
      }
    }
    return std::nullopt;
  }

  void Take(const ClaimId& id, const std::vector<Allocation>& allocations, TimePoint now) {
    Claim& claim = world_.claims.at(id).value;
    claim.phase = ClaimPhase::kCommitted;
    claim.allocations = allocations;
    claim.held_since = now;
    for (const Allocation& part : allocations) {
      world_.gpus.at(part.gpu).value.shares.push_back({id, part.memory, part.guarantee, part.cap});
    }
  }

  const std::map<TimePoint, RulesSince>& rules_;
  World world_;
};

TEST(ReplayedHistory, GivesTheDecisionsThatWereMade) {
  int decisions = 0;
  std::set<PlacementPolicy> in_force;
  for (int seed = 1; seed <= SeedCount() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Life life(static_cast<uint64_t>(seed));
    life.Live(60);
    ASSERT_EQ(life.house().Broken(), "");
    for (const auto& [time, rules] : life.rules()) {
      in_force.insert(rules.plan && rules.plan->wished == rules.pool.placement
                          ? rules.plan->rules.policy
                          : rules.pool.placement);
    }
    Replay replay(life.house(), life.rules());
    decisions += replay.Play(Recorded(life.house(), life.first()));
  }
  // It compares something, by each of the policies.
  EXPECT_GT(decisions, SeedCount() * 15);
  EXPECT_EQ(in_force.size(), 5u);
}

}  // namespace
}  // namespace sluice::control
