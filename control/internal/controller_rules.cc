// SPDX-License-Identifier: Apache-2.0
// What the pools say of their shares is handed to the agent, and what the agent did by it is told
// to those whom it concerns.
#include <fmt/format.h>

#include "base/log.h"
#include "control/internal/controller.h"
#include "control/internal/share_rules.h"

namespace sluice::control {
namespace {

Pool PoolOf(const World& world, const Claim& claim) {
  const auto gpu = world.gpus.find(claim.allocations.front().gpu);
  if (gpu == world.gpus.end()) return {};
  const auto pool = world.pools.find(gpu->second.value.pool);
  return pool == world.pools.end() ? Pool() : pool->second.value;
}

std::string WhatItHolds(const agent::Bypass& bypass) {
  return fmt::format(
      "The program \"{}\" (process {} of the host) holds {} of {}, {} of it round the "
      "share's ledger",
      bypass.command,
      bypass.host_pid,
      ToText(bypass.memory),
      bypass.gpu.text(),
      ToText(bypass.unseen));
}

// What the desktop's user reads; empty: what stands there has had its time.
std::string MessageOf(const agent::Bypass& bypass) {
  const std::string held =
      fmt::format("\"{}\" holds {} of the GPU in a way that this desktop's share does not see.",
                  bypass.command,
                  ToText(bypass.unseen));
  switch (bypass.step) {
    case agent::BypassStep::kWarned:
      return held + " It is counted as this desktop's.";
    case agent::BypassStep::kThrottled:
      return held + " Until it ends, all work of this desktop on the GPU is slowed down.";
    case agent::BypassStep::kAsked:
      return held + " It was asked to end.";
    case agent::BypassStep::kKilled:
      return held + " It did not end when asked to, and was killed.";
    case agent::BypassStep::kEnded:
      break;
  }
  return "";
}

}  // namespace

int Controller::StepRules() {
  int steps = 0;
  const World& world = follower_.world();
  std::erase_if(governed_, [&](const auto& entry) { return !world.claims.contains(entry.first); });
  for (const auto& [id, row] : world.claims) {
    if (!Holds(row.value)) continue;
    const agent::ShareRules rules = RulesIn(PoolOf(world, row.value), row.value);
    agent::ShareRules& known = governed_[id];
    if (known == rules) continue;
    // One that is not prepared yet will be, with them.
    const auto done = partners_.agent.Govern(id, rules);
    if (!done && done.error().code != Code::kNotFound) continue;
    known = rules;
    ++steps;
  }
  return steps;
}

int Controller::StepBypasses() {
  for (const agent::Bypass& bypass : partners_.agent.TakeBypasses()) TellBypass(bypass);
  int steps = 0;
  for (auto at = messages_.begin(); at != messages_.end();) {
    const auto row = follower_.world().desktops.find(at->first);
    bool done = row == follower_.world().desktops.end();
    if (!done) {
      Desktop told = row->second.value;
      const uint64_t version = row->second.version;
      // An operator's word is not taken back.
      const bool ours = told.message == at->second.before;
      if (at->second.text.empty() && !ours) {
        done = true;
      } else {
        told.message = at->second.text;
        told.message_from = MessageSender::kSystem;
        done = Commit({store::Put(told, version)}, "a message to " + at->first.text());
        ++steps;
      }
    }
    at = done ? messages_.erase(at) : std::next(at);
  }
  return steps;
}

void Controller::TellBypass(const agent::Bypass& bypass) {
  const auto row = follower_.world().claims.find(bypass.claim);
  if (row == follower_.world().claims.end()) return;
  const Claim& claim = row->second.value;
  const auto user = store::Read<User>(partners_.store, claim.user.text());
  const std::string whose = user ? user->value.name : claim.user.text();
  const auto desktop = follower_.world().desktops.find(claim.desktop);
  const bool is_desktop = desktop != follower_.world().desktops.end();
  Note("share.bypass",
       is_desktop ? claim.desktop.text() : claim.id.text(),
       fmt::format(
           "{}'s {}. {}: {} (rule: {}).",
           whose,
           is_desktop ? "desktop " + desktop->second.value.name : "command " + claim.run_command,
           WhatItHolds(bypass),
           ToString(bypass.step),
           ToString(bypass.rule)));
  if (!is_desktop) return;
  const bool killed = bypass.step == agent::BypassStep::kEnded && bypass.rule == BypassRule::kEnd;
  if (killed) return;  // What was said stays true.
  std::string& said = said_[claim.desktop];
  messages_[claim.desktop] = {.text = MessageOf(bypass), .before = said};
  said = messages_[claim.desktop].text;
}

}  // namespace sluice::control
