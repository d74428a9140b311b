// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "sim/timed.h"

// What a timed replay counts, in whole numbers until the end, so that every order of adding gives
// the same figures.
namespace sluice::sim {

// Claims in thousandths of a card. See TimedResult.
class Worth {
 public:
  explicit Worth(std::span<const Gpu> fleet);
  int64_t Asked(const ClaimRequest& request) const;
  int64_t Held(std::span<const Allocation> allocations) const;
  int64_t Fleet() const { return fleet_; }

 private:
  std::span<const Gpu> gpus_;
  std::map<GpuId, Bytes> memory_of_;
  int64_t fleet_ = 0;  // Cards in service.
};

// What is held and lost, summed up over time: thousandths of a card times ms. 64 bits are enough
// for 10,000 cards over 29,000 years.
class TimeTally {
 public:
  explicit TimeTally(int64_t fleet) : fleet_(fleet) {}
  // Counts the time up to `now`, during which claims of such worth waited.
  void Until(TimePoint now, std::span<const int64_t> waiting);
  // Requires: counted up to now, as for the next two.
  void Arrived();
  void Begins(int64_t worth, Duration runs);
  void Ends(int64_t worth) { held_ -= worth; }
  // Of what is held, so much is for having been moved.
  void Restarts(int64_t worth, Duration span) { restart_time_ += worth * span.count(); }
  void Fill(TimedResult& result) const;
  int64_t held() const { return held_; }

 private:
  int64_t fleet_ = 0;
  int64_t held_ = 0;
  int64_t offered_time_ = 0;
  int64_t held_time_ = 0;
  int64_t lost_time_ = 0;
  int64_t restart_time_ = 0;
  int64_t held_by_last_arrival_ = 0;
  std::optional<TimePoint> first_;
  TimePoint now_;
  TimePoint last_arrival_;
};

// The course of a replay, thinned out at the end.
class Course {
 public:
  // Requires: times ascend.
  void Add(TimePoint now, size_t waiting, int64_t held) { seen_.push_back({now, waiting, held}); }
  std::vector<TimedPoint> Points(int64_t fleet) const;

 private:
  struct Seen {
    TimePoint at;
    size_t waiting = 0;
    int64_t held = 0;
  };
  std::vector<Seen> seen_;
};

WaitFigures FiguresOf(std::vector<Duration> waits);

class RangeTally {
 public:
  void Add(const scheduler::Estimate& estimate, TimePoint started);
  RangeFigures Figures() const;

 private:
  RangeFigures figures_;
  std::vector<Duration> widths_;
};

}  // namespace sluice::sim
