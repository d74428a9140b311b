// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "base/guarded.h"
#include "control/control.h"
#include "store/codec.h"
#include "store/store.h"

namespace sluice::portal::testing {

// A control that answers what a test has laid out, and remembers what it was told. Thread-safe.
class FakeControl final : public control::Control {
 public:
  explicit FakeControl(store::Store& store) : store_(store) {}

  void SetOffers(std::vector<control::Offer> offers) {
    offers_.With([&](auto& all) { all = std::move(offers); });
  }
  void SetPlace(const ClaimId& claim, std::optional<control::QueuePlace> place) {
    places_.With([&](auto& all) {
      if (place) {
        all[claim] = *place;
      } else {
        all.erase(claim);
      }
    });
  }
  std::optional<control::ViewerReport> LastReport(const DesktopId& desktop) const {
    return reports_.With([&](const auto& all) -> std::optional<control::ViewerReport> {
      const auto found = all.find(desktop);
      if (found == all.end()) return std::nullopt;
      return found->second;
    });
  }

  void Start() override {}
  int RunUntilIdle() override { return 0; }
  void Nudge() override {}
  void ReportViewers(const DesktopId& desktop, const control::ViewerReport& report) override {
    reports_.With([&](auto& all) { all[desktop] = report; });
  }
  std::optional<control::QueuePlace> PlaceInQueue(const ClaimId& claim) override {
    return places_.With([&](const auto& all) -> std::optional<control::QueuePlace> {
      const auto found = all.find(claim);
      if (found == all.end()) return std::nullopt;
      return found->second;
    });
  }
  std::vector<control::Offer> Offers(const control::OfferQuestion&) override {
    return offers_.With([](const auto& all) { return all; });
  }
  Result<control::Explained> Explain(const control::ExplainQuestion& question) override {
    explain_question.With([&](auto& last) { last = question; });
    return explained;
  }
  control::PlacementState Placement() override { return placement; }
  Result<control::PoolTrial> TryPool(const Pool& pool) override {
    tried_pool = pool;
    return pool_trial;
  }
  Result<agent::PreparedShare> StartRun(const ClaimId& claim, uint32_t) override {
    auto stored = store::Read<Claim>(store_, claim.text());
    if (!stored) return Fail(stored.error());
    if (stored->value.phase != ClaimPhase::kReserved) {
      return Fail(Code::kFailedPrecondition, stored->value.reason);
    }
    stored->value.phase = ClaimPhase::kCommitted;
    const store::Write write = store::Put(stored->value, stored->version);
    if (auto done = store_.Commit({&write, 1}); !done) return Fail(done.error());
    agent::PreparedShare prepared;
    prepared.mounts.push_back({"/from", "/run/sluice/policy", false});
    prepared.preload = "/run/sluice/lib/libsluice-cuda.so";
    return prepared;
  }
  Result<void> Release(const ClaimId& claim, const std::string& reason) override {
    auto stored = store::Read<Claim>(store_, claim.text());
    if (!stored) return Fail(stored.error());
    stored->value.phase = ClaimPhase::kReleased;
    stored->value.reason = reason;
    stored->value.allocations.clear();
    const store::Write write = store::Put(stored->value, stored->version);
    if (auto done = store_.Commit({&write, 1}); !done) return Fail(done.error());
    return {};
  }
  Result<void> Resize(const ClaimId& claim, const ClaimRequest& wish) override {
    if (resize_error) return Fail(*resize_error);
    resized = {claim, wish};
    return {};
  }
  std::optional<Error> resize_error;
  Guarded<control::ExplainQuestion> explain_question;  // The last one.
  control::Explained explained;
  control::PlacementState placement;
  Pool tried_pool;
  control::PoolTrial pool_trial;
  std::pair<ClaimId, ClaimRequest> resized;
  Result<control::ConsolidationPlan> Consolidate(const control::ConsolidationWish& wish) override {
    consolidation_wish = wish;
    return consolidation;
  }
  Result<control::ConsolidationPlan> UndoConsolidation(const PoolId&) override {
    return consolidation;
  }
  Result<std::vector<control::MoveNow>> MovesNow(const PoolId&) override { return moves_now; }
  Result<int> RoomFor(const Reservation& reservation) override {
    return std::min(reservation.count, room_max);
  }
  Result<std::vector<control::MoveNow>> moves_now = std::vector<control::MoveNow>();
  int room_max = 1000;
  control::ConsolidationWish consolidation_wish;
  Result<control::ConsolidationPlan> consolidation = control::ConsolidationPlan();
  std::map<LaunchStage, Duration> UsualStageTimes() override {
    return {{LaunchStage::kPlace, Duration(20)}, {LaunchStage::kStartDisplay, Duration(400)}};
  }

 private:
  store::Store& store_;
  Guarded<std::vector<control::Offer>> offers_;
  Guarded<std::map<ClaimId, control::QueuePlace>> places_;
  Guarded<std::map<DesktopId, control::ViewerReport>> reports_;
};

// An agent with cards and shares that a test has laid out. Thread-safe.
class FakeAgent final : public agent::Agent {
 public:
  void SetCards(std::vector<agent::CardState> cards) {
    cards_.With([&](auto& all) { all = std::move(cards); });
  }
  void SetUsage(const ClaimId& claim, agent::ShareUsage usage) {
    usage_.With([&](auto& all) { all[claim] = std::move(usage); });
  }

  Result<std::vector<agent::CardState>> Cards() override {
    return cards_.With([](const auto& all) { return all; });
  }
  Result<agent::PreparedShare> Prepare(const agent::ShareSpec&) override {
    return agent::PreparedShare();
  }
  Result<void> Resize(const ClaimId&, const std::vector<Allocation>&) override { return {}; }
  Result<void> Govern(const ClaimId&, const agent::ShareRules&) override { return {}; }
  std::vector<agent::Bypass> TakeBypasses() override { return {}; }
  Result<void> Release(const ClaimId&) override { return {}; }
  Result<agent::ShareUsage> Usage(const ClaimId& claim) override {
    return usage_.With([&](const auto& all) -> Result<agent::ShareUsage> {
      const auto found = all.find(claim);
      if (found == all.end()) return Fail(Code::kNotFound, "no such share");
      return found->second;
    });
  }
  std::vector<ClaimId> Prepared() override { return {}; }

 private:
  Guarded<std::vector<agent::CardState>> cards_;
  Guarded<std::map<ClaimId, agent::ShareUsage>> usage_;
};

}  // namespace sluice::portal::testing
