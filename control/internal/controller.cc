// SPDX-License-Identifier: Apache-2.0
#include "control/internal/controller.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "control/internal/explain_steps.h"
#include "control/internal/notices.h"
#include "control/internal/share_writes.h"

namespace sluice::control {
namespace {

constexpr Duration kTickWhileStarting{20};
constexpr Duration kJumpMin{2'000};
constexpr Duration kBackoffFirst{500};
constexpr Duration kBackoffMax{30'000};
constexpr Duration kUsageEvery{5'000};
constexpr Duration kRangesEvery{5'000};
constexpr Duration kHistoryEvery{30'000};
constexpr int kStepsMax = 100'000;  // More without a pause is an endless loop of ours.

bool IsLiving(DesktopState state) {
  return state == DesktopState::kReady || state == DesktopState::kConnected ||
         state == DesktopState::kIdleWarned;
}

Duration Backoff(int failures) {
  Duration wait = kBackoffFirst;
  for (int i = 1; i < failures && wait < kBackoffMax; ++i) wait *= 2;
  return std::min(wait, kBackoffMax);
}

// What the audit log calls a desktop's arrival in a state; empty: it is not told.
std::string ActionOf(DesktopState state) {
  switch (state) {
    case DesktopState::kReady:
      return "desktop.ready";
    case DesktopState::kFailed:
      return "desktop.failed";
    case DesktopState::kStopped:
      return "desktop.stopped";
    default:
      return {};
  }
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

int Controller::StepQueue() {
  // Before the agent's first answer "no card can ever give this" would be a guess.
  if (!agent_known_) return 0;
  int steps = 0;
  for (;;) {
    const QueueRows rows = QueueRowsNow();
    QueueOutcome outcome = WalkTheQueue(follower_.world(), rows);
    PublishQueue(std::move(outcome.places), rows);
    bool again = false;
    for (const QueueStep& step : outcome.steps) {
      if (!Commit(step.writes, "claim " + step.claim.text())) return steps + 1;
      ++steps;
      if (step.placed) {
        Note("claim.reserve", step.claim.text(), step.note);
        again = true;
      }
      if (step.refused) Note("claim.refuse", step.claim.text(), step.note);
    }
    if (!again) return steps;
  }
}

// How long claims run is looked at anew every few seconds: it is much to read and changes little.
QueueRows Controller::QueueRowsNow() {
  const TimePoint now = partners_.clock.Now();
  const Duration steady = partners_.clock.Steady();
  if (history_ == nullptr || steady - history_drawn_ >= kHistoryEvery) {
    history_ = HistoryOf(follower_.world(), now);
    history_drawn_ = steady;
  }
  return QueueRowsOf(follower_.world(), now, history_, PlacementNow());
}

// The places in the queue, and when it is likely to move: drawn anew when something started, ended
// or came, and every few seconds.
void Controller::PublishQueue(std::map<ClaimId, QueuePlace> places, const QueueRows& rows) {
  const Duration steady = partners_.clock.Steady();
  const std::pair seen(rows.waiting.size(), rows.holders.size());
  if (rows.waiting.empty()) {
    ranges_.clear();
  } else if (seen != ranges_seen_ || steady - ranges_drawn_ >= kRangesEvery) {
    ranges_ = StartRanges(rows);
    ranges_drawn_ = steady;
    summaries_.clear();
    for (const scheduler::Waiting& one : rows.waiting) {
      summaries_[one.id] = SummaryIn(rows.snapshot, one.request);
    }
  }
  ranges_seen_ = seen;
  for (auto& [id, place] : places) {
    const auto range = ranges_.find(id);
    if (range != ranges_.end() && !place.over_quota) place.start = range->second;
    const auto summary = summaries_.find(id);
    if (summary != summaries_.end()) place.summary = summary->second;
  }
  places_.With([&](auto& published) { published = std::move(places); });
}

int Controller::StepDesktops() {
  // The longest unchanged first: desktops that were wished within a millisecond ask for their
  // shares in the order in which the wishes were committed.
  std::vector<std::pair<uint64_t, DesktopId>> order;
  order.reserve(follower_.world().desktops.size());
  for (const auto& [id, row] : follower_.world().desktops) order.emplace_back(row.version, id);
  std::ranges::sort(order);
  std::erase_if(tracks_, [this](const auto& entry) {
    return !follower_.world().desktops.contains(entry.first) && !entry.second.job_running;
  });
  int steps = 0;
  for (const auto& [version, id] : order) steps += StepDesktop(id);
  return steps;
}

int Controller::StepDesktop(const DesktopId& id) {
  const auto found = follower_.world().desktops.find(id);
  if (found == follower_.world().desktops.end()) return 0;
  const store::Versioned<Desktop> row = found->second;
  Track& track = tracks_[id];
  const bool fresh = track.since == Duration(0);
  if (fresh || track.state != row.value.state) {
    track.state = row.value.state;
    // Never 0, so that it also says "seen".
    track.since = std::max(partners_.clock.Steady(), Duration(1));
    track.finished.reset();
    track.failures = 0;
    track.not_before = Duration(0);
    track.start_called = false;
  }
  const DesktopStep step = NextDesktopStep(row.value, FactsOf(row, track));
  int steps = 0;
  if (step.row || step.erase || step.claim != ClaimChange::kNone) {
    const auto held = follower_.world().claims.find(row.value.claim);
    const std::optional<Claim> before =
        step.claim == ClaimChange::kMove && held != follower_.world().claims.end()
            ? std::optional(held->second.value)
            : std::nullopt;
    const auto writes = WritesOf(row, step);
    if (!writes || !Commit(*writes, "desktop " + id.text())) return 1;
    ++steps;
    if (step.row) NoteMove(row.value, *step.row);
    if (before) NoteRelocation(*before);
    if (step.erase) {
      Note("desktop.deleted", id.text(), row.value.name);
      viewers_.With([&](auto& viewers) { viewers.erase(id); });
    }
    if (step.launched) times_.With([&](LaunchTimes& times) { times.Add(step.row->stages); });
  }
  if (step.job != Job::kNone && BeginJob(row.value, step.job, track)) ++steps;
  return steps;
}

DesktopFacts Controller::FactsOf(const store::Versioned<Desktop>& row, Track& track) {
  const Desktop& desktop = row.value;
  DesktopFacts facts;
  facts.now = partners_.clock.Now();
  facts.options = options_;
  facts.job_running = track.job_running;
  facts.start_called = track.start_called;
  facts.in_state = partners_.clock.Steady() - track.since;
  facts.finished = track.finished;
  facts.gpu_busy = track.gpu_busy;
  if (desktop.state == DesktopState::kQueued) {
    facts.fresh_claim = ClaimId(claim_ids_.Next(facts.now, surroundings_.random));
  }
  const auto claim = follower_.world().claims.find(desktop.claim);
  if (claim != follower_.world().claims.end()) facts.claim = &claim->second.value;
  viewers_.With([&](const auto& viewers) {
    const auto report = viewers.find(desktop.id);
    if (report == viewers.end()) return;
    facts.viewers = report->second.viewers;
    facts.last_input = report->second.last_input_at;
  });
  if (desktop.state == DesktopState::kStarting || IsLiving(desktop.state)) {
    if (auto status = partners_.runtime.GetStatus(desktop.id); status) facts.status = *status;
  }
  if (IsLiving(desktop.state)) {
    AskUsage(desktop, track);
    facts.gpu_busy = track.gpu_busy;
  }
  return facts;
}

void Controller::AskUsage(const Desktop& desktop, Track& track) {
  if (!desktop.idle.gpu_keeps_alive || desktop.idle.stop_after <= Duration(0)) return;
  const Duration steady = partners_.clock.Steady();
  if (track.usage_asked != Duration(0) && steady - track.usage_asked < kUsageEvery) return;
  track.usage_asked = std::max(steady, Duration(1));
  const auto usage = partners_.agent.Usage(desktop.claim);
  if (!usage) return;
  for (const agent::DeviceUsage& device : usage->devices) {
    if (device.utilization_percent > 0) track.gpu_busy = partners_.clock.Now();
  }
}

std::optional<std::vector<store::Write>> Controller::WritesOf(const store::Versioned<Desktop>& row,
                                                              const DesktopStep& step) {
  std::vector<store::Write> writes;
  const std::string& id = row.value.id.text();
  if (step.erase) {
    writes.push_back({store::Kind::kDesktop, id, row.version, std::nullopt});
  } else if (step.row) {
    writes.push_back(store::Put(*step.row, row.version));
  }
  const World& world = follower_.world();
  const auto found = world.claims.find(row.value.claim);
  const store::Versioned<Claim>* claim = found == world.claims.end() ? nullptr : &found->second;
  switch (step.claim) {
    case ClaimChange::kNone:
      break;
    case ClaimChange::kCreate: {
      Claim made;
      made.id = step.row->claim;
      made.desktop = row.value.id;
      made.user = row.value.owner;
      made.team = TeamOf(world, row.value.owner);
      made.template_id = row.value.template_id;
      made.run_for = row.value.run_for;
      made.request = row.value.request;
      made.reason = "Waiting for a GPU.";
      made.created_at = partners_.clock.Now();
      // First come first served counts from the wish, not from when control has come to it.
      made.queued_since =
          row.value.state_since == TimePoint{} ? made.created_at : row.value.state_since;
      writes.push_back(store::Put(made, 0));
      break;
    }
    case ClaimChange::kCommit:
    case ClaimChange::kEndsAt: {
      if (claim == nullptr) return std::nullopt;
      Claim changed = claim->value;
      if (step.claim == ClaimChange::kCommit) {
        changed.phase = ClaimPhase::kCommitted;
        changed.reason = "In use.";
      }
      changed.ends_at = EndOf(step.row ? *step.row : row.value);
      writes.push_back(store::Put(changed, claim->version));
      break;
    }
    case ClaimChange::kMove: {
      if (claim == nullptr) return std::nullopt;
      for (store::Write& write : MoveWrites(*claim, world.gpus)) writes.push_back(std::move(write));
      break;
    }
    case ClaimChange::kRelease: {
      if (claim == nullptr) break;
      ClaimEnd end{.reason = "Given back.", .at = partners_.clock.Now()};
      if (Holds(claim->value)) end.idle_for = IdleFor(row.value, end.at);
      const auto ended = EndWrites(*claim, end, world.gpus);
      writes.insert(writes.end(), ended.begin(), ended.end());
      break;
    }
  }
  if (step.launched) {
    LaunchTimes with_this = times_.With([](LaunchTimes& times) { return times; });
    with_this.Add(step.row->stages);
    writes.push_back({store::Kind::kSetting,
                      std::string(LaunchTimes::kSettingId),
                      std::nullopt,
                      with_this.Encode()});
  }
  return writes;
}

bool Controller::BeginJob(const Desktop& desktop, Job job, Track& track) {
  if (track.job_running || partners_.clock.Steady() < track.not_before) return false;
  track.job_running = true;
  track.finished.reset();
  const bool begun = workers_.Do([this, desktop, job] {
    const auto done = DoJob(job, desktop);
    JobResult result{desktop.id, desktop.state, {job, std::nullopt}};
    if (!done) result.finished.error = done.error();
    inbox_.Change([&](Inbox& inbox) { inbox.results.push_back(std::move(result)); });
  });
  if (!begun) track.job_running = false;
  return begun;
}

// Runs on a worker: touches nothing of the logic thread's.
Result<void> Controller::DoJob(Job job, const Desktop& desktop) {
  runtime::Runtime& runtime = partners_.runtime;
  switch (job) {
    case Job::kNone:
      return {};
    case Job::kPrepare:
      return PrepareDesktop(partners_.store, partners_.agent, runtime, desktop);
    case Job::kStart: {
      const auto status = runtime.GetStatus(desktop.id);
      if (!status) return Fail(status.error());
      // Exited or absent: a launch that was cut off. Make everything again, then start.
      if (status->phase != runtime::Phase::kPrepared) {
        auto prepared = PrepareDesktop(partners_.store, partners_.agent, runtime, desktop);
        if (!prepared) return prepared;
      }
      return runtime.Start(desktop.id);
    }
    case Job::kClear: {
      if (auto stopped = runtime.Stop(desktop.id, options_.stop_grace); !stopped) return stopped;
      if (desktop.claim.empty()) return {};
      return partners_.agent.Release(desktop.claim);
    }
    case Job::kRemove:
      return runtime.Remove(desktop.id, desktop.keep_home);
  }
  return {};
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

void Controller::NoteMove(const Desktop& before, const Desktop& after) {
  if (before.state == after.state) return;
  if (IsLiving(before.state) && IsLiving(after.state)) return;
  const std::string action = ActionOf(after.state);
  if (!action.empty()) Note(action, after.id.text(), after.reason);
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

std::optional<QueuePlace> Controller::PlaceInQueue(const ClaimId& claim) {
  return places_.With([&](const auto& places) -> std::optional<QueuePlace> {
    const auto found = places.find(claim);
    if (found == places.end()) return std::nullopt;
    return found->second;
  });
}

std::vector<Offer> Controller::Offers(const OfferQuestion& question) {
  // From the rows as they are, not as the logic thread saw them last: whoever was told that there
  // is room and has asked for it is in the queue for the next one.
  auto rows = asked_.With([&](WorldFollower& follower) -> Result<QueueRows> {
    if (const auto seen = follower.Refresh(); !seen) return Fail(seen.error());
    const auto plan = shown_placement_.With([](const auto& shown) { return shown; });
    return QueueRowsOf(follower.world(), partners_.clock.Now(), nullptr, plan ? &*plan : nullptr);
  });
  if (rows) return OffersFor(*rows, question);
  Log(LogLevel::kWarning, "the store cannot be read for an offer: {}", rows.error().message);
  return {};
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
