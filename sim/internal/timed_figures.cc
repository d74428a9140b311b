// SPDX-License-Identifier: Apache-2.0
#include "sim/internal/timed_figures.h"

#include <algorithm>
#include <utility>

namespace sluice::sim {
namespace {

constexpr int64_t kCard = 1000;
constexpr double kHourMs = 3'600'000;

int64_t PartOf(Bytes memory, Bytes card) {
  if (card <= Bytes(0)) return 0;
  return static_cast<int64_t>(static_cast<double>(memory.value()) * kCard /
                              static_cast<double>(card.value()));
}

double Seconds(Duration span) {
  return static_cast<double>(span.count()) / 1000;
}

// The smallest value that `part` of all do not pass. Requires: sorted, not empty.
Duration AtPart(const std::vector<Duration>& sorted, double part) {
  const double rank = part * static_cast<double>(sorted.size());
  size_t index = static_cast<size_t>(rank);
  if (static_cast<double>(index) == rank && index > 0) --index;
  return sorted[std::min(index, sorted.size() - 1)];
}

}  // namespace

Worth::Worth(std::span<const Gpu> fleet) : gpus_(fleet) {
  for (const Gpu& gpu : fleet) {
    memory_of_[gpu.id] = gpu.memory;
    if (OpenToShares(gpu)) fleet_ += kCard;
  }
}

int64_t Worth::Asked(const ClaimRequest& request) const {
  if (request.whole) return kCard * request.count;
  Bytes smallest;
  for (const Gpu& gpu : gpus_) {
    const bool admits = (request.vendor.empty() || request.vendor == gpu.vendor) &&
                        (request.gpu_model.empty() || request.gpu_model == gpu.model) &&
                        gpu.memory >= request.memory;
    if (admits && (smallest == Bytes(0) || gpu.memory < smallest)) smallest = gpu.memory;
  }
  return PartOf(request.memory, smallest) * request.count;
}

int64_t Worth::Held(std::span<const Allocation> allocations) const {
  int64_t worth = 0;
  for (const Allocation& a : allocations) worth += PartOf(a.memory, memory_of_.at(a.gpu));
  return worth;
}

void TimeTally::Until(TimePoint now, std::span<const int64_t> waiting) {
  if (!first_) {
    first_ = now;
    now_ = now;
  }
  const int64_t span = (now - now_).count();
  now_ = now;
  held_time_ += held_ * span;
  const int64_t free = fleet_ - held_;
  int64_t asked = 0;
  for (const int64_t worth : waiting) asked += worth <= free ? worth : 0;
  lost_time_ += std::min(free, asked) * span;
}

void TimeTally::Arrived() {
  last_arrival_ = now_;
  held_by_last_arrival_ = held_time_;
}

void TimeTally::Begins(int64_t worth, Duration runs) {
  held_ += worth;
  offered_time_ += worth * runs.count();
}

void TimeTally::Fill(TimedResult& result) const {
  if (!first_) return;
  const auto hours = [](int64_t time) { return static_cast<double>(time) / kCard / kHourMs; };
  result.gpu_hours_held = hours(held_time_);
  result.gpu_hours_lost = hours(lost_time_);
  result.gpu_hours_restarting = hours(restart_time_);
  result.hours = static_cast<double>((now_ - *first_).count()) / kHourMs;
  const double could_be = hours(fleet_ * (last_arrival_ - *first_).count());
  if (could_be <= 0) return;
  result.utilisation_pct = 100 * hours(held_by_last_arrival_) / could_be;
  result.offered_pct = 100 * hours(offered_time_) / could_be;
}

std::vector<TimedPoint> Course::Points(int64_t fleet) const {
  std::vector<TimedPoint> points;
  if (seen_.empty() || fleet <= 0) return points;
  const TimePoint first = seen_.front().at;
  const int64_t span = (seen_.back().at - first).count();
  size_t next = 0;
  for (int64_t i = 0; i <= kTimedPoints - 1; ++i) {
    const TimePoint until = first + Duration(span / (kTimedPoints - 1) * i +
                                             span % (kTimedPoints - 1) * i / (kTimedPoints - 1));
    size_t waiting = 0;
    const size_t before = next;
    for (; next < seen_.size() && seen_[next].at <= until; ++next) {
      waiting = std::max(waiting, seen_[next].waiting);
    }
    // Nothing happened: it is as it was.
    if (before == next) waiting = seen_[next - 1].waiting;
    points.push_back(
        {.hours = static_cast<double>((until - first).count()) / kHourMs,
         .waiting = static_cast<int64_t>(waiting),
         .held_pct = 100 * static_cast<double>(seen_[next - 1].held) / static_cast<double>(fleet)});
    if (span == 0) break;
  }
  return points;
}

WaitFigures FiguresOf(std::vector<Duration> waits) {
  WaitFigures figures;
  if (waits.empty()) return figures;
  std::ranges::sort(waits);
  figures.claims = static_cast<int64_t>(waits.size());
  figures.waited = std::ranges::count_if(waits, [](Duration one) { return one > Duration(0); });
  Duration sum{0};
  for (const Duration one : waits) sum += one;
  figures.mean_s = Seconds(sum) / static_cast<double>(waits.size());
  figures.p50_s = Seconds(AtPart(waits, 0.50));
  figures.p95_s = Seconds(AtPart(waits, 0.95));
  figures.p99_s = Seconds(AtPart(waits, 0.99));
  figures.max_s = Seconds(waits.back());
  return figures;
}

void RangeTally::Add(const scheduler::Estimate& estimate, TimePoint started) {
  ++figures_.asked;
  if (!estimate.earliest || !estimate.latest) return;
  ++figures_.given;
  if (started < *estimate.earliest) {
    ++figures_.early;
  } else if (started > *estimate.latest) {
    ++figures_.late;
  } else {
    ++figures_.inside;
  }
  widths_.push_back(*estimate.latest - *estimate.earliest);
}

RangeFigures RangeTally::Figures() const {
  RangeFigures figures = figures_;
  std::vector<Duration> widths = widths_;
  std::ranges::sort(widths);
  if (!widths.empty()) figures.width_s = Seconds(AtPart(widths, 0.5));
  return figures;
}

}  // namespace sluice::sim
