// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/arbiter.h"
#include "agent/internal/compute_share.h"
#include "base/guarded.h"
#include "base/ids.h"
#include "base/result.h"

// The arbiter at work: one thread that listens to the shares' bells, reads their slots, and writes
// grants and heartbeats. Without demand it wakes for the heartbeat alone, without shares never.
namespace sluice::agent {

// Thread-safe.
class Compute {
 public:
  // Fails with kResourceExhausted.
  static Result<std::unique_ptr<Compute>> Start(const ArbiterOptions& options);
  ~Compute();

  // Takes a share whose pages are in the folder, or reads its terms again. A share that a former
  // agent arbitrated goes on as its page says. Fails when the pages cannot be read.
  Result<void> Join(const ClaimId& claim, const std::string& folder);
  void Leave(const ClaimId& claim);

  // What the share's pool says of it. A slowed share's cap is kThrottledMillis at most.
  struct Rules {
    int priority = 0;
    bool throttled = false;

    friend bool operator==(const Rules&, const Rules&) = default;
  };
  void Govern(const ClaimId& claim, const Rules& rules);

  // What the driver sampled of the share's processes on the card at that place of its list. More
  // than it was charged for is charged, and said in the log.
  void Sampled(const ClaimId& claim, size_t device, int percent);

 private:
  struct Member {
    ShareId id = 0;
    std::unique_ptr<ComputeShare> share;
    std::vector<int> cards;  // The arbiter's number of each device.
    Rules rules;
    Nanos warned{-1};
  };
  struct State {
    explicit State(const ArbiterOptions& options) : arbiter(options) {}
    Arbiter arbiter;
    std::map<ClaimId, Member> members;
    std::map<ShareId, Member*> by_id;
    std::map<std::string, int> cards;  // By UUID.
    ShareId last_id = 0;
    Nanos next_beat{0};
  };

  explicit Compute(const ArbiterOptions& options);
  Result<void> Open();
  static ShareTerms TermsOf(State& state, Member& member);
  void Run();
  void Poke();
  // Observes, steps and tells until nothing more is to be done at once. Returns when to look again.
  static std::optional<Nanos> Look(State& state);
  static void Observe(State& state, Nanos now);
  static void Beat(State& state, Nanos now);
  static void Warn(const ClaimId& claim, Member& member, size_t device, Nanos excess, Nanos now);
  void Listen(State& state, ShareId id, Nanos now);
  std::optional<Nanos> ListenAgain(State& state, Nanos now);
  void SetTimer(std::optional<Nanos> at);

  Guarded<State> state_;
  File epoll_;
  File poke_;
  File timer_;
  bool stop_ = false;  // Under state_.
  std::jthread thread_;
};

}  // namespace sluice::agent
