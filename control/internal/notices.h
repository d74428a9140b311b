// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/control.h"
#include "control/internal/claim_steps.h"
#include "control/internal/world.h"
#include "scheduler/consolidate.h"
#include "scheduler/queue.h"

// Pure: who is told ahead that a desktop of theirs will give way or move, and what comes of it. A
// notice is part of the claim's row; the desktop's message says the same to its user.
namespace sluice::control {

// A claim that holds cards, as the queue sees it: due by its own time or by a notice, and to be
// ended before that as far as the pools of its cards let it.
scheduler::Holder HolderOf(const World& world, const Claim& claim);

// Where claims are to move is theirs already, so that nobody else is placed there.
void AddComingShares(const World& world, scheduler::Snapshot& snapshot);

// The claims of desktops that run, have no notice and may be moved.
std::vector<scheduler::Movable> MovableIn(const World& world);

// One transaction and what the audit log is told of it.
struct NoticeStep {
  std::vector<store::Write> writes;
  std::vector<AuditNote> notes;
};

// False: nobody has a notice, and no pool lets one be given.
bool NoticesMatter(const World& world);

// Takes back a notice that nobody needs any more; else gives one to those who are to give way to
// the first in the queue. Empty: there is nothing to do. Requires: `rows` are of this world.
std::optional<NoticeStep> NextNoticeStep(const World& world, const QueueRows& rows);

// The claim with the notice, and its desktop with the message.
std::vector<store::Write> GiveNotice(const World& world, const Claim& with_notice);
// Both without them.
std::vector<store::Write> TakeNoticeBack(const World& world, const Claim& claim);

// The desktop's processes have ended: its claim goes over to the cards that it was to move to, or
// stays where it is if there is no room any more. In both cases its notice is over.
std::vector<store::Write> MoveWrites(const store::Versioned<Claim>& claim, const Gpus& gpus);

// "; 2 desktops give way to it at 14:05 UTC", to be put behind why it waits. Empty: nobody does.
std::string WhoGivesWayText(const World& world, const ClaimId& first);

// Whether a desktop's message is what its user reads while a notice runs.
bool IsNotice(std::string_view message);
// What its user reads once it has given way, until it is ready again.
std::string GaveWayText();

}  // namespace sluice::control
