// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent/agent.h"
#include "base/result.h"
#include "base/units.h"

namespace sluice::instance {

struct PrivateOptions {
  std::optional<std::string> simulate;  // See CardsWish.
};

struct PrivateRequest {
  Bytes memory;
  std::optional<ComputeMillis> guarantee;  // Nothing: as the memory's part of the card.
  ComputeMillis cap;                       // 0: none.
  std::string gpu_model;                   // Empty: any.
  std::string command;                     // For people.
};

// Cards, agent and control for one command, for as long as this object lives: what `sluice run`
// uses where no instance runs. It knows of no other private machine on the same cards. One thread
// at a time.
class PrivateMachine {
 public:
  // Fails with kNotFound (a part of Sluice is missing), kInvalidArgument or kUnavailable.
  static Result<std::unique_ptr<PrivateMachine>> Create(const PrivateOptions& options);
  virtual ~PrivateMachine() = default;  // Gives the share back and removes every file it made.

  // The share for this process. Fails with kResourceExhausted and the largest that is possible.
  virtual Result<agent::PreparedShare> Take(const PrivateRequest& request) = 0;

  // Whether the card of the share is simulated.
  virtual bool simulated() const = 0;
};

}  // namespace sluice::instance
