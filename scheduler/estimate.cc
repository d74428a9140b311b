// SPDX-License-Identifier: Apache-2.0
#include "scheduler/estimate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <queue>
#include <tuple>
#include <utility>

#include "base/random.h"

namespace sluice::scheduler {
namespace {

// Kinds with fewer ends are judged by all.
constexpr int kSeenMin = 8;

// 0 to 1, without 1.
double Fraction(Random& random) {
  return static_cast<double>(random.Next() >> 11) * 0x1.0p-53;
}

// Drawn from the normal distribution with mean 0 and variance 1.
double Normal(Random& random) {
  const double length = std::sqrt(-2 * std::log(1 - Fraction(random)));
  return length * std::cos(2 * std::numbers::pi * Fraction(random));
}

// One way in which it may go on.
class Future {
 public:
  Future(const QueueInput& input,
         const RunHistory& history,
         const EstimateRules& rules,
         Random& random)
      : input_(input),
        history_(history),
        rules_(rules),
        random_(random),
        fleet_(input.snapshot),
        waiting_(input.waiting.begin(), input.waiting.end()),
        holders_(input.holders.begin(), input.holders.end()),
        now_(input.now) {
    for (const Holder& holder : holders_) Draw(holder);
    // Also the end of a reservation may let somebody start.
    for (const Reservation& reservation : input.reservations) {
      if (reservation.ends_at > now_) ends_.emplace(reservation.ends_at, ClaimId());
    }
  }

  // The starts of the claims that start within so many ends.
  const std::map<ClaimId, TimePoint>& Play(int ends_max) {
    Walk();
    for (int i = 0; i < ends_max && !waiting_.empty() && !ends_.empty(); ++i) {
      now_ = std::max(now_, std::get<0>(ends_.top()));
      while (!ends_.empty() && std::get<0>(ends_.top()) <= now_) {
        End(std::get<1>(ends_.top()));
        ends_.pop();
      }
      Walk();
    }
    return starts_;
  }

 private:
  void Draw(const Holder& holder) {
    const Duration age = std::max(now_ - holder.held_since, Duration(0));
    const auto left = history_.Of(holder.kind).Left(age, PartEnded(holder.kind));
    std::optional<TimePoint> end;
    if (left) end = now_ + *left;
    if (holder.ends_at != TimePoint()) {
      const TimePoint due = std::max(holder.ends_at, now_);
      end = std::min(end.value_or(due), due);
    }
    if (end) ends_.emplace(*end, holder.claim);
  }

  // Even over 0 to 1, but alike for runs of one future.
  double PartEnded(const std::string& kind) {
    const auto [at, fresh] = of_kind_.try_emplace(kind, 0.0);
    if (fresh) at->second = Normal(random_);
    const double sum =
        std::sqrt(rules_.shared_by_all) * of_all_ + std::sqrt(rules_.shared_by_kind) * at->second +
        std::sqrt(1 - rules_.shared_by_all - rules_.shared_by_kind) * Normal(random_);
    return std::min(0.5 * std::erfc(-sum / std::numbers::sqrt2), 1 - 1e-12);
  }

  void End(const ClaimId& claim) {
    for (Gpu& gpu : fleet_.gpus) {
      std::erase_if(gpu.shares, [&](const Share& share) { return share.claim == claim; });
    }
    std::erase_if(holders_, [&](const Holder& holder) { return holder.claim == claim; });
  }

  void Walk() {
    const auto answers = WalkQueue({.snapshot = fleet_,
                                    .waiting = waiting_,
                                    .holders = holders_,
                                    .teams = input_.teams,
                                    .now = now_,
                                    .rules = input_.rules,
                                    .words = false,
                                    .reservations = input_.reservations});
    for (const QueueAnswer& answer : answers) {
      if (std::holds_alternative<WaitFor>(answer.decision)) continue;
      const auto one = std::ranges::find(waiting_, answer.id, &Waiting::id);
      if (const auto* placed = std::get_if<Placed>(&answer.decision)) Begin(*one, *placed);
      waiting_.erase(one);
    }
  }

  void Begin(const Waiting& one, const Placed& placed) {
    starts_[one.id] = now_;
    for (const Allocation& a : placed.allocations) {
      Gpu& gpu = *std::ranges::find(fleet_.gpus, a.gpu, &Gpu::id);
      gpu.shares.push_back(ToShare(one.id, a));
    }
    Holder holder{.claim = one.id, .team = one.team, .held_since = now_, .kind = one.kind};
    if (one.run_for > Duration(0)) holder.ends_at = now_ + one.run_for;
    holders_.push_back(holder);
    Draw(holder);
  }

  using EndAt = std::tuple<TimePoint, ClaimId>;

  const QueueInput& input_;
  const RunHistory& history_;
  const EstimateRules& rules_;
  Random& random_;
  const double of_all_ = Normal(random_);
  std::map<std::string, double> of_kind_;
  Snapshot fleet_;
  std::vector<Waiting> waiting_;
  std::vector<Holder> holders_;
  TimePoint now_;
  std::priority_queue<EndAt, std::vector<EndAt>, std::greater<>> ends_;
  std::map<ClaimId, TimePoint> starts_;
};

// The first ones in the order of service.
std::vector<Waiting> FirstOf(const QueueInput& input, int count) {
  std::vector<Waiting> first;
  for (const QueueAnswer& answer : WalkQueue(input)) {
    if (first.size() == static_cast<size_t>(count)) break;
    if (std::holds_alternative<Never>(answer.decision)) continue;
    first.push_back(*std::ranges::find(input.waiting, answer.id, &Waiting::id));
  }
  return first;
}

int SamplesFor(const QueueInput& input, const EstimateRules& rules) {
  const auto cards = static_cast<int64_t>(input.snapshot.gpus.size());
  const auto waiting = static_cast<int64_t>(input.waiting.size());
  const auto holders = static_cast<int64_t>(input.holders.size()) + waiting;
  const int64_t ends = std::min<int64_t>(rules.ends_max, holders);
  const int64_t each = std::max<int64_t>(1, cards * waiting * ends);
  return static_cast<int>(std::clamp<int64_t>(rules.work_max / each, 1, rules.samples));
}

// The start that the part `rank` of all samples, among them those without a start, does not pass.
std::optional<TimePoint> AtRank(const std::vector<TimePoint>& sorted, int samples, double rank) {
  const auto index = static_cast<size_t>(rank * samples);
  return index < sorted.size() ? std::optional(sorted[index]) : std::nullopt;
}

}  // namespace

RunLengths::RunLengths(std::vector<RunLength> seen) {
  // At one time those that ended come first: who was still running then outlasted them.
  std::ranges::sort(
      seen, {}, [](const RunLength& one) { return std::pair(one.lasted, !one.ended); });
  double running = 1;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i].ended) continue;
    const auto at_risk = static_cast<double>(seen.size() - i);
    running *= 1 - 1 / at_risk;
    ++ended_;
    if (!steps_.empty() && steps_.back().at == seen[i].lasted) {
      steps_.back().running = running;
    } else {
      steps_.push_back({seen[i].lasted, running});
    }
  }
}

double RunLengths::RunningAfter(Duration age) const {
  const auto after = std::ranges::upper_bound(steps_, age, {}, &Step::at);
  return after == steps_.begin() ? 1 : std::prev(after)->running;
}

std::optional<Duration> RunLengths::Left(Duration age, double ended_before) const {
  const double goal = RunningAfter(age) * (1 - ended_before);
  auto step = std::ranges::upper_bound(steps_, age, {}, &Step::at);
  while (step != steps_.end() && step->running > goal) ++step;
  if (step == steps_.end()) return std::nullopt;
  return step->at - age;
}

void RunHistory::Add(const std::string& kind, const RunLength& length) {
  seen_[kind].push_back(length);
}

void RunHistory::Close() {
  std::vector<RunLength> all;
  for (const auto& [kind, seen] : seen_) {
    by_kind_[kind] = RunLengths(seen);
    all.insert(all.end(), seen.begin(), seen.end());
  }
  all_ = RunLengths(std::move(all));
}

const RunLengths& RunHistory::Of(const std::string& kind) const {
  const auto found = by_kind_.find(kind);
  return found != by_kind_.end() && found->second.ended() >= kSeenMin ? found->second : all_;
}

std::map<ClaimId, Estimate> EstimateStarts(const QueueInput& input,
                                           const RunHistory& history,
                                           const EstimateRules& rules) {
  const std::vector<Waiting> first = FirstOf(input, rules.waiting_max);
  QueueInput of_first = input;
  of_first.waiting = first;
  SeededRandom random(rules.seed);
  const int samples = SamplesFor(of_first, rules);
  std::map<ClaimId, std::vector<TimePoint>> starts;
  for (const Waiting& one : first) starts[one.id];
  for (int i = 0; i < samples; ++i) {
    Future future(of_first, history, rules, random);
    for (const auto& [id, at] : future.Play(rules.ends_max)) starts[id].push_back(at);
  }
  std::map<ClaimId, Estimate> estimates;
  for (auto& [id, times] : starts) {
    std::ranges::sort(times);
    estimates[id] = {.earliest = AtRank(times, samples, 0.1),
                     .likely = AtRank(times, samples, 0.5),
                     .latest = AtRank(times, samples, 0.9)};
  }
  return estimates;
}

}  // namespace sluice::scheduler
