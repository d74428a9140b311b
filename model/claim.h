// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/gpu.h"

namespace sluice {

// What somebody asks for. `memory` is per card.
struct ClaimRequest {
  int count = 1;
  Bytes memory;
  ComputeMillis guarantee;  // 0: best effort.
  ComputeMillis cap;        // 0: none.
  // Instead of `guarantee`: as large a part of the card's compute as `memory` is of its memory, as
  // far as that is free.
  bool guarantee_by_memory = false;
  bool whole = false;       // The card for oneself.
  std::string vendor;       // Empty: any.
  std::string gpu_model;    // Empty: any. Compared letter for letter.
  std::vector<GpuId> only;  // Empty: any card.
  int priority = 0;         // Higher first; equal: first come first served.

  friend bool operator==(const ClaimRequest&, const ClaimRequest&) = default;
};

struct Allocation {
  GpuId gpu;
  Bytes memory;
  ComputeMillis guarantee;
  ComputeMillis cap;
  bool whole = false;  // See ClaimRequest.

  friend bool operator==(const Allocation&, const Allocation&) = default;
};

// What the card's row says of the allocation, and the other way.
Share ToShare(const ClaimId& claim, const Allocation& allocation);
Allocation ToAllocation(const GpuId& gpu, const Share& share);

// pending → reserved → committed → released; pending or reserved may end as refused or released. A
// reservation that is taken back (expired, its card went away) returns to pending.
enum class ClaimPhase { kPending, kReserved, kCommitted, kReleased, kRefused };
std::string_view ToString(ClaimPhase phase);
std::optional<ClaimPhase> ParseClaimPhase(std::string_view text);

// Who a claim is for. A desktop is an object; a run is a process on this machine whose death
// releases the claim (pid alone is not enough: pids come back, so the start time is kept too).
enum class ClaimOwner { kDesktop, kRun };
std::string_view ToString(ClaimOwner owner);
std::optional<ClaimOwner> ParseClaimOwner(std::string_view text);

struct Claim {
  ClaimId id;
  ClaimOwner owner_kind = ClaimOwner::kDesktop;
  DesktopId desktop;          // kDesktop.
  int64_t run_pid = 0;        // kRun.
  int64_t run_pid_start = 0;  // kRun: field 22 of /proc/PID/stat.
  std::string run_command;    // kRun: for people; the first words only.
  UserId user;
  TeamId team;             // Of its user when it was made; empty: none.
  TemplateId template_id;  // kDesktop: what the desktop was made from.
  Duration run_for{0};     // It ends by itself so long after it can be used; 0: not known.
  ClaimRequest request;
  // Further parts, each on cards of its own: all are given together, or none.
  std::vector<ClaimRequest> more;
  ClaimPhase phase = ClaimPhase::kPending;
  std::string reason;                   // Always a sentence for a person.
  std::vector<Allocation> allocations;  // Non-empty exactly in reserved and committed.
  TimePoint created_at;
  TimePoint queued_since;
  TimePoint held_since;      // It holds cards since then.
  TimePoint reserved_until;  // A reservation that is not committed by then is taken back.
  TimePoint ends_at;         // When its holder is due to end; 0 unknown. For "next likely in".

  // Its holder was told that it goes on only until then; 0: no such notice. Then it ends for
  // `yields_to` and is queued again, or goes on with `moves_to`. One of the two is set.
  TimePoint notice_until;
  ClaimId yields_to;
  std::vector<Allocation> moves_to;

  // Of a consolidation of its pool: when the plan was made, which names the plan, and where the
  // claim was before, for the way back. 0 and empty: none, or it is on the way back.
  TimePoint plan;
  std::vector<Allocation> moved_from;
};

// What a claim was, kept after its end: how long such claims run, and what the planner replays.
struct PastClaim {
  ClaimId id;
  ClaimOwner owner_kind = ClaimOwner::kDesktop;
  UserId user;
  TeamId team;
  TemplateId template_id;
  DesktopId desktop;  // Empty: of a command, or not known.
  ClaimRequest request;
  std::vector<ClaimRequest> more;
  Duration run_for{0};                  // As it said; 0: nothing.
  std::vector<Allocation> allocations;  // Empty: it never held cards.
  TimePoint queued_since;
  TimePoint held_since;
  TimePoint ended_at;
  Duration idle_for{0};  // A desktop's time from the last input to its end; 0: not known.
  // It ended for another, when its notice was over; its desktop waited again, with a new claim.
  bool gave_way = false;
  std::string reason;  // Why it ended.
};

// Requires: `claim` has not ended.
PastClaim ToPast(const Claim& claim, TimePoint ended_at, std::string reason);

// Whether `from` → `to` is a legal step.
bool CanMove(ClaimPhase from, ClaimPhase to);

}  // namespace sluice
