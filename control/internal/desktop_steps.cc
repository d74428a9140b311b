// SPDX-License-Identifier: Apache-2.0
#include "control/internal/desktop_steps.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "base/check.h"
#include "control/internal/claim_steps.h"
#include "control/internal/notices.h"

namespace sluice::control {
namespace {

using enum DesktopState;

// A relay reports every key press; the row need not know it to the second.
constexpr Duration kInputWrittenEvery{60'000};
constexpr Duration kEndWarned{5 * 60'000};

// The tables of model/ and of this file agree; if they ever do not, that is our own bug.
void MustMove(Desktop& desktop, DesktopState to, std::string reason, TimePoint now) {
  SLUICE_CHECK(Move(desktop, to, std::move(reason), now).has_value());
}

void BeginStage(Desktop& desktop, LaunchStage stage, TimePoint now) {
  desktop.stages.push_back({stage, now, TimePoint{}});
}

void EndStage(Desktop& desktop, LaunchStage stage, TimePoint now) {
  for (StageTime& time : desktop.stages) {
    if (time.stage == stage && time.ended_at == TimePoint{}) time.ended_at = now;
  }
}

bool StageOpen(const Desktop& desktop, LaunchStage stage) {
  return std::ranges::any_of(desktop.stages, [stage](const StageTime& time) {
    return time.stage == stage && time.ended_at == TimePoint{};
  });
}

bool WantsRun(const Desktop& desktop) {
  return desktop.desired == DesiredState::kRunning;
}

bool WantsRestart(const Desktop& desktop) {
  return desktop.restart_generation > desktop.restarted_generation;
}

bool HoldsClaim(const DesktopFacts& facts) {
  return facts.claim != nullptr && Holds(*facts.claim);
}

// An error's message as a user reads it.
std::string Sentence(std::string text) {
  if (text.empty()) return "It did not say why.";
  if (text.front() >= 'a' && text.front() <= 'z') text.front() -= 'a' - 'A';
  if (text.back() != '.') text += '.';
  return text;
}

// It has gone wrong. The share stays with it until the next steps have cleared up.
DesktopStep FailWith(Desktop desktop, std::string reason, TimePoint now) {
  desktop.desired =
      desktop.desired == DesiredState::kDeleted ? DesiredState::kDeleted : DesiredState::kStopped;
  desktop.restarted_generation = desktop.restart_generation;
  MustMove(desktop, kFailed, Sentence(std::move(reason)), now);
  return {.row = std::move(desktop)};
}

DesktopStep MoveTo(Desktop desktop, DesktopState to, std::string reason, TimePoint now) {
  MustMove(desktop, to, std::move(reason), now);
  return {.row = std::move(desktop)};
}

DesktopStep Restart(Desktop desktop, TimePoint now) {
  return MoveTo(std::move(desktop), kStopping, "Restarting, as asked.", now);
}

// The time that its user was told has come: it gives way, or moves.
std::optional<DesktopStep> AtNoticeEnd(const Desktop& desktop, const DesktopFacts& facts) {
  if (!HoldsClaim(facts) || facts.claim->notice_until == TimePoint{} ||
      facts.now < facts.claim->notice_until) {
    return std::nullopt;
  }
  const bool moves = !facts.claim->moves_to.empty();
  return MoveTo(desktop,
                kStopping,
                moves ? "Restarting on another GPU, as announced."
                      : "Stopped because its share of the GPU was needed for somebody who comes "
                        "before it. It waits in the queue again; its home is kept.",
                facts.now);
}

bool GivesWay(const DesktopFacts& facts) {
  return !facts.claim->yields_to.empty() && facts.now >= facts.claim->notice_until;
}

// What was announced has come true: the announcement is replaced, but not an operator's word.
void ReplaceNotice(Desktop& desktop, std::string text) {
  if (IsNotice(desktop.message)) desktop.message = std::move(text);
}

DesktopStep StartJob(Job job) {
  DesktopStep step;
  step.job = job;
  return step;
}

// Worth another try, because it lies with something that comes back by itself.
bool Passing(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kAborted ||
         error.code == Code::kDeadlineExceeded;
}

// ---- waiting and placing ----

DesktopStep AskForShare(Desktop desktop, const DesktopFacts& facts) {
  desktop.claim = facts.fresh_claim;
  desktop.stages.clear();
  desktop.ready_at = TimePoint{};
  BeginStage(desktop, LaunchStage::kPlace, facts.now);
  if (desktop.reason.empty()) desktop.reason = "Waiting for a GPU.";
  return {.row = std::move(desktop), .claim = ClaimChange::kCreate};
}

DesktopStep BeginProvisioning(Desktop desktop, TimePoint now) {
  EndStage(desktop, LaunchStage::kPlace, now);
  // Nothing runs yet: this start is also the one that a restart asked for.
  desktop.restarted_generation = desktop.restart_generation;
  if (desktop.state == kQueued) MustMove(desktop, kReserved, "", now);
  MustMove(desktop, kProvisioning, "", now);
  BeginStage(desktop, LaunchStage::kPrepareHome, now);
  return {.row = std::move(desktop)};
}

DesktopStep Queued(const Desktop& desktop, const DesktopFacts& facts) {
  if (!WantsRun(desktop)) {
    if (HoldsClaim(facts)) return MoveTo(desktop, kReserved, "", facts.now);
    DesktopStep step = MoveTo(desktop, kStopped, "", facts.now);
    step.row->claim = ClaimId();
    step.claim = ClaimChange::kRelease;
    return step;
  }
  if (facts.claim == nullptr || facts.claim->phase == ClaimPhase::kReleased) {
    return AskForShare(desktop, facts);
  }
  if (facts.claim->phase == ClaimPhase::kRefused) {
    DesktopStep step = FailWith(desktop, facts.claim->reason, facts.now);
    step.row->claim = ClaimId();
    return step;
  }
  if (HoldsClaim(facts)) return BeginProvisioning(desktop, facts.now);
  if (!facts.claim->reason.empty() && desktop.reason != facts.claim->reason) {
    Desktop told = desktop;
    told.reason = facts.claim->reason;
    return {.row = std::move(told)};
  }
  return {};
}

DesktopStep Reserved(const Desktop& desktop, const DesktopFacts& facts) {
  if (!WantsRun(desktop)) return MoveTo(desktop, kStopping, "", facts.now);
  if (!HoldsClaim(facts)) return MoveTo(desktop, kQueued, "", facts.now);
  return BeginProvisioning(desktop, facts.now);
}

// ---- starting ----

DesktopStep Provisioning(const Desktop& desktop, const DesktopFacts& facts) {
  if (!WantsRun(desktop)) return MoveTo(desktop, kStopping, "", facts.now);
  if (WantsRestart(desktop)) return Restart(desktop, facts.now);
  if (!HoldsClaim(facts)) return MoveTo(desktop, kQueued, "", facts.now);
  if (auto step = AtNoticeEnd(desktop, facts)) return *step;
  if (facts.finished && facts.finished->job == Job::kPrepare) {
    const std::optional<Error>& error = facts.finished->error;
    if (!error) {
      DesktopStep step = MoveTo(desktop, kStarting, "", facts.now);
      EndStage(*step.row, LaunchStage::kPrepareHome, facts.now);
      BeginStage(*step.row, LaunchStage::kStartDisplay, facts.now);
      step.claim = ClaimChange::kCommit;
      return step;
    }
    if (!Passing(*error) || facts.in_state > facts.options.start_deadline) {
      return FailWith(desktop, error->message, facts.now);
    }
  }
  return StartJob(Job::kPrepare);
}

DesktopStep BecomeReady(const Desktop& desktop, const DesktopFacts& facts) {
  DesktopStep step = MoveTo(desktop, kReady, "", facts.now);
  Desktop& row = *step.row;
  EndStage(row, LaunchStage::kStartDisplay, facts.now);
  if (row.stages.empty() || row.stages.back().stage != LaunchStage::kFirstFrame) {
    BeginStage(row, LaunchStage::kFirstFrame, facts.now);
  }
  EndStage(row, LaunchStage::kFirstFrame, facts.now);
  row.ready_at = facts.now;
  row.last_input_at = facts.now;
  row.limits_in_force = facts.status->limits_in_force;
  if (row.message == GaveWayText()) row.message.clear();
  step.claim = ClaimChange::kEndsAt;
  step.launched = true;
  return step;
}

DesktopStep NotUpInTime(const Desktop& desktop, const DesktopFacts& facts) {
  const bool display = StageOpen(desktop, LaunchStage::kStartDisplay);
  return FailWith(desktop,
                  fmt::format("{} within {}. Start it to try again; its log says more.",
                              display ? "The display did not answer" : "Nothing was painted",
                              SpanText(facts.options.start_deadline)),
                  facts.now);
}

DesktopStep Starting(const Desktop& desktop, const DesktopFacts& facts) {
  if (!WantsRun(desktop)) return MoveTo(desktop, kStopping, "", facts.now);
  if (WantsRestart(desktop)) return Restart(desktop, facts.now);
  if (auto step = AtNoticeEnd(desktop, facts)) return *step;
  if (facts.finished && facts.finished->job == Job::kStart && facts.finished->error &&
      !Passing(*facts.finished->error)) {
    return FailWith(desktop, facts.finished->error->message, facts.now);
  }
  if (facts.in_state > facts.options.start_deadline) return NotUpInTime(desktop, facts);
  if (!facts.status) return {};
  switch (facts.status->phase) {
    case runtime::Phase::kAbsent:
    case runtime::Phase::kPrepared:
      return StartJob(Job::kStart);
    case runtime::Phase::kExited:
      if (!facts.start_called) return StartJob(Job::kStart);
      return FailWith(
          desktop, "It ended while it was starting: " + facts.status->reason, facts.now);
    case runtime::Phase::kStarting:
      return {};
    case runtime::Phase::kDisplayUp: {
      if (!StageOpen(desktop, LaunchStage::kStartDisplay)) return {};
      Desktop row = desktop;
      EndStage(row, LaunchStage::kStartDisplay, facts.now);
      BeginStage(row, LaunchStage::kFirstFrame, facts.now);
      return {.row = std::move(row)};
    }
    case runtime::Phase::kRunning:
      return BecomeReady(desktop, facts);
  }
  return {};
}

// ---- living ----

DesktopStep EndByItself(Desktop desktop, std::string reason, TimePoint now) {
  desktop.desired = DesiredState::kStopped;
  MustMove(desktop, kStopping, std::move(reason), now);
  return {.row = std::move(desktop)};
}

// The time that an idle desktop has between its warning and its end.
Duration WarnSpan(const IdlePolicy& idle) {
  return std::min(idle.warn_before, idle.stop_after / 2);
}

DesktopStep Idle(const Desktop& desktop, const DesktopFacts& facts, DesktopState in_use) {
  const IdlePolicy& idle = desktop.idle;
  TimePoint active = std::max({desktop.last_input_at, desktop.ready_at, facts.last_input});
  if (idle.gpu_keeps_alive) active = std::max(active, facts.gpu_busy);
  const Duration idle_for = facts.now - active;
  const Duration warn_span = WarnSpan(idle);
  if (idle.stop_after <= Duration(0) || idle_for < idle.stop_after - warn_span) {
    return desktop.state == kIdleWarned ? MoveTo(desktop, in_use, "", facts.now) : DesktopStep{};
  }
  if (desktop.state != kIdleWarned) {
    return MoveTo(desktop,
                  kIdleWarned,
                  fmt::format("Nobody has used it for {}. It stops in {} unless somebody does.",
                              SpanText(idle_for),
                              SpanText(warn_span)),
                  facts.now);
  }
  // Whoever is warned has the whole span to come back, also when control was away meanwhile.
  if (idle_for < idle.stop_after || facts.now - desktop.state_since < warn_span) return {};
  return EndByItself(desktop,
                     fmt::format("Stopped because nobody used it for {}. The home is kept.",
                                 SpanText(idle.stop_after)),
                     facts.now);
}

// What the reason says while it is in use.
std::string InUseReason(const Desktop& desktop, DesktopState state, TimePoint now) {
  const TimePoint end = EndOf(desktop);
  if (end != TimePoint{} && now >= end - kEndWarned) {
    return "Its time is nearly over: it stops within 5 min unless it is extended.";
  }
  return state == kConnected ? "Somebody is working in it." : "Ready.";
}

DesktopStep Living(const Desktop& desktop, const DesktopFacts& facts) {
  if (!WantsRun(desktop)) return MoveTo(desktop, kStopping, "", facts.now);
  if (WantsRestart(desktop)) return Restart(desktop, facts.now);
  if (!HoldsClaim(facts)) {
    return FailWith(desktop, "Its share of the GPU is gone. Start it to try again", facts.now);
  }
  if (facts.status && facts.status->phase != runtime::Phase::kRunning &&
      facts.status->phase != runtime::Phase::kDisplayUp &&
      facts.status->phase != runtime::Phase::kStarting) {
    return FailWith(desktop,
                    facts.status->reason.empty() ? "It ended unexpectedly. Start it to try again"
                                                 : facts.status->reason,
                    facts.now);
  }
  if (auto step = AtNoticeEnd(desktop, facts)) return *step;
  const TimePoint end = EndOf(desktop);
  if (end != TimePoint{} && facts.now >= end) {
    return EndByItself(desktop,
                       fmt::format("Stopped because its time of {} is over. The home is kept.",
                                   SpanText(desktop.run_for)),
                       facts.now);
  }
  if (facts.claim->ends_at != end) {
    DesktopStep step;
    step.claim = ClaimChange::kEndsAt;
    return step;
  }
  const DesktopState in_use = facts.viewers > 0 ? kConnected : kReady;
  if (DesktopStep step = Idle(desktop, facts, in_use); !step.empty()) return step;
  if (desktop.state == kIdleWarned) return {};
  const std::string reason = InUseReason(desktop, in_use, facts.now);
  if (desktop.state != in_use) return MoveTo(desktop, in_use, reason, facts.now);
  const bool input = facts.last_input >= desktop.last_input_at + kInputWrittenEvery;
  if (desktop.reason == reason && !input) return {};
  Desktop row = desktop;
  row.reason = reason;
  if (input) row.last_input_at = facts.last_input;
  return {.row = std::move(row)};
}

// ---- ending ----

// Asks for `job` until it has succeeded, and says why it has not yet. nullopt: it has.
std::optional<DesktopStep> Until(Job job, const Desktop& desktop, const DesktopFacts& facts) {
  if (!facts.finished || facts.finished->job != job) return StartJob(job);
  if (!facts.finished->error) return std::nullopt;
  DesktopStep step = StartJob(job);
  const std::string reason =
      Sentence("Could not be cleared up yet and is tried again: " + facts.finished->error->message);
  // A failed desktop keeps the reason that its user has to read.
  if (desktop.state != kFailed && desktop.reason != reason) {
    step.row = desktop;
    step.row->reason = reason;
  }
  return step;
}

DesktopStep Stopping(const Desktop& desktop, const DesktopFacts& facts) {
  if (auto step = Until(Job::kClear, desktop, facts)) return *step;
  if (WantsRun(desktop) && HoldsClaim(facts) && !GivesWay(facts)) {
    DesktopStep step = MoveTo(desktop, kReserved, "", facts.now);
    if (!facts.claim->moves_to.empty()) {
      ReplaceNotice(*step.row, "");
      step.claim = ClaimChange::kMove;
    }
    step.row->restarted_generation = desktop.restart_generation;
    step.row->stages.clear();
    BeginStage(*step.row, LaunchStage::kPlace, facts.now);
    return step;
  }
  const bool by_itself = desktop.reason.starts_with("Stopped because");
  DesktopStep step = MoveTo(desktop, kStopped, by_itself ? desktop.reason : "", facts.now);
  ReplaceNotice(*step.row, WantsRun(desktop) ? GaveWayText() : "");
  step.row->claim = ClaimId();
  step.claim = ClaimChange::kRelease;
  return step;
}

DesktopStep Stopped(const Desktop& desktop, const DesktopFacts& facts) {
  if (desktop.desired == DesiredState::kDeleted) return MoveTo(desktop, kDeleting, "", facts.now);
  if (!WantsRun(desktop)) return {};
  DesktopStep step = MoveTo(desktop, kQueued, "", facts.now);
  step.row->restarted_generation = desktop.restart_generation;
  step.row->stages.clear();
  return step;
}

DesktopStep Failed(const Desktop& desktop, const DesktopFacts& facts) {
  if (!desktop.claim.empty()) {
    if (auto step = Until(Job::kClear, desktop, facts)) return *step;
    Desktop row = desktop;
    row.claim = ClaimId();
    return {.row = std::move(row), .claim = ClaimChange::kRelease};
  }
  if (desktop.desired == DesiredState::kDeleted) return MoveTo(desktop, kDeleting, "", facts.now);
  if (!WantsRun(desktop) && !WantsRestart(desktop)) return {};
  DesktopStep step = MoveTo(desktop, kQueued, "", facts.now);
  step.row->desired = DesiredState::kRunning;
  step.row->restarted_generation = desktop.restart_generation;
  step.row->stages.clear();
  return step;
}

DesktopStep Deleting(const Desktop& desktop, const DesktopFacts& facts) {
  if (!desktop.claim.empty()) {
    if (auto step = Until(Job::kClear, desktop, facts)) return *step;
    Desktop row = desktop;
    row.claim = ClaimId();
    return {.row = std::move(row), .claim = ClaimChange::kRelease};
  }
  if (auto step = Until(Job::kRemove, desktop, facts)) return *step;
  DesktopStep step;
  step.erase = true;
  return step;
}

DesktopStep Decide(const Desktop& desktop, const DesktopFacts& facts) {
  switch (desktop.state) {
    case kQueued:
      return Queued(desktop, facts);
    case kReserved:
      return Reserved(desktop, facts);
    case kProvisioning:
      return Provisioning(desktop, facts);
    case kStarting:
      return Starting(desktop, facts);
    case kReady:
    case kConnected:
    case kIdleWarned:
      return Living(desktop, facts);
    case kSuspending:
    case kSuspended:
      // Containers are not suspended; a row that says so comes from elsewhere and is ended.
      return MoveTo(desktop, kStopping, "", facts.now);
    case kStopping:
      return Stopping(desktop, facts);
    case kStopped:
      return Stopped(desktop, facts);
    case kFailed:
      return Failed(desktop, facts);
    case kDeleting:
      return Deleting(desktop, facts);
  }
  return {};
}

}  // namespace

DesktopStep NextDesktopStep(const Desktop& desktop, const DesktopFacts& facts) {
  DesktopStep step = Decide(desktop, facts);
  if (facts.job_running) step.job = Job::kNone;
  return step;
}

bool IsLiving(DesktopState state) {
  return state == DesktopState::kReady || state == DesktopState::kConnected ||
         state == DesktopState::kIdleWarned;
}

TimePoint EndOf(const Desktop& desktop) {
  if (desktop.run_for <= Duration(0) || desktop.ready_at == TimePoint{}) return TimePoint{};
  return desktop.ready_at + desktop.run_for;
}

std::string SpanText(Duration span) {
  const int64_t seconds = std::max<int64_t>(span.count() / 1'000, 0);
  const int64_t minutes = seconds / 60;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (minutes < 60) return fmt::format("{} min", minutes);
  if (minutes % 60 == 0) return fmt::format("{} h", minutes / 60);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

}  // namespace sluice::control
