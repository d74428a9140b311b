// SPDX-License-Identifier: Apache-2.0
// The controller's desktops: what is known of each, the next step of each, and the jobs of steps.
#include <algorithm>
#include <utility>

#include "control/internal/controller.h"
#include "control/internal/notices.h"
#include "control/internal/share_writes.h"

namespace sluice::control {
namespace {

constexpr Duration kUsageEvery{5'000};

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

void Controller::NoteMove(const Desktop& before, const Desktop& after) {
  if (before.state == after.state) return;
  if (IsLiving(before.state) && IsLiving(after.state)) return;
  const std::string action = ActionOf(after.state);
  if (!action.empty()) Note(action, after.id.text(), after.reason);
}

}  // namespace sluice::control
