// SPDX-License-Identifier: Apache-2.0
// The controller's care for how cards are chosen, and its answers about why and what if.
#include "base/log.h"
#include "control/internal/controller.h"
#include "control/internal/explain_steps.h"
#include "control/internal/notices.h"
#include "control/internal/pool_trial.h"

namespace sluice::control {

void Controller::LoadPlacement() {
  if (placement_loaded_ || follower_.world().pools.empty()) return;
  placement_loaded_ = true;
  const PoolId pool = PoolOf(follower_.world()).id;
  const auto row = partners_.store.Get(store::Kind::kSetting, PlacementSettingId(pool));
  if (!row) return;
  TakePlacement(DecodePlacementPlan(row->body));
}

void Controller::TakePlacement(std::optional<PlacementPlan> plan) {
  placement_ = std::move(plan);
  shown_placement_.With([&](auto& shown) { shown = placement_; });
}

const PlacementPlan* Controller::PlacementNow() const {
  return placement_ ? &*placement_ : nullptr;
}

// A plan takes long on a large fleet, so it is made beside; until then the cards are chosen as
// before.
int Controller::StepPlacement() {
  if (!agent_known_) return 0;
  LoadPlacement();
  const World& world = follower_.world();
  if (made_placement_) {
    const PoolId pool = PoolOf(world).id;
    const bool done = Commit(
        {{store::Kind::kSetting, PlacementSettingId(pool), std::nullopt, Encode(*made_placement_)}},
        "how cards are chosen");
    if (!done) return 0;
    Note("pool.placement",
         pool.text(),
         std::string(ToString(made_placement_->rules.policy)) + " is in force. " +
             made_placement_->note);
    TakePlacement(std::move(made_placement_));
    made_placement_.reset();
    return 1;
  }
  const TimePoint now = partners_.clock.Now();
  if (placement_asked_ || !PlanIsDue(world, placement_, now)) return 0;
  placement_asked_ = workers_.Do([this, basis = PlanBasisOf(world, now)] {
    PlacementPlan plan = MakePlacementPlan(basis);
    inbox_.Change([&](Inbox& inbox) { inbox.placement = std::move(plan); });
  });
  return placement_asked_ ? 1 : 0;
}

// ---- called from any thread ----

Result<World> Controller::WorldAsked() {
  return asked_.With([](WorldFollower& follower) -> Result<World> {
    if (const auto seen = follower.Refresh(); !seen) return Fail(seen.error());
    return follower.world();
  });
}

Result<Explained> Controller::Explain(const ExplainQuestion& question) {
  const auto world = WorldAsked();
  if (!world) return Fail(world.error());
  const auto plan = shown_placement_.With([](const auto& shown) { return shown; });
  const QueueRows rows =
      QueueRowsOf(*world, partners_.clock.Now(), nullptr, plan ? &*plan : nullptr);
  Explained explained = ExplainIn(rows, question, PoolOf(*world).share_memory_min);
  if (!question.claim.empty()) explained.reason += WhoGivesWayText(*world, question.claim);
  return explained;
}

PlacementState Controller::Placement() {
  const auto plan = shown_placement_.With([](const auto& shown) { return shown; });
  return asked_.With([&](WorldFollower& follower) -> PlacementState {
    if (const auto seen = follower.Refresh(); !seen) return {};
    return StateOfPlacement(follower.world(), plan);
  });
}

Result<PoolTrial> Controller::TryPool(const Pool& pool) {
  const auto world = WorldAsked();
  if (!world) return Fail(world.error());
  const auto plan = shown_placement_.With([](const auto& shown) { return shown; });
  return TryPoolOn(*world, plan, pool, partners_.clock.Now());
}

}  // namespace sluice::control
