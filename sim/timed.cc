// SPDX-License-Identifier: Apache-2.0
#include "sim/timed.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <queue>
#include <set>
#include <tuple>
#include <utility>
#include <variant>

#include "scheduler/preempt.h"
#include "scheduler/rescue_plan.h"
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
        times_(claims.size()),
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
    for (size_t i = 0; i < claims.size(); ++i) {
      claim_of_[claims[i].id] = i;
      times_[i].left = claims[i].runs;
    }
    for (const Reservation& one : options.reservations) {
      for (const TimePoint at : {one.starts_at, one.ends_at, one.removed_at}) {
        if (!order_.empty() && at > claims[order_.front()].arrives) changes_.insert(at);
      }
    }
    for (const Pool& pool : options.pools) pools_[pool.id] = &pool;
    result_.outcomes.resize(claims.size());
    estimates_.resize(claims.size());
  }

  TimedResult Play() {
    while (!result_.cut_short && SomethingIsToCome()) {
      const TimePoint now = NextMoment();
      figures_.Until(now, waiting_worth_);
      now_ = now;
      KnowReservations();
      while (!ends_.empty() && std::get<0>(ends_.top()) == now_) {
        const auto [at, i] = ends_.top();
        ends_.pop();
        if (times_[i].due == at) End(i);
      }
      const size_t first = next_;
      while (next_ < order_.size() && claims_[order_[next_]].arrives == now_)
        Arrive(order_[next_++]);
      Serve();
      if (!again_.empty()) {  // Who has given way waits again once it has been served what is free.
        for (const size_t i : again_) Enqueue(i);
        again_.clear();
        Serve();
      }
      TellWhoGivesWay();
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

  // Of one claim, while it waits or runs.
  struct Times {
    TimePoint queued;
    TimePoint began;
    TimePoint due;         // When it ends, by itself or by its notice; 0: it does not run.
    Duration left{0};      // What it had left to run when it began, or has while it waits.
    Duration restarts{0};  // Of `left`, since it began: for having been moved.
  };

  bool SomethingIsToCome() {
    // Of a claim that was told to give way, or was not after all, another end counts.
    while (!ends_.empty() && times_[ends_.top().second].due != ends_.top().first) ends_.pop();
    changes_.erase(changes_.begin(), changes_.upper_bound(now_));
    return next_ < order_.size() || !ends_.empty() || (!waiting_.empty() && !changes_.empty());
  }

  TimePoint NextMoment() const {
    TimePoint next = TimePoint::max();
    if (next_ < order_.size()) next = claims_[order_[next_]].arrives;
    if (!ends_.empty()) next = std::min(next, ends_.top().first);
    if (!waiting_.empty() && !changes_.empty()) next = std::min(next, *changes_.begin());
    return next;
  }

  void KnowReservations() {
    reservations_.clear();
    for (const Reservation& one : options_.reservations) {
      const bool removed = one.removed_at != TimePoint() && one.removed_at <= now_;
      if (one.created_at <= now_ && !removed) reservations_.push_back(one);
    }
  }

  void Arrive(size_t i) {
    Enqueue(i);
    figures_.Arrived();
  }

  void Enqueue(size_t i) {
    const TimedClaim& claim = claims_[i];
    times_[i].queued = now_;
    waiting_.push_back({.id = claim.id,
                        .request = claim.request,
                        .queued_since = now_,
                        .team = claim.team,
                        .run_for = claim.run_for + claim.usable_within,
                        .kind = claim.kind,
                        .more = claim.more});
    int64_t worth = worth_.Asked(claim.request);
    for (const ClaimRequest& part : claim.more) worth += worth_.Asked(part);
    waiting_worth_.push_back(worth);
  }

  TimePoint SaysItEnds(size_t i) const {
    const Duration run_for = claims_[i].run_for;
    const Times& times = times_[i];
    return run_for > Duration(0) ? times.began + run_for + times.restarts : TimePoint();
  }

  void Hold(const ClaimId& claim, std::span<const Allocation> parts) {
    for (const Allocation& a : parts) {
      fleet_.gpus[card_of_.at(a.gpu)].shares.push_back(ToShare(claim, a));
    }
  }

  void TakeBack(const ClaimId& claim, std::span<const Allocation> parts) {
    for (const Allocation& a : parts) {
      std::erase_if(fleet_.gpus[card_of_.at(a.gpu)].shares,
                    [&](const Share& share) { return share.claim == claim; });
    }
  }

  void Begin(size_t i, const Placed& placed) {
    const TimedClaim& claim = claims_[i];
    Hold(claim.id, placed.allocations);
    Times& times = times_[i];
    times.began = now_;
    times.due = now_ + times.left;
    times.restarts = Duration(0);
    holders_.push_back({.claim = claim.id,
                        .team = claim.team,
                        .ends_at = SaysItEnds(i),
                        .held_since = now_,
                        .kind = claim.kind,
                        .user = claim.user,
                        .priority = claim.request.priority});
    ends_.emplace(times.due, i);
    TimedOutcome& outcome = result_.outcomes[i];
    outcome.allocations = placed.allocations;
    LetYield(holders_.back(), i);
    const bool again = outcome.started.has_value();
    figures_.Begins(worth_.Held(placed.allocations), again ? Duration(0) : claim.runs);
    if (again) {
      waits_again_.emplace_back(i, now_ - times.queued);
    } else {
      outcome.started = now_;
    }
  }

  void End(size_t i) {
    const TimedClaim& claim = claims_[i];
    const std::vector<Allocation>& held = result_.outcomes[i].allocations;
    TakeBack(claim.id, held);
    std::erase_if(holders_, [&](const Holder& holder) { return holder.claim == claim.id; });
    yields_to_.erase(claim.id);
    figures_.Ends(worth_.Held(held));
    Times& times = times_[i];
    past_.Ended(claim.kind, now_ - times.began);
    times.due = TimePoint();
    times.left -= now_ - times.began;
    if (times.left <= Duration(0)) return;
    ++result_.gave_way;
    again_.push_back(i);
  }

  // What the pools of its cards say of a claim that runs; see control/internal/notices.h.
  void LetYield(Holder& holder, size_t i) const {
    holder.preempt = PreemptRule::kNever;
    holder.notice = Duration(0);
    if (!claims_[i].may_yield || yields_to_.contains(holder.claim) || pools_.empty()) return;
    holder.preempt = PreemptRule::kLowerPriority;
    for (const Allocation& part : result_.outcomes[i].allocations) {
      const auto pool = pools_.find(fleet_.gpus[card_of_.at(part.gpu)].pool);
      const Pool rules = pool == pools_.end() ? Pool() : *pool->second;
      holder.preempt = std::min(holder.preempt, rules.preempt);
      holder.notice = std::max(holder.notice, rules.preempt_notice);
    }
  }

  // As control does after each walk: a notice that nobody needs any more is taken back, and who is
  // to give way to the first in the queue is told.
  void TellWhoGivesWay() {
    for (auto notice = yields_to_.begin(); notice != yields_to_.end();) {
      const auto [told, first] = *notice++;
      if (std::ranges::find(waiting_, first, &Waiting::id) != waiting_.end()) continue;
      yields_to_.erase(told);
      SetEnd(told, std::nullopt);
    }
    const bool anybody = std::ranges::any_of(
        holders_, [](const Holder& one) { return one.preempt != PreemptRule::kNever; });
    if (!anybody || waiting_.empty() || options_.discipline == Discipline::kFifo) return;
    looks_ += static_cast<int64_t>(waiting_.size() * fleet_.gpus.size());
    scheduler::QueueInput input = Input();
    input.words = false;
    const auto plan = scheduler::PlanPreemption(input, scheduler::WalkQueue(input));
    if (!plan) return;
    for (const ClaimId& told : plan->victims) {
      yields_to_[told] = plan->claim;
      SetEnd(told, plan->until);
    }
  }

  void SetEnd(const ClaimId& id, std::optional<TimePoint> notice_until) {
    const size_t i = claim_of_.at(id);
    const auto holder = std::ranges::find(holders_, id, &Holder::claim);
    LetYield(*holder, i);
    holder->ends_at = SaysItEnds(i);
    times_[i].due = times_[i].began + times_[i].left;
    if (notice_until) {
      const bool says = holder->ends_at != TimePoint();
      holder->ends_at = says ? std::min(holder->ends_at, *notice_until) : *notice_until;
      times_[i].due = std::min(times_[i].due, *notice_until);
    }
    ends_.emplace(times_[i].due, i);
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

  void Serve() { options_.discipline == Discipline::kFifo ? ServeInOrder() : ServeByQueue(); }

  scheduler::Decision DecideFirst() const {
    const Waiting& first = waiting_.front();
    if (first.more.empty()) return scheduler::Decide(fleet_, first.request);
    const auto answers = scheduler::WalkQueue({.snapshot = fleet_, .waiting = {&first, 1}});
    return answers.front().decision;
  }

  void ServeInOrder() {
    while (!waiting_.empty()) {
      const scheduler::Decision decision = DecideFirst();
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
            .rules = options_.rules,
            .reservations = reservations_};
  }

  void ServeByQueue() {
    std::optional<ClaimId> first;
    do {
      if (waiting_.empty()) return;
      looks_ += static_cast<int64_t>(waiting_.size() * fleet_.gpus.size());
      if (options_.looks_max > 0 && looks_ > options_.looks_max) {
        result_.cut_short = true;
        return;
      }
      first.reset();
      for (const scheduler::QueueAnswer& answer : scheduler::WalkQueue(Input())) {
        if (!std::holds_alternative<scheduler::WaitFor>(answer.decision)) {
          Settle(answer.id, answer.decision);
        } else if (!first && !answer.over_quota) {
          first = answer.id;
        }
      }
    } while (first && MakeRoom(*first));
  }

  // Moves others so that this one starts, and starts it. False: nothing done.
  bool MakeRoom(const ClaimId& id) {
    const auto arrived = static_cast<int64_t>(next_);
    const int64_t left = arrived * options_.moves_per_10000 / 10'000 - result_.moves;
    const Waiting& first = *std::ranges::find(waiting_, id, &Waiting::id);
    if (left <= 0 || !first.more.empty() || !reservations_.empty()) return false;
    std::vector<scheduler::Movable> movable;
    for (const Holder& holder : holders_) {
      const TimedClaim& claim = claims_[claim_of_.at(holder.claim)];
      if (!claim.movable || !claim.more.empty() || yields_to_.contains(claim.id)) continue;
      movable.push_back({.claim = claim.id, .user = claim.user, .request = claim.request});
    }
    const int at_once = static_cast<int>(std::min<int64_t>(left, options_.moves_at_once));
    const auto plan = scheduler::PlanRescue(fleet_, first.request, movable, at_once);
    if (!plan) return false;
    for (const scheduler::Relocation& move : plan->moves) TakeBack(move.claim, move.from);
    for (const scheduler::Relocation& move : plan->moves) Move(move);
    Settle(ClaimId(id), Placed{plan->placement});
    return true;
  }

  void Move(const scheduler::Relocation& move) {
    const size_t i = claim_of_.at(move.claim);
    Hold(move.claim, move.to);
    result_.outcomes[i].allocations = move.to;
    figures_.Ends(worth_.Held(move.from));
    figures_.Begins(worth_.Held(move.to), Duration(0));
    figures_.Restarts(worth_.Held(move.to), options_.restart);
    Times& times = times_[i];
    times.left += options_.restart;
    times.restarts += options_.restart;
    times.due += options_.restart;
    std::ranges::find(holders_, move.claim, &Holder::claim)->ends_at = SaysItEnds(i);
    ends_.emplace(times.due, i);
    ++result_.moves;
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
    result_.starts = static_cast<int64_t>(all.size());
    for (const auto& [i, waited] : waits_again_) {
      all.push_back(waited);
      by_size[claims_[i].size].push_back(waited);
    }
    result_.starts_again = static_cast<int64_t>(waits_again_.size());
    result_.claims = static_cast<int64_t>(claims_.size());
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
  std::vector<Times> times_;                              // By claim.
  std::vector<std::pair<size_t, Duration>> waits_again_;  // Of claims that had given way.
  std::vector<size_t> again_;                             // Have given way now.
  std::map<ClaimId, ClaimId> yields_to_;                  // Of those told, whom.
  std::map<PoolId, const Pool*> pools_;
  std::vector<Reservation> reservations_;  // Those that the queue knows of now.
  std::set<TimePoint> changes_;            // Of all of them, as far as they are to come.
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
