// SPDX-License-Identifier: Apache-2.0
#include "model/desktop.h"

#include <array>

#include "model/internal/names.h"

namespace sluice {
namespace {

constexpr internal::Names<DesktopState, 13> kStates{{"queued",
                                                     "reserved",
                                                     "provisioning",
                                                     "starting",
                                                     "ready",
                                                     "connected",
                                                     "idle_warned",
                                                     "suspending",
                                                     "suspended",
                                                     "stopping",
                                                     "stopped",
                                                     "failed",
                                                     "deleting"}};
constexpr internal::Names<DesiredState, 3> kDesired{{"running", "stopped", "deleted"}};
constexpr internal::Names<DesktopKind, 2> kKinds{{"container", "vm"}};
constexpr internal::Names<MessageSender, 2> kSenders{{"operator", "system"}};
constexpr internal::Names<LaunchStage, kLaunchStageCount> kStages{
    {"place", "prepare_home", "start_display", "first_frame"}};

using enum DesktopState;

constexpr std::string_view kAsked = "Stopping, as asked.";
constexpr std::string_view kRemoved = "Being deleted, as asked.";
constexpr std::string_view kBroke = "The desktop ended unexpectedly. Start it to try again.";
constexpr std::string_view kNoStart = "The desktop could not be started. Start it to try again.";

constexpr DesktopTransition kTransitions[] = {
    {kQueued, kReserved, "A share of a GPU is set aside."},
    {kQueued, kStopped, "Stopped while waiting for a GPU."},
    {kQueued, kFailed, "No GPU here can ever give the share that was asked for."},
    {kQueued, kDeleting, kRemoved},

    {kReserved, kProvisioning, "Preparing the home folder."},
    {kReserved, kQueued, "The share was taken back before the start; waiting again."},
    {kReserved, kStopping, kAsked},
    {kReserved, kFailed, kNoStart},
    {kReserved, kDeleting, kRemoved},

    {kProvisioning, kStarting, "Starting the display."},
    {kProvisioning, kQueued, "The GPU went away before the start; waiting again."},
    {kProvisioning, kStopping, kAsked},
    {kProvisioning, kFailed, kNoStart},
    {kProvisioning, kDeleting, kRemoved},

    {kStarting, kReady, "Ready."},
    {kStarting, kStopping, kAsked},
    {kStarting, kFailed, kNoStart},
    {kStarting, kDeleting, kRemoved},

    {kReady, kConnected, "Somebody is working in it."},
    {kReady, kIdleWarned, "Nobody has used it for a while; it will stop soon."},
    {kReady, kSuspending, "Being suspended, as asked."},
    {kReady, kStopping, kAsked},
    {kReady, kFailed, kBroke},
    {kReady, kDeleting, kRemoved},

    {kConnected, kReady, "Nobody is connected; its programs run on."},
    {kConnected, kIdleWarned, "Nobody has used it for a while; it will stop soon."},
    {kConnected, kSuspending, "Being suspended, as asked."},
    {kConnected, kStopping, kAsked},
    {kConnected, kFailed, kBroke},
    {kConnected, kDeleting, kRemoved},

    {kIdleWarned, kReady, "In use again."},
    {kIdleWarned, kConnected, "In use again."},
    {kIdleWarned, kSuspending, "Suspended because nobody used it."},
    {kIdleWarned, kStopping, "Stopping because nobody used it."},
    {kIdleWarned, kFailed, kBroke},
    {kIdleWarned, kDeleting, kRemoved},

    {kSuspending, kSuspended, "Suspended. Its programs wait where they were."},
    {kSuspending, kStopping, kAsked},
    {kSuspending, kFailed, "The desktop could not be suspended."},
    {kSuspending, kDeleting, kRemoved},

    {kSuspended, kQueued, "Waiting for a GPU to resume on."},
    {kSuspended, kStopping, kAsked},
    {kSuspended, kFailed, "What was suspended can no longer be resumed."},
    {kSuspended, kDeleting, kRemoved},

    {kStopping, kStopped, "Stopped."},
    {kStopping, kReserved, "Starting again on the same share."},
    {kStopping, kFailed, "The desktop could not be stopped cleanly."},
    {kStopping, kDeleting, kRemoved},

    {kStopped, kQueued, "Waiting for a GPU."},
    {kStopped, kDeleting, kRemoved},

    {kFailed, kQueued, "Waiting for a GPU."},
    {kFailed, kStopping, "Clearing up what is left of it."},
    {kFailed, kDeleting, kRemoved},
};

const DesktopTransition* Find(DesktopState from, DesktopState to) {
  for (const DesktopTransition& step : kTransitions) {
    if (step.from == from && step.to == to) return &step;
  }
  return nullptr;
}

}  // namespace

std::string_view ToString(DesktopState state) {
  return kStates.Of(state);
}
std::optional<DesktopState> ParseDesktopState(std::string_view text) {
  return kStates.Find(text);
}
std::string_view ToString(DesiredState state) {
  return kDesired.Of(state);
}
std::optional<DesiredState> ParseDesiredState(std::string_view text) {
  return kDesired.Find(text);
}
std::string_view ToString(DesktopKind kind) {
  return kKinds.Of(kind);
}
std::optional<DesktopKind> ParseDesktopKind(std::string_view text) {
  return kKinds.Find(text);
}
std::string_view ToString(MessageSender sender) {
  return kSenders.Of(sender);
}
std::optional<MessageSender> ParseMessageSender(std::string_view text) {
  return kSenders.Find(text);
}
std::string_view ToString(LaunchStage stage) {
  return kStages.Of(stage);
}
std::optional<LaunchStage> ParseLaunchStage(std::string_view text) {
  return kStages.Find(text);
}

std::span<const DesktopTransition> DesktopTransitions() {
  return kTransitions;
}

Result<void> Move(Desktop& desktop, DesktopState to, std::string reason, TimePoint now) {
  const DesktopTransition* step = Find(desktop.state, to);
  if (step == nullptr) {
    return Fail(Code::kFailedPrecondition,
                "desktop " + desktop.id.text() + " is " + std::string(ToString(desktop.state)) +
                    " and cannot become " + std::string(ToString(to)));
  }
  desktop.state = to;
  desktop.state_since = now;
  desktop.reason = reason.empty() ? std::string(step->why) : std::move(reason);
  return {};
}

bool IsRunning(DesktopState state) {
  switch (state) {
    case kReserved:
    case kProvisioning:
    case kStarting:
    case kReady:
    case kConnected:
    case kIdleWarned:
    case kSuspending:
    case kStopping:
      return true;
    case kQueued:
    case kSuspended:
    case kStopped:
    case kFailed:
    case kDeleting:
      return false;
  }
  return false;
}

}  // namespace sluice
