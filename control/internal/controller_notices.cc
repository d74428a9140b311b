// SPDX-License-Identifier: Apache-2.0
// The controller's care for those who are told that they will give way or move.
#include "control/internal/consolidation.h"
#include "control/internal/controller.h"
#include "control/internal/notices.h"

namespace sluice::control {
namespace {

// Somebody else's commit can come between reading and writing; that often in a row it cannot.
constexpr int kAttempts = 16;

}  // namespace

int Controller::StepNotices() {
  if (!agent_known_ || !NoticesMatter(follower_.world())) return 0;
  int steps = 0;
  while (const auto step = NextNoticeStep(follower_.world(), QueueRowsNow())) {
    if (!Commit(step->writes, "a notice")) return steps + 1;
    for (const AuditNote& note : step->notes) Note(note.action, note.target, note.detail);
    ++steps;
  }
  return steps;
}

void Controller::NoteRelocation(const Claim& before) {
  const auto after = follower_.world().claims.find(before.id);
  if (after == follower_.world().claims.end()) return;
  const std::vector<Allocation>& now = after->second.value.allocations;
  const std::string where = WhereText(now, follower_.world().gpus);
  const bool moved = now == before.moves_to;
  Note("desktop.move",
       before.desktop.text(),
       moved ? "It is now on " + where + "."
             : "The card that it was to move to has no room any more; it stays on " + where + ".");
}

// ---- called from any thread ----

// Without a history of how long claims run.
QueueRows Controller::RowsAsked(const World& world) {
  const auto plan = shown_placement_.With([](const auto& shown) { return shown; });
  return QueueRowsOf(world,
                     partners_.clock.Now(),
                     std::make_shared<const scheduler::RunHistory>(),
                     plan ? &*plan : nullptr);
}

Result<ConsolidationPlan> Controller::CommitConsolidation(const ConsolidationSearch& search) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto world = WorldAsked();
    if (!world) return Fail(world.error());
    auto step = search(*world, RowsAsked(*world));
    if (!step) return Fail(step.error());
    if (step->writes.empty()) return std::move(step->plan);
    const auto written = partners_.store.Commit(step->writes);
    if (written) {
      Nudge();
      return std::move(step->plan);
    }
    if (written.error().code != Code::kAborted) return Fail(written.error());
  }
  return Fail(Code::kAborted, "The desktops of this pool change too quickly; try again.");
}

Result<ConsolidationPlan> Controller::Consolidate(const ConsolidationWish& wish) {
  return CommitConsolidation(
      [&](const World& world, const QueueRows& rows) { return ConsolidateIn(world, rows, wish); });
}

Result<ConsolidationPlan> Controller::UndoConsolidation(const PoolId& pool) {
  return CommitConsolidation(
      [&](const World& world, const QueueRows& rows) { return UndoIn(world, rows, pool); });
}

Result<std::vector<MoveNow>> Controller::MovesNow(const PoolId& pool) {
  const auto world = WorldAsked();
  if (!world) return Fail(world.error());
  return MovesIn(*world, pool);
}

Result<int> Controller::RoomFor(const Reservation& reservation) {
  const auto world = WorldAsked();
  if (!world) return Fail(world.error());
  const QueueRows rows = RowsAsked(*world);
  return scheduler::RoomFor(rows.Input(), reservation);
}

}  // namespace sluice::control
