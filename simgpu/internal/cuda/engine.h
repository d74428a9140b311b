// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "simgpu/internal/abi/cuda.h"

// The part of a card that works: first-in-first-out streams, one kernel at a time per process, the
// card's time split evenly between the processes that have work on it. Time is real time; an
// operation's end is computed, not observed, so that event times are exact sums of durations.
namespace sluice::simgpu {

struct Context;
struct Event;
struct Stream;
struct Capture;

enum class Lane { kKernel, kCopy };
inline constexpr int kLanes = 2;

// Everything submitted to a stream up to and including its operation number `upto`.
struct Dependency {
  std::shared_ptr<Stream> stream;
  uint64_t upto = 0;
};

// One step of a stream. Copyable: a captured step is kept in a graph and submitted at each launch.
struct Operation {
  std::function<CUresult()> run;  // At its end. An error becomes the context's.
  std::function<bool()> ready;    // Polled before it may begin; empty: at once.
  int64_t duration_ns = 0;
  Lane lane = Lane::kKernel;
  bool calls_host = false;  // Runs the program's own function: never on a submitting thread.
  std::shared_ptr<Event> records;
  std::vector<Dependency> after;
  int64_t submitted_ns = 0;
};

struct Stream {
  Context* context = nullptr;
  int device = 0;
  unsigned flags = 0;
  int priority = 0;
  unsigned long long id = 0;
  bool legacy = false;  // The context's stream 0, a barrier to the streams that block.
  // Under the process's mutex: the capture that it takes part in and what comes next waits for.
  std::shared_ptr<Capture> capture;
  std::vector<CUgraphNode> capture_after;

  // The engine's, under its mutex.
  std::deque<Operation> queue;
  bool busy = false;  // Its first operation is being run on some thread or is in a lane.
  uint64_t submitted = 0;
  uint64_t completed = 0;
  int64_t last_ns = 0;  // When the latest completed operation ended.
  uint64_t turn = 0;    // For fairness between streams.
};

// Thread-safe. Never calls back while holding its mutex.
class Engine {
 public:
  // Appends; an operation that takes no time and waits for nothing is done before this returns.
  // Returns its number.
  uint64_t Submit(const std::shared_ptr<Stream>& stream, Operation operation);
  // Returns whether everything up to that number is done.
  bool IsDone(const Dependency& work);
  void Wait(const Dependency& work);
  // The last number handed out.
  uint64_t Last(Stream& stream);

 private:
  struct LaneState {
    std::shared_ptr<Stream> stream;  // Whose first operation is running; null: none.
    int64_t remaining_ns = 0;
    int64_t last_ns = 0;  // Up to when its progress is counted.
  };
  struct DeviceState {
    LaneState lanes[kLanes];
    bool running = false;  // As told to the map.
    int64_t reclaimed_ns = 0;
  };

  bool DependenciesDone(const Operation& operation) const;
  int64_t ReadyAt(const Stream& stream, const Operation& operation) const;
  void Complete(std::unique_lock<std::mutex>& lock,
                const std::shared_ptr<Stream>& stream,
                int64_t end_ns);
  void StartThread();
  void Loop();
  bool Begin(std::unique_lock<std::mutex>& lock);
  bool Advance(std::unique_lock<std::mutex>& lock);
  bool AdvanceLane(std::unique_lock<std::mutex>& lock, int device, int lane);
  int Sharers(int device);
  void Activate(const std::shared_ptr<Stream>& stream);

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::vector<std::shared_ptr<Stream>> active_;  // With something queued.
  std::vector<DeviceState> devices_;
  bool started_ = false;
  uint64_t turn_ = 0;
  int64_t wake_ns_ = 0;  // When the loop must look again; 0: when told.
};

}  // namespace sluice::simgpu
