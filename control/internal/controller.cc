// SPDX-License-Identifier: Apache-2.0
#include "control/internal/controller.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "control/internal/share_writes.h"

namespace sluice::control {
namespace {

constexpr Duration kTickWhileStarting{20};
constexpr Duration kJumpMin{2'000};
constexpr Duration kBackoffFirst{500};
constexpr Duration kBackoffMax{30'000};
constexpr int kStepsMax = 100'000;  // More without a pause is an endless loop of ours.

Duration Backoff(int failures) {
  Duration wait = kBackoffFirst;
  for (int i = 1; i < failures && wait < kBackoffMax; ++i) wait *= 2;
  return std::min(wait, kBackoffMax);
}

}  // namespace

Controller::Controller(const Partners& partners, const Options& options, Surroundings surroundings)
    : partners_(partners),
      options_(options),
      surroundings_(std::move(surroundings)),
      asked_(partners.store),
      times_(options.usual_samples),
      follower_(partners.store),
      agent_answered_(partners.clock.Steady()),
      workers_(surroundings_.worker_threads) {
  const auto kept = partners_.store.Get(store::Kind::kSetting, LaunchTimes::kSettingId);
  if (kept) times_.With([&](LaunchTimes& times) { times.Decode(kept->body); });
}

Controller::~Controller() {
  inbox_.Change([](Inbox& inbox) { inbox.stopping = true; });
  if (thread_.joinable()) thread_.join();
}

void Controller::Start() {
  SLUICE_CHECK(!thread_.joinable());
  thread_ = std::jthread([this] { Loop(); });
}

void Controller::Loop() {
  for (;;) {
    for (int steps = 0; steps < kStepsMax;) {
      const int more = Pass();
      if (more == 0 || inbox_.With([](Inbox& inbox) { return inbox.stopping; })) break;
      steps += more;
    }
    const Duration tick =
        AnythingStarting() ? std::min(kTickWhileStarting, options_.tick) : options_.tick;
    inbox_.WaitFor(tick, [](const Inbox& inbox) {
      return inbox.nudged || inbox.stopping || !inbox.results.empty() || inbox.placement;
    });
    if (inbox_.With([](Inbox& inbox) { return inbox.stopping; })) return;
  }
}

int Controller::RunUntilIdle() {
  int steps = 0;
  while (steps < kStepsMax) {
    const int more = Pass();
    if (more == 0) return steps;
    steps += more;
  }
  return steps;
}

bool Controller::AnythingStarting() const {
  return std::ranges::any_of(follower_.world().desktops, [](const auto& entry) {
    return entry.second.value.state == DesktopState::kStarting;
  });
}

int Controller::Pass() {
  TakeInbox();
  store_failed_ = false;
  if (const auto seen = follower_.Refresh(); !seen) {
    Log(LogLevel::kWarning, "control cannot read the store: {}", seen.error().message);
    return 0;
  }
  int steps = ShiftByClockJump();
  steps += StepGpus();
  steps += StepPlacement();
  steps += StepQueue();
  steps += StepNotices();
  steps += StepDesktops();
  steps += StepClaims();
  steps += StepRules();
  steps += StepBypasses();
  steps += SweepOrphans();
  return store_failed_ ? 0 : steps;
}

void Controller::TakeInbox() {
  std::vector<JobResult> results;
  inbox_.With([&](Inbox& inbox) {
    inbox.nudged = false;
    results.swap(inbox.results);
    for (const auto& [id, done] : inbox.ended) {
      ending_.erase(id);
      if (!done) ending_[id] = partners_.clock.Steady() + kBackoffFirst;
    }
    inbox.ended.clear();
    if (inbox.placement) {
      made_placement_ = std::exchange(inbox.placement, std::nullopt);
      placement_asked_ = false;
    }
  });
  for (JobResult& result : results) {
    const auto found = tracks_.find(result.desktop);
    if (found == tracks_.end()) continue;
    Track& track = found->second;
    track.job_running = false;
    if (track.state != result.state) continue;
    const bool failed = result.finished.error.has_value();
    track.failures = failed ? track.failures + 1 : 0;
    track.not_before = failed ? partners_.clock.Steady() + Backoff(track.failures) : Duration(0);
    if (result.finished.job == Job::kStart && !failed) track.start_called = true;
    track.finished = std::move(result.finished);
  }
}

// An operator who sets the clock must not end everybody's desktop: the times that rules are
// counted from move with it.
int Controller::ShiftByClockJump() {
  const Duration ahead = partners_.clock.Now().time_since_epoch() - partners_.clock.Steady();
  if (!wall_ahead_) wall_ahead_ = ahead;
  const Duration jump = ahead - *wall_ahead_;
  if (jump < kJumpMin && jump > -kJumpMin) return 0;
  std::vector<store::Write> writes;
  for (const auto& [id, row] : follower_.world().desktops) {
    if (!IsLiving(row.value.state)) continue;
    Desktop shifted = row.value;
    for (TimePoint* time : {&shifted.ready_at, &shifted.last_input_at, &shifted.state_since}) {
      if (*time != TimePoint{}) *time += jump;
    }
    writes.push_back(store::Put(shifted, row.version));
  }
  for (const auto& [id, row] : follower_.world().claims) {
    if (row.value.notice_until == TimePoint{}) continue;
    Claim shifted = row.value;
    shifted.notice_until += jump;
    writes.push_back(store::Put(shifted, row.version));
  }
  if (!writes.empty() && !Commit(writes, "the clock's jump")) return 1;
  wall_ahead_ = ahead;
  Log(LogLevel::kWarning,
      "the clock jumped by {} ms; idle and end times moved with it",
      jump.count());
  for (auto& [id, track] : tracks_) {
    if (track.gpu_busy != TimePoint{}) track.gpu_busy += jump;
  }
  viewers_.With([&](auto& viewers) {
    for (auto& [id, report] : viewers) {
      if (report.last_input_at != TimePoint{}) report.last_input_at += jump;
    }
  });
  return 1;
}

int Controller::StepGpus() {
  GpuFacts facts{.now = partners_.clock.Now(), .node = options_.node, .cards = std::nullopt};
  if (auto cards = partners_.agent.Cards(); cards) {
    facts.cards = std::move(*cards);
    facts.first_answer = !agent_known_;
    agent_answered_ = partners_.clock.Steady();
  }
  facts.silent_for = partners_.clock.Steady() - agent_answered_;
  const std::vector<store::Write> writes = GpuSteps(follower_.world().gpus, facts);
  const bool done = writes.empty() || Commit(writes, "the cards");
  if (done && facts.cards) agent_known_ = true;
  return writes.empty() ? 0 : 1;
}

bool Controller::Commit(const std::vector<store::Write>& writes, const std::string& what) {
  const auto done = follower_.Commit(writes);
  if (done) {
    if (store_trouble_) Log(LogLevel::kInfo, "control can write again");
    store_trouble_ = false;
    return true;
  }
  if (done.error().code != Code::kAborted) {
    if (!store_trouble_) {
      Log(LogLevel::kError, "control cannot write {}: {}", what, done.error().message);
    }
    store_failed_ = true;
    store_trouble_ = true;
  }
  return false;
}

void Controller::Note(const std::string& action,
                      const std::string& target,
                      const std::string& detail) {
  partners_.audit.Append({.name = "control", .source = "reconciler", .request_id = {}},
                         {.action = action, .target = target, .outcome = "ok", .detail = detail});
}

// ---- called from any thread ----

void Controller::Nudge() {
  inbox_.Change([](Inbox& inbox) { inbox.nudged = true; });
}

void Controller::ReportViewers(const DesktopId& desktop, const ViewerReport& report) {
  const bool changed = viewers_.With([&](auto& viewers) {
    ViewerReport& known = viewers[desktop];
    const bool other = known.viewers != report.viewers;
    known = report;
    return other;
  });
  if (changed) Nudge();
}

Result<agent::PreparedShare> Controller::StartRun(const ClaimId& claim, uint32_t tenant_uid) {
  return StartRunClaim(partners_.store, partners_.agent, claim, tenant_uid);
}

Result<void> Controller::Release(const ClaimId& claim, const std::string& reason) {
  const auto row = store::Read<Claim>(partners_.store, claim.text());
  if (!row) return Fail(row.error());
  if (row->value.owner_kind != ClaimOwner::kRun) {
    return Fail(Code::kFailedPrecondition,
                "claim " + claim.text() + " belongs to a desktop; stop the desktop instead");
  }
  auto ended = EndClaim(
      partners_.store, partners_.agent, claim, {.reason = reason, .at = partners_.clock.Now()});
  Nudge();
  return ended;
}

Result<void> Controller::Resize(const ClaimId& claim, const ClaimRequest& wish) {
  auto done = ResizeClaim(partners_.store, partners_.agent, claim, wish);
  if (done) Nudge();  // What was given back may be what somebody waits for.
  return done;
}

std::map<LaunchStage, Duration> Controller::UsualStageTimes() {
  return times_.With([](const LaunchTimes& times) { return times.Usual(); });
}

}  // namespace sluice::control
