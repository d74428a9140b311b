// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/units.h"
#include "control/control.h"
#include "model/claim.h"
#include "model/desktop.h"
#include "runtime/runtime.h"

// Pure: one desktop's row and what is known of it, to the one next step. The shell carries the step
// out; a process that dies before, during or after finds the same step, or the one after it.
namespace sluice::control {

// Work that may block; at most one per desktop at a time. Each may be repeated.
enum class Job {
  kNone,
  kPrepare,  // The share's regions, the home, everything that the start needs.
  kStart,    // Prepares again if nothing is left of it, then starts.
  kClear,    // Ends the processes and removes the share's regions.
  kRemove,   // Removes the desktop's files, and the home if it is not kept.
};

struct FinishedJob {
  Job job = Job::kNone;
  std::optional<Error> error;
};

struct DesktopFacts {
  TimePoint now;
  Options options;
  ClaimId fresh_claim;                    // The id for a claim that this step makes.
  const Claim* claim = nullptr;           // The row that the desktop names, if it is there.
  std::optional<runtime::Status> status;  // nullopt: not known.
  bool job_running = false;
  bool start_called = false;            // By this process, for this launch.
  Duration in_state{0};                 // By the steady clock, as far as this process has seen it.
  std::optional<FinishedJob> finished;  // Of a job that was begun in the present state.
  int viewers = 0;
  TimePoint last_input;  // From the relay; 0: none.
  TimePoint gpu_busy;    // When the share was last seen at work; 0: never.
};

// kMove: to the cards that its notice names.
enum class ClaimChange { kNone, kCreate, kCommit, kRelease, kEndsAt, kMove };

struct DesktopStep {
  std::optional<Desktop> row;  // To be written.
  bool erase = false;          // The row is to be deleted.
  ClaimChange claim = ClaimChange::kNone;
  Job job = Job::kNone;
  bool launched = false;  // The launch just succeeded: its stages count as usual times.

  bool empty() const { return !row && !erase && claim == ClaimChange::kNone && job == Job::kNone; }
};

DesktopStep NextDesktopStep(const Desktop& desktop, const DesktopFacts& facts);

// Whether somebody can work in it.
bool IsLiving(DesktopState state);

// When the desktop's time is over; 0: no end.
TimePoint EndOf(const Desktop& desktop);

// "25 min", "1 h 30 min": for reasons.
std::string SpanText(Duration span);

}  // namespace sluice::control
