// SPDX-License-Identifier: Apache-2.0
#include "control/internal/past_runs.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace sluice::control {
namespace {

// Enough for a range, and recent enough to follow a change of habits.
constexpr size_t kRunsMax = 2'000;

// Which demands count as one: all that decides where they fit.
scheduler::Demand DemandOf(const ClaimRequest& request) {
  ClaimRequest usual = request;
  usual.only.clear();
  return scheduler::ToDemand(usual);
}

}  // namespace

std::string KindOfRun(ClaimOwner owner, const TemplateId& template_id) {
  return owner == ClaimOwner::kRun ? "run" : "desktop:" + template_id.text();
}

void PastRuns::Add(const PastClaim& past) {
  ids_.insert(past.id);
  // One that never held cards says nothing of how long they are held.
  if (past.held_since == TimePoint() || past.ended_at < past.held_since) return;
  runs_.insert_or_assign(past.id,
                         Run{.kind = KindOfRun(past.owner_kind, past.template_id),
                             .lasted = past.ended_at - past.held_since,
                             .request = past.request});
  if (runs_.size() > kRunsMax) runs_.erase(runs_.begin());
}

void PastRuns::Remove(const ClaimId& id) {
  ids_.erase(id);
  runs_.erase(id);
}

std::vector<ClaimId> PastRuns::Beyond(size_t kept, size_t count_max) const {
  std::vector<ClaimId> oldest;
  const size_t more = ids_.size() > kept ? ids_.size() - kept : 0;
  for (const ClaimId& id : ids_) {
    if (oldest.size() == std::min(more, count_max)) break;
    oldest.push_back(id);
  }
  return oldest;
}

scheduler::RunHistory PastRuns::HistoryWith(const std::vector<Running>& running,
                                            TimePoint now) const {
  scheduler::RunHistory history;
  for (const auto& [id, run] : runs_) history.Add(run.kind, {run.lasted});
  for (const Running& one : running) {
    history.Add(one.kind, {.lasted = std::max(now - one.since, Duration(0)), .ended = false});
  }
  history.Close();
  return history;
}

std::vector<scheduler::ExpectedRequest> PastRuns::Asked(size_t kinds_max) const {
  std::map<scheduler::Demand, scheduler::ExpectedRequest> kinds;
  for (const auto& [id, run] : runs_) {
    scheduler::ExpectedRequest& kind = kinds[DemandOf(run.request)];
    if (kind.count++ > 0) continue;
    kind.request = run.request;
    kind.request.only.clear();
    kind.request.priority = 0;
  }
  std::vector<scheduler::ExpectedRequest> asked;
  for (auto& [demand, kind] : kinds) asked.push_back(std::move(kind));
  std::ranges::stable_sort(asked, std::greater(), &scheduler::ExpectedRequest::count);
  asked.resize(std::min(asked.size(), kinds_max));
  return asked;
}

}  // namespace sluice::control
