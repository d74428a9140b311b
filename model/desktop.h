// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "model/claim.h"

namespace sluice {

enum class DesktopState {
  kQueued,
  kReserved,
  kProvisioning,
  kStarting,
  kReady,
  kConnected,
  kIdleWarned,
  kSuspending,
  kSuspended,
  kStopping,
  kStopped,
  kFailed,
  kDeleting,
};
std::string_view ToString(DesktopState state);
std::optional<DesktopState> ParseDesktopState(std::string_view text);

// What the user wishes; control works towards it. kDeleted keeps the row until the work is done.
enum class DesiredState { kRunning, kStopped, kDeleted };
std::string_view ToString(DesiredState state);
std::optional<DesiredState> ParseDesiredState(std::string_view text);

enum class DesktopKind { kContainer, kVm };
std::string_view ToString(DesktopKind kind);
std::optional<DesktopKind> ParseDesktopKind(std::string_view text);

// Who wrote a desktop's message. kSystem: Sluice itself, as a notice that the desktop will give way
// or move, or of a program that goes round its share.
enum class MessageSender { kOperator, kSystem };
std::string_view ToString(MessageSender sender);
std::optional<MessageSender> ParseMessageSender(std::string_view text);

// The stages of a launch, in order, as the launch page shows them.
enum class LaunchStage { kPlace, kPrepareHome, kStartDisplay, kFirstFrame };
inline constexpr int kLaunchStageCount = 4;
std::string_view ToString(LaunchStage stage);
std::optional<LaunchStage> ParseLaunchStage(std::string_view text);

struct StageTime {
  LaunchStage stage = LaunchStage::kPlace;
  TimePoint started_at;
  TimePoint ended_at;  // 0: still running.

  friend bool operator==(const StageTime&, const StageTime&) = default;
};

// When a desktop is stopped without its user asking.
struct IdlePolicy {
  Duration stop_after{0};            // No input for this long; 0: never.
  Duration warn_before{5 * 60'000};  // Warned this long before.
  bool gpu_keeps_alive = true;       // A share at work counts as activity.

  friend bool operator==(const IdlePolicy&, const IdlePolicy&) = default;
};

struct Desktop {
  DesktopId id;
  std::string name;
  UserId owner;
  TemplateId template_id;
  DesktopKind kind = DesktopKind::kContainer;
  ClaimRequest request;
  ClaimId claim;  // Empty while stopped.
  DesiredState desired = DesiredState::kRunning;
  DesktopState state = DesktopState::kQueued;
  std::string reason;     // Why it is in this state: one sentence for its user. Never empty.
  bool keep_home = true;  // Read when it is deleted.
  IdlePolicy idle;
  Duration run_for{0};             // Stopped this long after it became ready; 0: no end.
  std::string keyboard_layout;     // XKB layout, "us", "de", "cn"; empty: us.
  int64_t restart_generation = 0;  // Raised by "restart"; control restarts when it has seen less.
  int64_t restarted_generation = 0;

  TimePoint created_at;
  TimePoint state_since;
  TimePoint ready_at;
  TimePoint last_input_at;
  std::vector<StageTime> stages;  // Of the latest launch.
  std::string message;            // To its user; empty: none.
  MessageSender message_from = MessageSender::kOperator;
  std::string limits_in_force;  // "cgroup v2", "rlimits": which CPU and memory limits apply.
};

// One legal step. `why` is what a user reads when no better reason is known.
struct DesktopTransition {
  DesktopState from;
  DesktopState to;
  std::string_view why;
};

// Every legal step; anything else is refused.
std::span<const DesktopTransition> DesktopTransitions();

// Moves the desktop and stamps the time. An empty `reason` takes the table's. Fails with
// kFailedPrecondition if the table has no such step; the desktop is then unchanged.
Result<void> Move(Desktop& desktop, DesktopState to, std::string reason, TimePoint now);

// States in which the desktop may hold a share and a process tree.
bool IsRunning(DesktopState state);

}  // namespace sluice
