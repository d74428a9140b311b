// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "base/ids.h"
#include "control/control.h"
#include "control/internal/claim_steps.h"
#include "control/internal/consolidation.h"
#include "control/internal/desktop_steps.h"
#include "control/internal/gpu_steps.h"
#include "control/internal/launch_times.h"
#include "control/internal/placement.h"
#include "control/internal/workers.h"
#include "control/internal/world.h"

namespace sluice::control {

// What the controller needs beside its six partners; replaced in tests.
struct Surroundings {
  // Whether the process with this pid and start time still runs.
  std::function<bool(int64_t pid, int64_t start)> run_alive;
  Random& random;
  int worker_threads = 4;  // 0: jobs are done by the caller of RunUntilIdle.
};

// The shell round the pure steps: reads, decides by them, commits, starts jobs. All private state
// below the line belongs to the logic thread.
class Controller : public Control {
 public:
  Controller(const Partners& partners, const Options& options, Surroundings surroundings);
  ~Controller() override;

  void Start() override;
  int RunUntilIdle() override;
  void Nudge() override;
  void ReportViewers(const DesktopId& desktop, const ViewerReport& report) override;
  std::optional<QueuePlace> PlaceInQueue(const ClaimId& claim) override;
  std::vector<Offer> Offers(const OfferQuestion& question) override;
  Result<Explained> Explain(const ExplainQuestion& question) override;
  PlacementState Placement() override;
  Result<PoolTrial> TryPool(const Pool& pool) override;
  Result<agent::PreparedShare> StartRun(const ClaimId& claim, uint32_t tenant_uid) override;
  Result<void> Release(const ClaimId& claim, const std::string& reason) override;
  Result<void> Resize(const ClaimId& claim, const ClaimRequest& wish) override;
  std::map<LaunchStage, Duration> UsualStageTimes() override;
  Result<ConsolidationPlan> Consolidate(const ConsolidationWish& wish) override;
  Result<ConsolidationPlan> UndoConsolidation(const PoolId& pool) override;
  Result<std::vector<MoveNow>> MovesNow(const PoolId& pool) override;
  Result<int> RoomFor(const Reservation& reservation) override;

 private:
  struct JobResult {
    DesktopId desktop;
    DesktopState state = DesktopState::kQueued;  // In which the job was begun.
    FinishedJob finished;
  };
  struct Inbox {
    bool nudged = false;
    bool stopping = false;
    std::vector<JobResult> results;
    std::map<ClaimId, bool> ended;  // Claims whose ending job is done; whether it succeeded.
    std::optional<PlacementPlan> placement;
  };
  // What this process knows of a desktop beside its row.
  struct Track {
    DesktopState state = DesktopState::kQueued;
    Duration since{0};  // Steady time at which this process first saw the state.
    bool job_running = false;
    bool start_called = false;
    std::optional<FinishedJob> finished;
    int failures = 0;        // Of jobs in this state, in a row.
    Duration not_before{0};  // Steady time before which no job is begun again.
    TimePoint gpu_busy;
    Duration usage_asked{0};
  };

  void Loop();
  // One look at everything. Returns the number of steps taken.
  int Pass();
  bool AnythingStarting() const;

  void TakeInbox();
  int ShiftByClockJump();
  int StepGpus();
  int StepQueue();
  QueueRows QueueRowsNow();
  void PublishQueue(std::map<ClaimId, QueuePlace> places, const QueueRows& rows);
  void LoadPlacement();
  void TakePlacement(std::optional<PlacementPlan> plan);
  const PlacementPlan* PlacementNow() const;
  int StepPlacement();
  Result<World> WorldAsked();
  int StepDesktops();
  int StepDesktop(const DesktopId& id);
  int StepNotices();
  // For the audit log: where the claim is now, with which it was to move.
  void NoteRelocation(const Claim& before);
  using ConsolidationSearch =
      std::function<Result<ConsolidationStep>(const World& world, const QueueRows& rows)>;
  QueueRows RowsAsked(const World& world);
  Result<ConsolidationPlan> CommitConsolidation(const ConsolidationSearch& search);
  int StepClaims();
  int StepClaim(const store::Versioned<Claim>& row);
  int StepRules();
  int StepBypasses();
  void TellBypass(const agent::Bypass& bypass);
  int SweepEndedClaims();
  int SweepPastClaims();
  int SweepReservations();
  int SweepOrphans();
  void EnforceAgain(const ClaimId& id);

  DesktopFacts FactsOf(const store::Versioned<Desktop>& row, Track& track);
  void AskUsage(const Desktop& desktop, Track& track);
  // The writes of a step. nullopt: what it needs is not there; look again.
  std::optional<std::vector<store::Write>> WritesOf(const store::Versioned<Desktop>& row,
                                                    const DesktopStep& step);
  bool BeginJob(const Desktop& desktop, Job job, Track& track);
  Result<void> DoJob(Job job, const Desktop& desktop);
  bool EndClaimLater(const Claim& claim, const std::string& reason);
  // Logs what is not a mere "look again", and makes this pass the last before a pause. True:
  // committed.
  bool Commit(const std::vector<store::Write>& writes, const std::string& what);
  void NoteMove(const Desktop& before, const Desktop& after);
  void Note(const std::string& action, const std::string& target, const std::string& detail);

  Partners partners_;
  Options options_;
  Surroundings surroundings_;
  Guarded<Inbox> inbox_;
  Guarded<std::map<DesktopId, ViewerReport>> viewers_;
  Guarded<std::map<ClaimId, QueuePlace>> places_;
  Guarded<WorldFollower> asked_;  // For questions from any thread.
  Guarded<LaunchTimes> times_;
  Guarded<std::optional<PlacementPlan>> shown_placement_;  // As placement_.

  WorldFollower follower_;
  IdSequence claim_ids_{"clm"};  // In order, as the queue's last word is the id.
  std::map<DesktopId, Track> tracks_;
  std::optional<PlacementPlan> placement_;  // In force.
  bool placement_loaded_ = false;
  bool placement_asked_ = false;                 // One is being made.
  std::optional<PlacementPlan> made_placement_;  // To be written.
  std::map<ClaimId, StartRange> ranges_;
  std::map<ClaimId, std::string> summaries_;  // Drawn with the ranges.
  std::pair<size_t, size_t> ranges_seen_;     // How many waited and held when they were drawn.
  Duration ranges_drawn_{0};
  std::shared_ptr<const scheduler::RunHistory> history_;
  Duration history_drawn_{0};
  // A message of ours to a desktop's user; an empty one takes back the one before.
  struct Message {
    std::string text;
    std::string before;
  };
  std::map<DesktopId, Message> messages_;  // To be written.
  std::map<DesktopId, std::string> said_;
  std::map<ClaimId, agent::ShareRules> governed_;
  std::map<ClaimId, Duration> reserved_seen_;  // Steady time, of runs.
  std::map<ClaimId, Duration> ended_seen_;
  std::map<ClaimId, Duration> ending_;  // Being ended; steady time of the next try.
  std::optional<Duration> wall_ahead_;  // Wall minus steady time at the last look.
  Duration agent_answered_{0};
  bool agent_known_ = false;
  std::optional<Duration> swept_;
  bool store_failed_ = false;   // In this pass.
  bool store_trouble_ = false;  // Said already; until a commit succeeds again.

  Workers workers_;
  std::jthread thread_;
};

}  // namespace sluice::control
