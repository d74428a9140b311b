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
#include "simgpu/internal/map.h"

// This process's side of the cards' work: first-in-first-out streams whose kernels and copies take
// turns in the lanes of the cards, which all processes share (see RunQueue). One kernel of a
// process runs at a time. An operation's end is computed from the lane's schedule, not observed, so
// event times are exact and nobody has to be awake while a card works: whoever asks brings the
// streams up to now, and one thread sleeps until something must happen that nobody asks for.
namespace sluice::simgpu {

struct Context;
struct Event;
struct Stream;
struct Capture;

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
  // The parameters of the node that it becomes in a graph, for the getter.
  std::shared_ptr<const std::vector<char>> params;
  std::vector<Dependency> after;
  int64_t submitted_ns = 0;
  int64_t handed_ns = 0;  // The stream's `handed_ns` once this was handed over.
};

template <typename Params>
std::shared_ptr<const std::vector<char>> Keep(const Params& params) {
  const char* bytes = reinterpret_cast<const char*>(&params);
  return std::make_shared<const std::vector<char>>(bytes, bytes + sizeof(params));
}

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
  // The first `handed` operations wait for nothing but each other and their lane, which knows of
  // their work. Nanoseconds of work handed over and done since the stream began.
  size_t handed = 0;
  Lane handed_lane = Lane::kKernel;
  int64_t handed_ns = 0;
  int64_t done_ns = 0;
};

// Thread-safe. Never calls back while holding its mutex.
class Engine {
 public:
  // Appends; an operation that takes no time and waits for nothing is done before this returns.
  // Waits while the stream has kPendingMax operations, as a driver does. Returns its number.
  uint64_t Submit(const std::shared_ptr<Stream>& stream, Operation operation);
  // Completes what is over by now. Not with the process's mutex held.
  void Update();
  // Returns whether everything up to that number is known to be done: see Update.
  bool IsDone(const Dependency& work);
  void Wait(const Dependency& work);
  // Calls on the engine's own thread, in the order of these calls.
  void CallLater(std::function<void()> call);
  // The last number handed out.
  uint64_t Last(Stream& stream);

  static constexpr size_t kPendingMax = 1024;

 private:
  struct LocalLane {
    std::shared_ptr<Stream> stream;  // Whose first operation is running; null: none.
    int64_t remaining_ns = 0;
    std::deque<Span> spans;  // What the lane gave this process and nothing used up yet.
    int64_t open_ns = 0;     // Handed over and not yet got.
    int parties = 0;         // Processes with work in it, when last looked at.
  };
  struct DeviceState {
    LocalLane lanes[kLanes];
  };
  using Lock = std::unique_lock<std::mutex>;

  bool DependenciesDone(const Operation& operation) const;
  int64_t ReadyAt(const Stream& stream, const Operation& operation) const;
  LocalLane& LaneOf(const Stream& stream, Lane lane);
  // By value: the caller's copy may be the lane's, which moves on meanwhile.
  void Complete(Lock& lock, std::shared_ptr<Stream> stream, int64_t end_ns);
  void HandOver(Stream& stream);
  void TakeSpans();
  void CatchUp(Lock& lock, bool on_own_thread);
  bool Step(Lock& lock, bool on_own_thread);
  bool RunLane(Lock& lock, LocalLane& lane, const std::shared_ptr<Stream>& next);
  bool StartsNow(Stream& stream, bool on_own_thread);
  int64_t EndOf(const Stream& stream, size_t operations, int64_t until_ns);
  int64_t NextWake();
  void WaitFor(Lock& lock, const Dependency& work);
  void SleepUntil(Lock& lock, std::condition_variable& signal, int64_t wake_ns);
  void StartThread();
  void Loop();

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::vector<std::shared_ptr<Stream>> active_;  // With something queued.
  std::vector<DeviceState> devices_;
  std::deque<std::function<void()>> calls_;
  bool started_ = false;
  uint64_t turn_ = 0;
  int waiters_ = 0;
  bool stale_ = false;      // A lane may have given more than was taken.
  int64_t planned_ns_ = 0;  // When the thread looks again.
};

}  // namespace sluice::simgpu
