// SPDX-License-Identifier: Apache-2.0
#include "control/internal/testing/house.h"

#include <map>
#include <utility>

#include "base/check.h"

namespace sluice::control::testing {

Result<uint64_t> FaultyStore::Commit(std::span<const store::Write> writes) {
  const Fault what = fault();
  if (what == Fault::kBefore) return Fail(Code::kUnavailable, "cut off before the commit");
  auto done = real_.Commit(writes);
  if (what == Fault::kAfter) return Fail(Code::kUnavailable, "cut off after the commit");
  return done;
}

House::House(uint64_t seed) : random(seed), real_store(store::OpenMemory()), store(*real_store) {
  RestartControl();
}

void House::RestartControl() {
  control_.reset();
  control_ = std::make_unique<Controller>(
      Partners{store, node.agent(), node.runtime(), audit, clock},
      Options{},
      Surroundings{.run_alive = [this](int64_t pid, int64_t) { return living_pids.contains(pid); },
                   .random = random,
                   .worker_threads = 0});
}

int House::Run() {
  int steps = 0;
  for (int idle_looks = 0; idle_looks < 4;) {
    const int more = control_->RunUntilIdle();
    steps += more;
    idle_looks = more == 0 ? idle_looks + 1 : 0;
  }
  return steps;
}

void House::Wait(Duration time, Duration step) {
  for (Duration passed{0}; passed < time; passed += step) {
    clock.Advance(step);
    Run();
  }
}

DesktopId House::AddDesktop(const std::string& name, Bytes memory) {
  Desktop desktop;
  desktop.id = DesktopId(NewIdText("dsk", clock.Now(), random));
  desktop.name = name;
  desktop.owner = UserId("usr_1");
  desktop.template_id = TemplateId("compile");
  desktop.request.memory = memory;
  desktop.reason = "Waiting for a GPU.";
  desktop.created_at = clock.Now();
  desktop.state_since = clock.Now();
  SLUICE_CHECK(real_store->Commit(std::vector{store::Put(desktop, 0)}).has_value());
  return desktop.id;
}

ClaimId House::AddRun(int64_t pid, Bytes memory) {
  Claim claim;
  claim.id = ClaimId(NewIdText("clm", clock.Now(), random));
  claim.owner_kind = ClaimOwner::kRun;
  claim.run_pid = pid;
  claim.run_pid_start = 7;
  claim.run_command = "python train.py";
  claim.user = UserId("usr_1");
  claim.request.memory = memory;
  claim.reason = "Waiting for a GPU.";
  claim.created_at = clock.Now();
  claim.queued_since = clock.Now();
  living_pids.insert(pid);
  SLUICE_CHECK(real_store->Commit(std::vector{store::Put(claim, 0)}).has_value());
  return claim.id;
}

void House::Change(const DesktopId& id, const std::function<void(Desktop&)>& change) {
  auto row = store::Read<Desktop>(*real_store, id.text());
  SLUICE_CHECK(row.has_value());
  change(row->value);
  SLUICE_CHECK(real_store->Commit(std::vector{store::Put(row->value, row->version)}).has_value());
}

void House::Wish(const DesktopId& id, DesiredState desired) {
  Change(id, [desired](Desktop& desktop) { desktop.desired = desired; });
}

void House::Restart(const DesktopId& id) {
  Change(id, [](Desktop& desktop) { ++desktop.restart_generation; });
}

Desktop House::Get(const DesktopId& id) {
  auto row = store::Read<Desktop>(*real_store, id.text());
  SLUICE_CHECK(row.has_value());
  return row->value;
}

std::optional<Claim> House::GetClaim(const ClaimId& id) {
  auto row = store::Read<Claim>(*real_store, id.text());
  if (!row) return std::nullopt;
  return row->value;
}

bool House::Exists(const DesktopId& id) {
  return store::Read<Desktop>(*real_store, id.text()).has_value();
}

std::vector<Desktop> House::AllDesktops() {
  std::vector<Desktop> all;
  auto rows = store::ReadAll<Desktop>(*real_store);
  SLUICE_CHECK(rows.has_value());
  for (auto& row : *rows) all.push_back(std::move(row.value));
  return all;
}

std::vector<Claim> House::AllClaims() {
  std::vector<Claim> all;
  auto rows = store::ReadAll<Claim>(*real_store);
  SLUICE_CHECK(rows.has_value());
  for (auto& row : *rows) all.push_back(std::move(row.value));
  return all;
}

Gpu House::GetGpu(const std::string& id) {
  auto row = store::Read<Gpu>(*real_store, id);
  SLUICE_CHECK(row.has_value());
  return row->value;
}

namespace {

// The shares that the claims say they hold, and those that the cards say they gave, as text.
std::multiset<std::string> SharesByClaims(const std::vector<Claim>& claims) {
  std::multiset<std::string> shares;
  for (const Claim& claim : claims) {
    for (const Allocation& allocation : claim.allocations) {
      shares.insert(allocation.gpu.text() + " " + claim.id.text() + " " +
                    ToText(allocation.memory));
    }
  }
  return shares;
}

std::multiset<std::string> SharesByCards(const std::vector<store::Versioned<Gpu>>& gpus) {
  std::multiset<std::string> shares;
  for (const auto& row : gpus) {
    for (const Share& share : row.value.shares) {
      shares.insert(row.value.id.text() + " " + share.claim.text() + " " + ToText(share.memory));
    }
  }
  return shares;
}

}  // namespace

std::string House::Broken() {
  const auto gpus = store::ReadAll<Gpu>(*real_store);
  SLUICE_CHECK(gpus.has_value());
  const std::vector<Claim> claims = AllClaims();
  for (const auto& row : *gpus) {
    if (MemoryHeld(row.value) > row.value.memory) {
      return "more is promised than card " + row.value.id.text() + " has";
    }
  }
  if (SharesByClaims(claims) != SharesByCards(*gpus)) return "claims and cards disagree";
  std::map<ClaimId, const Claim*> by_id;
  std::set<DesktopId> owners;
  for (const Claim& claim : claims) {
    by_id[claim.id] = &claim;
    if (Holds(claim) != !claim.allocations.empty()) return "phase and allocations disagree";
    if (claim.reason.empty()) return "a claim has no reason";
    if (Holds(claim) && claim.owner_kind == ClaimOwner::kDesktop &&
        !owners.insert(claim.desktop).second) {
      return "desktop " + claim.desktop.text() + " holds two claims";
    }
  }
  for (const Desktop& desktop : AllDesktops()) {
    if (desktop.reason.empty()) return "a desktop has no reason";
  }
  // What runs has its region, and a region's memory is held by its claim.
  for (const auto& [id, box] : node.boxes) {
    const bool runs = box.phase == runtime::Phase::kStarting ||
                      box.phase == runtime::Phase::kDisplayUp ||
                      box.phase == runtime::Phase::kRunning;
    if (!runs) continue;
    if (!node.regions.contains(box.claim)) return id.text() + " runs without its region";
    const auto claim = by_id.find(box.claim);
    if (claim == by_id.end() || !Holds(*claim->second)) {
      return id.text() + " runs on memory that is free for others";
    }
  }
  return {};
}

}  // namespace sluice::control::testing
