// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "scheduler/queue.h"

// When a claim that waits is likely to start, from how long such claims have run.
namespace sluice::scheduler {

// One claim that has run, or runs still (`ended` false: it lasts at least so long).
struct RunLength {
  Duration lasted{0};
  bool ended = true;
};

// How long claims of one kind run: the product-limit estimate (Kaplan and Meier, 1958) of the part
// that is still running after a time, which counts those that have not ended for what they say.
// Immutable.
class RunLengths {
 public:
  RunLengths() = default;
  explicit RunLengths(std::vector<RunLength> seen);

  // How much longer a claim that has run for `age` goes on, such that the part `ended_before` (0 to
  // 1) of claims like it have ended by then. nullopt: none was seen to end so late.
  std::optional<Duration> Left(Duration age, double ended_before) const;

  int ended() const { return ended_; }

 private:
  struct Step {
    Duration at;
    double running;  // The part that runs on after `at`.
  };
  double RunningAfter(Duration age) const;

  std::vector<Step> steps_;  // By time.
  int ended_ = 0;
};

// What has been seen, by kind; a kind of which little was seen is judged by all kinds together.
class RunHistory {
 public:
  void Add(const std::string& kind, const RunLength& length);
  // Makes what was added count.
  void Close();
  const RunLengths& Of(const std::string& kind) const;

 private:
  std::map<std::string, std::vector<RunLength>> seen_;
  std::map<std::string, RunLengths> by_kind_;
  RunLengths all_;
};

// Of so many like it, one in ten starts before `earliest`, half before `likely`, nine in ten before
// `latest`. nullopt: not known, or later than anything seen.
struct Estimate {
  std::optional<TimePoint> earliest;
  std::optional<TimePoint> likely;
  std::optional<TimePoint> latest;

  friend bool operator==(const Estimate&, const Estimate&) = default;
};

struct EstimateRules {
  int samples = 40;               // Fewer: quicker, and the range jumps about.
  int waiting_max = 40;           // Claims behind these get no estimate.
  int ends_max = 200;             // Ends of holders that one sample follows.
  int64_t work_max = 25'000'000;  // Looks at a card, of all samples together; then fewer samples.
  // On a busy day, or while somebody tries something out, claims that run at one time end early or
  // late together: the part of how long they run, as variance, that each shares with all of them,
  // and beside that with those of its kind. Both from 0, together below 1. 0: as if each were
  // alone, and the range at the end of a long queue is far too narrow; larger: wider ranges. Found
  // by replays in time, see docs/benchmarks/scheduler-timed.md.
  double shared_by_all = 0.25;
  double shared_by_kind = 0.25;
  uint64_t seed = 1;
};

// Plays the queue forward, with ends of holders drawn from `history`, nobody else coming, and the
// order and promises of WalkQueue. Equal input, equal answer. A claim is absent when it is not
// among the first `waiting_max`.
std::map<ClaimId, Estimate> EstimateStarts(const QueueInput& input,
                                           const RunHistory& history,
                                           const EstimateRules& rules);

}  // namespace sluice::scheduler
