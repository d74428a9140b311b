// SPDX-License-Identifier: Apache-2.0
#include "sim/timed.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <queue>
#include <tuple>
#include <utility>
#include <variant>

#include "sim/internal/timed_figures.h"

namespace sluice::sim {
namespace {

using scheduler::Holder;
using scheduler::Placed;
using scheduler::Waiting;

// As many as control keeps of each: enough for a range, and recent enough to follow habits.
constexpr size_t kRunsRemembered = 2'000;

// How long claims have run until now.
class Past {
 public:
  void Ended(const std::string& kind, Duration lasted) {
    runs_.emplace_back(kind, lasted);
    if (runs_.size() > kRunsRemembered) runs_.pop_front();
  }

  scheduler::RunHistory With(std::span<const Holder> holders, TimePoint now) const {
    scheduler::RunHistory history;
    for (const auto& [kind, lasted] : runs_) history.Add(kind, {.lasted = lasted});
    for (const Holder& one : holders) {
      history.Add(one.kind, {.lasted = now - one.held_since, .ended = false});
    }
    history.Close();
    return history;
  }

 private:
  std::deque<std::pair<std::string, Duration>> runs_;
};

class Run {
 public:
  Run(std::span<const Gpu> fleet,
      std::span<const Team> teams,
      std::span<const TimedClaim> claims,
      const TimedOptions& options)
      : teams_(teams),
        claims_(claims),
        options_(options),
        order_(claims.size()),
        worth_(fleet),
        figures_(worth_.Fleet()) {
    fleet_.gpus.assign(fleet.begin(), fleet.end());
    fleet_.rules = options.placement;
    for (size_t i = 0; i < fleet_.gpus.size(); ++i) {
      fleet_.gpus[i].shares.clear();
      card_of_[fleet_.gpus[i].id] = i;
    }
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::ranges::sort(
        order_, {}, [&](size_t i) { return std::tie(claims[i].arrives, claims[i].id); });
    for (size_t i = 0; i < claims.size(); ++i) claim_of_[claims[i].id] = i;
    result_.outcomes.resize(claims.size());
    estimates_.resize(claims.size());
  }

  TimedResult Play() {
    while (!result_.cut_short && (next_ < order_.size() || !ends_.empty())) {
      const TimePoint now = NextMoment();
      figures_.Until(now, waiting_worth_);
      now_ = now;
      while (!ends_.empty() && std::get<0>(ends_.top()) == now_) {
        End(std::get<1>(ends_.top()));
        ends_.pop();
      }
      const size_t first = next_;
      while (next_ < order_.size() && claims_[order_[next_]].arrives == now_)
        Arrive(order_[next_++]);
      options_.discipline == Discipline::kFifo ? ServeInOrder() : ServeByQueue();
      Estimate(first, next_);
      result_.longest_queue =
          std::max(result_.longest_queue, static_cast<int64_t>(waiting_.size()));
      course_.Add(now_, waiting_.size(), figures_.held());
      if (options_.on_state) options_.on_state({now_, fleet_.gpus, waiting_});
      if (options_.on_progress && next_ > first) options_.on_progress(next_, order_.size());
    }
    return Finish();
  }

 private:
  using EndAt = std::pair<TimePoint, size_t>;  // Of a claim.

  TimePoint NextMoment() const {
    if (ends_.empty()) return claims_[order_[next_]].arrives;
    const TimePoint end = ends_.top().first;
    return next_ < order_.size() ? std::min(end, claims_[order_[next_]].arrives) : end;
  }

  void Arrive(size_t i) {
    const TimedClaim& claim = claims_[i];
    waiting_.push_back({.id = claim.id,
                        .request = claim.request,
                        .queued_since = claim.arrives,
                        .team = claim.team,
                        .run_for = claim.says_so ? claim.runs : Duration(0),
                        .kind = claim.kind});
    waiting_worth_.push_back(worth_.Asked(claim.request));
    figures_.Arrived();
  }

  void Begin(size_t i, const Placed& placed) {
    const TimedClaim& claim = claims_[i];
    for (const Allocation& a : placed.allocations) {
      fleet_.gpus[card_of_.at(a.gpu)].shares.push_back(ToShare(claim.id, a));
    }
    const TimePoint end = now_ + claim.runs;
    holders_.push_back({.claim = claim.id,
                        .team = claim.team,
                        .ends_at = claim.says_so ? end : TimePoint(),
                        .held_since = now_,
                        .kind = claim.kind});
    ends_.emplace(end, i);
    TimedOutcome& outcome = result_.outcomes[i];
    outcome.started = now_;
    outcome.allocations = placed.allocations;
    figures_.Begins(worth_.Held(placed.allocations), claim.runs);
  }

  void End(size_t i) {
    const TimedClaim& claim = claims_[i];
    const std::vector<Allocation>& held = result_.outcomes[i].allocations;
    for (const Allocation& a : held) {
      std::erase_if(fleet_.gpus[card_of_.at(a.gpu)].shares,
                    [&](const Share& share) { return share.claim == claim.id; });
    }
    std::erase_if(holders_, [&](const Holder& holder) { return holder.claim == claim.id; });
    figures_.Ends(worth_.Held(held));
    past_.Ended(claim.kind, claim.runs);
  }

  // What has been decided leaves the queue.
  void Settle(const ClaimId& id, const scheduler::Decision& decision) {
    const size_t i = claim_of_.at(id);
    if (const auto* placed = std::get_if<Placed>(&decision)) Begin(i, *placed);
    if (const auto* never = std::get_if<scheduler::Never>(&decision)) {
      result_.outcomes[i].refused = never->reason;
    }
    const auto one = std::ranges::find(waiting_, id, &Waiting::id);
    waiting_worth_.erase(waiting_worth_.begin() + (one - waiting_.begin()));
    waiting_.erase(one);
  }

  void ServeInOrder() {
    while (!waiting_.empty()) {
      const scheduler::Decision decision = scheduler::Decide(fleet_, waiting_.front().request);
      if (std::holds_alternative<scheduler::WaitFor>(decision)) return;
      Settle(ClaimId(waiting_.front().id), decision);
    }
  }

  scheduler::QueueInput Input() const {
    return {.snapshot = fleet_,
            .waiting = waiting_,
            .holders = holders_,
            .teams = teams_,
            .now = now_,
            .rules = options_.rules};
  }

  void ServeByQueue() {
    if (waiting_.empty()) return;
    looks_ += static_cast<int64_t>(waiting_.size() * fleet_.gpus.size());
    if (options_.looks_max > 0 && looks_ > options_.looks_max) {
      result_.cut_short = true;
      return;
    }
    for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(Input())) {
      if (!std::holds_alternative<scheduler::WaitFor>(answer.decision)) {
        Settle(answer.id, answer.decision);
      }
    }
  }

  // Of the arrivals with these numbers, those that are asked about and wait still.
  void Estimate(size_t first, size_t last) {
    if (options_.estimate_every <= 0) return;
    std::vector<size_t> asked;
    for (size_t number = first; number < last; ++number) {
      const bool chosen = number % static_cast<size_t>(options_.estimate_every) == 0;
      const size_t i = order_[number];
      if (chosen && std::ranges::find(waiting_, claims_[i].id, &Waiting::id) != waiting_.end()) {
        asked.push_back(i);
      }
    }
    if (asked.empty()) return;
    const auto ranges =
        scheduler::EstimateStarts(Input(), past_.With(holders_, now_), options_.estimates);
    for (const size_t i : asked) {
      const auto range = ranges.find(claims_[i].id);
      estimates_[i] = range == ranges.end() ? scheduler::Estimate{} : range->second;
    }
  }

  TimedResult Finish() {
    std::map<std::string, std::vector<Duration>> by_size;
    std::vector<Duration> all;
    RangeTally ranges;
    for (size_t i = 0; i < claims_.size(); ++i) {
      const TimedOutcome& outcome = result_.outcomes[i];
      if (!outcome.refused.empty()) ++result_.refused;
      if (!outcome.started) continue;
      const Duration waited = *outcome.started - claims_[i].arrives;
      all.push_back(waited);
      by_size[claims_[i].size].push_back(waited);
      if (estimates_[i]) ranges.Add(*estimates_[i], *outcome.started);
    }
    result_.claims = static_cast<int64_t>(claims_.size());
    result_.starts = static_cast<int64_t>(all.size());
    result_.wait = FiguresOf(std::move(all));
    for (auto& [size, waits] : by_size) result_.wait_by_size[size] = FiguresOf(std::move(waits));
    result_.ranges = ranges.Figures();
    result_.points = course_.Points(worth_.Fleet());
    figures_.Fill(result_);
    return std::move(result_);
  }

  std::span<const Team> teams_;
  std::span<const TimedClaim> claims_;
  const TimedOptions& options_;
  std::vector<size_t> order_;  // Claims as they come.
  Worth worth_;
  scheduler::Snapshot fleet_;
  std::map<GpuId, size_t> card_of_;
  std::map<ClaimId, size_t> claim_of_;
  size_t next_ = 0;
  int64_t looks_ = 0;
  TimePoint now_;
  std::vector<Waiting> waiting_;        // As they came.
  std::vector<int64_t> waiting_worth_;  // Beside it.
  std::vector<Holder> holders_;
  std::priority_queue<EndAt, std::vector<EndAt>, std::greater<>> ends_;
  std::vector<std::optional<scheduler::Estimate>> estimates_;  // By claim; those asked about.
  Past past_;
  TimeTally figures_;
  Course course_;
  TimedResult result_;
};

}  // namespace

std::string_view ToString(Discipline discipline) {
  return discipline == Discipline::kFifo ? "fifo" : "queue";
}

TimedResult ReplayTimed(std::span<const Gpu> fleet,
                        std::span<const Team> teams,
                        std::span<const TimedClaim> claims,
                        const TimedOptions& options) {
  return Run(fleet, teams, claims, options).Play();
}

}  // namespace sluice::sim
