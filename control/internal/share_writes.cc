// SPDX-License-Identifier: Apache-2.0
#include "control/internal/share_writes.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>
#include <vector>

#include "control/internal/claim_steps.h"
#include "control/internal/share_rules.h"
#include "store/codec.h"

namespace sluice::control {
namespace {

// Somebody else's commit can come between reading and writing; that often in a row it cannot.
constexpr int kAttempts = 16;

Result<Gpus> ReadGpus(store::Store& store) {
  auto rows = store::ReadAll<Gpu>(store);
  if (!rows) return Fail(rows.error());
  Gpus gpus;
  for (store::Versioned<Gpu>& row : *rows) {
    const GpuId id = row.value.id;
    gpus.emplace(id, std::move(row));
  }
  return gpus;
}

bool Ended(const Claim& claim) {
  return claim.phase == ClaimPhase::kReleased || claim.phase == ClaimPhase::kRefused;
}

Result<Template> TemplateOf(store::Store& store, const TemplateId& id) {
  auto row = store::Read<Template>(store, id.text());
  if (row) return std::move(row->value);
  for (Template& built_in : BuiltInTemplates()) {
    if (built_in.id == id) return std::move(built_in);
  }
  return Fail(Code::kFailedPrecondition,
              fmt::format("Its template \"{}\" is no longer there", id.text()));
}

}  // namespace

Result<void> EndClaim(store::Store& store,
                      agent::Agent& agent,
                      const ClaimId& id,
                      const ClaimEnd& end) {
  Error last;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto row = store::Read<Claim>(store, id.text());
    if (!row) return Fail(row.error());
    if (Ended(row->value)) return {};
    if (Holds(row->value)) {
      if (const auto released = agent.Release(id); !released) return Fail(released.error());
    }
    const auto gpus = ReadGpus(store);
    if (!gpus) return Fail(gpus.error());
    ClaimEnd with_idle = end;
    const auto desktop = store::Read<Desktop>(store, row->value.desktop.text());
    if (desktop && Holds(row->value)) with_idle.idle_for = IdleFor(desktop->value, end.at);
    const auto done = store.Commit(EndWrites(*row, with_idle, *gpus));
    if (done) return {};
    if (done.error().code != Code::kAborted) return Fail(done.error());
    last = done.error();
  }
  return Fail(std::move(last));
}

Result<agent::PreparedShare> StartRunClaim(store::Store& store,
                                           agent::Agent& agent,
                                           const ClaimId& id,
                                           uint32_t tenant_uid) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto row = store::Read<Claim>(store, id.text());
    if (!row) return Fail(row.error());
    if (row->value.owner_kind != ClaimOwner::kRun || !Holds(row->value)) {
      // It may have ended after our Prepare of the round before.
      if (attempt > 0 && Ended(row->value)) {
        if (const auto released = agent.Release(id); !released) return Fail(released.error());
      }
      return Fail(Code::kFailedPrecondition, row->value.reason);
    }
    auto share = agent.Prepare({.claim = id,
                                .label = row->value.run_command,
                                .allocations = row->value.allocations,
                                .tenant_uid = tenant_uid,
                                .rules = RulesOf(store, row->value)});
    if (!share) return share;
    if (row->value.phase == ClaimPhase::kCommitted) {
      // It may have been resized since the row was read.
      if (auto enforced = EnforceRows(store, agent, id); !enforced) return Fail(enforced.error());
      return share;
    }
    Claim committed = row->value;
    committed.phase = ClaimPhase::kCommitted;
    committed.reason = "In use.";
    const auto done = store.Commit(std::vector{store::Put(committed, row->version)});
    if (done) return share;
    if (done.error().code != Code::kAborted) return Fail(done.error());
  }
  // The claim ended under our hands, again and again: leave no region behind.
  if (const auto released = agent.Release(id); !released) return Fail(released.error());
  return Fail(Code::kAborted, "claim " + id.text() + " changes too fast; try again");
}

Result<void> PrepareDesktop(store::Store& store,
                            agent::Agent& agent,
                            runtime::Runtime& runtime,
                            const Desktop& desktop) {
  const auto claim = store::Read<Claim>(store, desktop.claim.text());
  if (!claim) return Fail(claim.error());
  if (!Holds(claim->value)) return Fail(Code::kFailedPrecondition, claim->value.reason);
  auto made_from = TemplateOf(store, desktop.template_id);
  if (!made_from) return Fail(made_from.error());
  const auto user = store::Read<User>(store, desktop.owner.text());
  const std::string user_name = user ? user->value.name : "user";
  const std::string home = desktop.id.text();
  const auto tenant_uid = runtime.TenantUid(home);
  if (!tenant_uid) return Fail(tenant_uid.error());
  auto share = agent.Prepare({.claim = desktop.claim,
                              .label = fmt::format("{} of {}", desktop.name, user_name),
                              .allocations = claim->value.allocations,
                              .tenant_uid = *tenant_uid,
                              .rules = RulesOf(store, claim->value)});
  if (!share) return Fail(share.error());
  // It may have been resized since the row was read.
  if (auto enforced = EnforceRows(store, agent, desktop.claim); !enforced) {
    return Fail(enforced.error());
  }
  runtime::LaunchSpec spec;
  spec.desktop = desktop.id;
  spec.name = desktop.name;
  spec.owner = desktop.owner;
  spec.user_name = user_name;
  spec.home_id = home;
  if (!desktop.keyboard_layout.empty()) spec.keyboard_layout = desktop.keyboard_layout;
  spec.autostart = std::move(made_from->autostart);
  spec.share = std::move(*share);
  return runtime.Prepare(spec);
}

}  // namespace sluice::control
