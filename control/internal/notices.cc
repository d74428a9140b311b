// SPDX-License-Identifier: Apache-2.0
#include "control/internal/notices.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <utility>

#include "scheduler/preempt.h"

namespace sluice::control {
namespace {

constexpr TimePoint kNone{};

// "14:05 UTC".
std::string ClockText(TimePoint time) {
  const auto minutes = std::chrono::floor<std::chrono::minutes>(time.time_since_epoch());
  return fmt::format("{:02}:{:02} UTC", minutes.count() / 60 % 24, minutes.count() % 60);
}

constexpr std::string_view kWillStop =
    "Its share of the GPU is needed for somebody who comes before it.";
constexpr std::string_view kWillMove = "It moves to another GPU:";

std::string NoticeText(const Claim& claim) {
  const std::string at = ClockText(claim.notice_until);
  if (claim.moves_to.empty()) {
    return fmt::format(
        "{} It stops at {} and waits in the queue again; its home is kept. Save your work.",
        kWillStop,
        at);
  }
  return fmt::format(
      "{} at {} it is restarted there, with its home as it is. Save your work.", kWillMove, at);
}

const store::Versioned<Desktop>* DesktopOf(const World& world, const Claim& claim) {
  const auto desktop = world.desktops.find(claim.desktop);
  const bool has = claim.owner_kind == ClaimOwner::kDesktop && desktop != world.desktops.end() &&
                   desktop->second.value.claim == claim.id;
  return has ? &desktop->second : nullptr;
}

// A command would lose its work for good, so it is left alone; so is what ends or was told already.
bool CanBeTold(const World& world, const Claim& claim) {
  const store::Versioned<Desktop>* desktop = DesktopOf(world, claim);
  return desktop != nullptr && Holds(claim) && claim.notice_until == kNone &&
         desktop->value.desired == DesiredState::kRunning && IsRunning(desktop->value.state) &&
         desktop->value.state != DesktopState::kStopping;
}

Pool PoolOfCard(const World& world, const GpuId& id) {
  const auto gpu = world.gpus.find(id);
  if (gpu == world.gpus.end()) return {};
  const auto pool = world.pools.find(gpu->second.value.pool);
  return pool == world.pools.end() ? Pool() : pool->second.value;
}

bool IsPending(const World& world, const ClaimId& id) {
  const auto claim = world.claims.find(id);
  return claim != world.claims.end() && claim->second.value.phase == ClaimPhase::kPending;
}

// Whether the claim can move where it is to, as things stand.
bool CanMove(const QueueRows& rows, const Claim& claim) {
  scheduler::Snapshot without = rows.snapshot;
  for (Gpu& gpu : without.gpus) {
    std::erase_if(gpu.shares, [&](const Share& share) { return share.claim == claim.id; });
    for (const Allocation& held : claim.allocations) {
      if (held.gpu != gpu.id) continue;
      gpu.shares.push_back(ToShare(claim.id, held));
    }
  }
  const scheduler::Relocation move{claim.id, claim.allocations, claim.moves_to};
  const bool same = claim.allocations.front().memory == claim.moves_to.front().memory &&
                    claim.allocations.front().guarantee == claim.moves_to.front().guarantee &&
                    claim.allocations.front().cap == claim.moves_to.front().cap;
  return same && !scheduler::StillPossible(without, {&move, 1}).empty();
}

std::string WhoseDesktop(const World& world, const Claim& claim) {
  const auto user = world.users.find(claim.user);
  const auto desktop = world.desktops.find(claim.desktop);
  return fmt::format(
      "{}'s desktop {}",
      user == world.users.end() ? claim.user.text() : user->second.value.name,
      desktop == world.desktops.end() ? claim.desktop.text() : desktop->second.value.name);
}

std::optional<NoticeStep> TakeBackNeedless(const World& world, const QueueRows& rows) {
  for (const auto& [id, row] : world.claims) {
    const Claim& claim = row.value;
    if (!Holds(claim) || claim.notice_until == kNone) continue;
    const bool yields = claim.moves_to.empty();
    if (yields ? IsPending(world, claim.yields_to) : CanMove(rows, claim)) continue;
    return NoticeStep{
        .writes = TakeNoticeBack(world, claim),
        .notes = {{"desktop.notice_taken_back",
                   claim.desktop.text(),
                   "ok",
                   fmt::format("{} goes on where it is: {}.",
                               WhoseDesktop(world, claim),
                               yields ? "the claim that it was to give way to waits no longer"
                                      : "the card that it was to move to has no room any more")}}};
  }
  return std::nullopt;
}

std::optional<NoticeStep> TellWhoGivesWay(const World& world, const QueueRows& rows) {
  const bool anybody = std::ranges::any_of(rows.holders, [](const scheduler::Holder& one) {
    return one.preempt != PreemptRule::kNever;
  });
  if (!anybody || rows.waiting.empty()) return std::nullopt;
  const scheduler::QueueInput input = rows.Input();
  const auto plan = scheduler::PlanPreemption(input, scheduler::WalkQueue(input));
  if (!plan) return std::nullopt;
  const auto first = world.claims.find(plan->claim);
  if (first == world.claims.end()) return std::nullopt;
  const auto user = world.users.find(first->second.value.user);
  NoticeStep step;
  for (const ClaimId& id : plan->victims) {
    Claim told = world.claims.at(id).value;
    told.notice_until = plan->until;
    told.yields_to = plan->claim;
    for (store::Write& write : GiveNotice(world, told)) step.writes.push_back(std::move(write));
    step.notes.push_back(
        {"desktop.notice",
         told.desktop.text(),
         "ok",
         fmt::format(
             "{} gives way at {} to {}'s claim {}, which is the first in the queue.",
             WhoseDesktop(world, told),
             ClockText(plan->until),
             user == world.users.end() ? first->second.value.user.text() : user->second.value.name,
             plan->claim.text())});
  }
  return step;
}

}  // namespace

scheduler::Holder HolderOf(const World& world, const Claim& claim) {
  scheduler::Holder holder{.claim = claim.id,
                           .team = claim.team,
                           .ends_at = claim.ends_at,
                           .held_since = claim.held_since,
                           .kind = KindOfRun(claim.owner_kind, claim.template_id),
                           .user = claim.user,
                           .priority = claim.request.priority};
  if (!claim.yields_to.empty()) {
    holder.ends_at =
        claim.ends_at == kNone ? claim.notice_until : std::min(claim.ends_at, claim.notice_until);
  }
  if (!CanBeTold(world, claim)) return holder;
  holder.preempt = PreemptRule::kLowerPriority;
  for (const Allocation& part : claim.allocations) {
    const Pool pool = PoolOfCard(world, part.gpu);
    holder.preempt = std::min(holder.preempt, pool.preempt);
    holder.notice = std::max(holder.notice, pool.preempt_notice);
  }
  return holder;
}

void AddComingShares(const World& world, scheduler::Snapshot& snapshot) {
  for (const auto& [id, row] : world.claims) {
    const Claim& claim = row.value;
    if (!Holds(claim)) continue;
    for (const Allocation& part : claim.moves_to) {
      const bool own = std::ranges::find(claim.allocations, part.gpu, &Allocation::gpu) !=
                       claim.allocations.end();
      const auto gpu = std::ranges::find(snapshot.gpus, part.gpu, &Gpu::id);
      if (own || gpu == snapshot.gpus.end()) continue;
      gpu->shares.push_back(ToShare(id, part));
    }
  }
}

std::vector<scheduler::Movable> MovableIn(const World& world) {
  std::vector<scheduler::Movable> movable;
  for (const auto& [id, row] : world.claims) {
    if (!CanBeTold(world, row.value)) continue;
    movable.push_back({id, row.value.user, row.value.request});
  }
  return movable;
}

bool NoticesMatter(const World& world) {
  return std::ranges::any_of(
             world.pools,
             [](const auto& row) { return row.second.value.preempt != PreemptRule::kNever; }) ||
         std::ranges::any_of(
             world.claims, [](const auto& row) { return row.second.value.notice_until != kNone; });
}

std::optional<NoticeStep> NextNoticeStep(const World& world, const QueueRows& rows) {
  if (auto step = TakeBackNeedless(world, rows)) return step;
  return TellWhoGivesWay(world, rows);
}

std::vector<store::Write> GiveNotice(const World& world, const Claim& with_notice) {
  std::vector<store::Write> writes;
  writes.push_back(store::Put(with_notice, world.claims.at(with_notice.id).version));
  if (const auto* desktop = DesktopOf(world, with_notice)) {
    Desktop told = desktop->value;
    told.message = NoticeText(with_notice);
    told.message_from = MessageSender::kSystem;
    writes.push_back(store::Put(told, desktop->version));
  }
  return writes;
}

std::vector<store::Write> TakeNoticeBack(const World& world, const Claim& claim) {
  std::vector<store::Write> writes;
  Claim without = claim;
  without.notice_until = kNone;
  without.yields_to = ClaimId();
  without.moves_to.clear();
  if (without.moved_from.empty()) without.plan = kNone;
  writes.push_back(store::Put(without, world.claims.at(claim.id).version));
  const auto* desktop = DesktopOf(world, claim);
  // An operator's word stays.
  if (desktop != nullptr && IsNotice(desktop->value.message)) {
    Desktop told = desktop->value;
    told.message.clear();
    writes.push_back(store::Put(told, desktop->version));
  }
  return writes;
}

std::vector<store::Write> MoveWrites(const store::Versioned<Claim>& claim, const Gpus& gpus) {
  std::vector<store::Write> writes;
  Claim moved = claim.value;
  moved.notice_until = kNone;
  moved.moves_to.clear();
  size_t found = 0;
  for (const auto& [id, row] : gpus) {
    Gpu gpu = row.value;
    size_t changes = std::erase_if(
        gpu.shares, [&](const Share& share) { return share.claim == claim.value.id; });
    for (const Allocation& part : claim.value.moves_to) {
      if (part.gpu != id || MemoryFree(gpu) < part.memory) continue;
      gpu.shares.push_back(ToShare(claim.value.id, part));
      ++found;
      ++changes;
    }
    if (changes > 0) writes.push_back(store::Put(gpu, row.version));
  }
  if (found == claim.value.moves_to.size()) {
    moved.allocations = claim.value.moves_to;
    moved.moved_from = moved.plan == kNone ? std::vector<Allocation>() : claim.value.allocations;
  } else {
    writes.clear();
    if (moved.moved_from.empty()) moved.plan = kNone;
  }
  writes.push_back(store::Put(moved, claim.version));
  return writes;
}

std::string WhoGivesWayText(const World& world, const ClaimId& first) {
  int count = 0;
  TimePoint at;
  for (const auto& [id, row] : world.claims) {
    if (!Holds(row.value) || row.value.notice_until == kNone || row.value.yields_to != first) {
      continue;
    }
    ++count;
    at = std::max(at, row.value.notice_until);
  }
  if (count == 0) return "";
  return fmt::format(
      "; {} to it at {}",
      count == 1 ? "1 desktop gives way" : fmt::format("{} desktops give way", count),
      ClockText(at));
}

bool IsNotice(std::string_view message) {
  return message.starts_with(kWillStop) || message.starts_with(kWillMove);
}

std::string GaveWayText() {
  return "It gave its share of the GPU to somebody who comes before it. It starts again by itself "
         "when there is room; its home is as it was.";
}

}  // namespace sluice::control
