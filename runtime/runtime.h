// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

// Turns a desktop and its share into something that runs. Siblings: sandbox/ and fake/; both pass
// runtime/conformance.h.
namespace sluice::runtime {

struct LaunchSpec {
  DesktopId desktop;
  std::string name;  // The window title of the session, cleaned.
  UserId owner;
  std::string user_name;  // Login name inside.
  std::string home_id;    // Names the home folder; the same id, the same home.
  int width = 1280;
  int height = 800;
  std::string keyboard_layout = "us";
  std::vector<std::string> autostart;         // Commands after the panel.
  int cpu_percent_max = 0;                    // Of one core; 0: no limit.
  Bytes memory_max;                           // Main memory; 0: no limit.
  bool network = true;                        // Outbound, through the user-space stack.
  std::optional<agent::PreparedShare> share;  // None: a desktop without a GPU.
};

// Checks everything that ends up in a file, a path or an argument, as every Prepare does. Fails
// with kInvalidArgument and the field.
Result<void> CheckSpec(const LaunchSpec& spec);

enum class Phase {
  kAbsent,     // Nothing known, or removed.
  kPrepared,   // Home and files are there; nothing runs.
  kStarting,   // The supervisor runs; the display does not answer yet.
  kDisplayUp,  // The display answers; nothing has been painted.
  kRunning,    // A first frame was painted.
  kExited,     // It ran and ended by itself or was killed; see `reason`.
};
std::string_view ToString(Phase phase);

struct Status {
  Phase phase = Phase::kAbsent;
  std::string reason;           // For kExited: what ended it, for a person.
  std::string limits_in_force;  // "cgroup v2", "cgroup v1", "rlimits".
  std::string network;          // "outbound", or "none" with the reason: "none: … is missing".
  int64_t supervisor_pid = 0;   // Host pid; 0 when nothing runs.
  TimePoint started_at;
};

// Where the display is served.
struct Attachment {
  std::string rfb_socket;  // A unix stream socket that speaks RFB 3.8 with security type None.
};

// Thread-safe. All calls are idempotent, bounded in time, and may be repeated after a crash at any
// point; what Start has started outlives the process that called it.
class Runtime {
 public:
  virtual ~Runtime() = default;

  // The host user as whom the desktop with this home will run: what agent::ShareSpec::tenant_uid
  // wants. The same home, the same user, also after a restart. Ask before the share is prepared.
  // Fails with kResourceExhausted when every user of the range is taken.
  virtual Result<uint32_t> TenantUid(const std::string& home_id) = 0;

  // Makes the home (first time) and everything else that Start needs. Of a desktop that runs,
  // nothing is changed. Fails with kInvalidArgument as CheckSpec does, kFailedPrecondition and the
  // command to install it when a host program is missing, kResourceExhausted when the disk is full.
  virtual Result<void> Prepare(const LaunchSpec& spec) = 0;

  // Starts the prepared desktop; returns when its supervisor runs, before the display is up.
  // Fails with kFailedPrecondition when not prepared. Starting what runs succeeds.
  virtual Result<void> Start(const DesktopId& desktop) = 0;

  // Ends the whole process tree: first asked, after `grace` killed. Stopping what does not run
  // succeeds. The home stays.
  virtual Result<void> Stop(const DesktopId& desktop, Duration grace) = 0;

  // Never fails for an unknown desktop: its phase is kAbsent.
  virtual Result<Status> GetStatus(const DesktopId& desktop) = 0;

  // Fails with kFailedPrecondition before the display is up.
  virtual Result<Attachment> Attach(const DesktopId& desktop) = 0;

  // Removes everything but the home, and the home too unless it is kept. Stops first if needed. Of
  // a desktop that was not prepared since the machine started, the home is the one with its own id.
  virtual Result<void> Remove(const DesktopId& desktop, bool keep_home) = 0;

  // Desktops that have anything on this machine: what a restarted control adopts or removes.
  virtual std::vector<DesktopId> List() = 0;
};

}  // namespace sluice::runtime
