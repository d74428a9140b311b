// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/engine.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <limits>
#include <sys/prctl.h>
#include <thread>

#include "simgpu/internal/cuda/context.h"
#include "simgpu/internal/cuda/stream.h"

namespace sluice::simgpu {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kSharedNs = 2'000'000;  // How often a shared card is looked at: two slices.
constexpr int64_t kPollNs = 250'000;      // How often a condition in memory is looked at.

DeviceMap& Map() {
  return CurrentProcess()->map;
}

LaneId IdOf(int device, int lane) {
  return {CurrentProcess()->devices[static_cast<size_t>(device)].unit, static_cast<Lane>(lane)};
}

// Uses up to `need_ns` of what a lane gave; `at_ns` becomes when the last of it was got.
int64_t UseSpans(std::deque<Span>& spans, int64_t need_ns, int64_t& at_ns) {
  int64_t used_ns = 0;
  while (used_ns < need_ns && !spans.empty()) {
    Span& span = spans.front();
    int64_t length_ns = span.to_ns - span.from_ns;
    if (span.served_ns <= 0 || length_ns <= 0) {
      spans.pop_front();
      continue;
    }
    int64_t here_ns = std::min(need_ns - used_ns, span.served_ns);
    // Joined stretches count as evenly served.
    double part = static_cast<double>(here_ns) / static_cast<double>(span.served_ns);
    at_ns = length_ns == span.served_ns
                ? span.from_ns + here_ns
                : span.from_ns + static_cast<int64_t>(part * static_cast<double>(length_ns));
    used_ns += here_ns;
    span.from_ns = at_ns;
    span.served_ns -= here_ns;
    if (span.served_ns == 0) spans.pop_front();
  }
  return used_ns;
}

}  // namespace

bool Engine::DependenciesDone(const Operation& operation) const {
  return std::all_of(operation.after.begin(), operation.after.end(), [](const Dependency& work) {
    return work.stream->completed >= work.upto;
  });
}

int64_t Engine::ReadyAt(const Stream& stream, const Operation& operation) const {
  int64_t at = std::max(operation.submitted_ns, stream.last_ns);
  for (const Dependency& work : operation.after) at = std::max(at, work.stream->last_ns);
  return at;
}

Engine::LocalLane& Engine::LaneOf(const Stream& stream, Lane lane) {
  return devices_[static_cast<size_t>(stream.device)].lanes[static_cast<int>(lane)];
}

uint64_t Engine::Submit(const std::shared_ptr<Stream>& stream, Operation operation) {
  operation.submitted_ns = Map().Now();
  Lock lock(mutex_);
  StartThread();
  if (stream->queue.size() >= kPendingMax) {
    WaitFor(lock, {stream, stream->submitted + 1 - kPendingMax});
  }
  uint64_t number = ++stream->submitted;
  // A kernel behind kernels of the only busy stream: nothing can have happened that changes the
  // order of anything.
  bool plain = active_.size() == 1 && active_.front() == stream && stream->handed > 0 &&
               stream->handed == stream->queue.size() && operation.duration_ns > 0 &&
               operation.after.empty() && !operation.ready && !operation.run;
  if (!plain) CatchUp(lock, false);
  stream->queue.push_back(std::move(operation));
  if (std::find(active_.begin(), active_.end(), stream) == active_.end()) {
    active_.push_back(stream);
  }
  if (plain) {
    HandOver(*stream);
    return number;
  }
  CatchUp(lock, false);
  if (NextWake() < planned_ns_) work_.notify_one();
  return number;
}

void Engine::Update() {
  Lock lock(mutex_);
  CatchUp(lock, false);
}

void Engine::CallLater(std::function<void()> call) {
  Lock lock(mutex_);
  StartThread();
  calls_.push_back(std::move(call));
  planned_ns_ = 0;
  work_.notify_one();
}

bool Engine::IsDone(const Dependency& work) {
  Lock lock(mutex_);
  return work.stream->completed >= work.upto;
}

uint64_t Engine::Last(Stream& stream) {
  Lock lock(mutex_);
  return stream.submitted;
}

void Engine::Wait(const Dependency& work) {
  Lock lock(mutex_);
  WaitFor(lock, work);
}

void Engine::WaitFor(Lock& lock, const Dependency& work) {
  const Stream& stream = *work.stream;
  ++waiters_;
  CatchUp(lock, false);
  while (stream.completed < work.upto) {
    // What was not handed over yet waits for something that the thread, or another one, sees to.
    size_t operations = std::min<size_t>(work.upto - stream.completed, stream.handed);
    int64_t wake_ns = operations == 0 ? kNever : EndOf(stream, operations, kNever);
    if (Map().has_virtual_clock()) wake_ns = std::min(wake_ns, NextWake());
    SleepUntil(lock, done_, wake_ns);
    CatchUp(lock, false);
  }
  --waiters_;
}

void Engine::SleepUntil(Lock& lock, std::condition_variable& signal, int64_t wake_ns) {
  if (wake_ns == kNever) {
    signal.wait(lock);
    return;
  }
  if (Map().has_virtual_clock()) {
    // Time moves only when nothing else can.
    bool past = wake_ns <= Map().Now();
    Map().AdvanceClockTo(wake_ns);
    if (past) signal.wait_for(lock, std::chrono::microseconds(100));
    return;
  }
  // The kernel may be late by a thread's slack: a lot beside a short kernel.
  constexpr int64_t kShortNs = 1'000'000;
  int slack_ns = wake_ns - Map().Now() < kShortNs ? ::prctl(PR_GET_TIMERSLACK) : 0;
  if (slack_ns > 1) ::prctl(PR_SET_TIMERSLACK, 1UL);
  std::chrono::steady_clock::time_point at{std::chrono::nanoseconds(wake_ns)};
  signal.wait_until(lock, at);
  if (slack_ns > 1) ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(slack_ns));
}

// Runs the stream's first operation, which the caller marked busy, and takes it off.
void Engine::Complete(Lock& lock, std::shared_ptr<Stream> stream, int64_t end_ns) {
  Operation operation = std::move(stream->queue.front());
  if (operation.run) {
    lock.unlock();
    CUresult result = operation.run();
    if (result != CUDA_SUCCESS) stream->context->sticky.store(result);
    operation.run = nullptr;
    lock.lock();
  }
  if (operation.records != nullptr) operation.records->ended_ns.store(end_ns);
  stream->queue.pop_front();
  if (stream->handed > 0) {
    --stream->handed;
    stream->done_ns = operation.handed_ns;
  }
  stream->busy = false;
  ++stream->completed;
  stream->last_ns = std::max(stream->last_ns, end_ns);
  if (waiters_ > 0) done_.notify_all();
}

// Tells the lane of what waits for nothing but it.
void Engine::HandOver(Stream& stream) {
  while (stream.handed < stream.queue.size()) {
    Operation& operation = stream.queue[stream.handed];
    // A busy stream's first operation may have been moved from; it was handed over or takes no
    // time.
    bool taken = stream.busy && stream.handed == 0;
    if (taken || operation.calls_host || operation.ready || !DependenciesDone(operation)) return;
    if (operation.duration_ns > 0) {
      bool elsewhere = stream.handed_ns != stream.done_ns && stream.handed_lane != operation.lane;
      if (elsewhere) return;
      LaneOf(stream, operation.lane).open_ns += operation.duration_ns;
      Map().AddWork(IdOf(stream.device, static_cast<int>(operation.lane)),
                    operation.duration_ns,
                    ReadyAt(stream, operation));
      stale_ = true;
      stream.handed_ns += operation.duration_ns;
      stream.handed_lane = operation.lane;
    }
    operation.handed_ns = stream.handed_ns;
    ++stream.handed;
  }
}

void Engine::TakeSpans() {
  for (size_t device = 0; device < devices_.size(); ++device) {
    for (int i = 0; i < kLanes; ++i) {
      LocalLane& lane = devices_[device].lanes[i];
      if (lane.open_ns <= 0) continue;
      size_t before = lane.spans.size();
      lane.parties = Map().TakeSpans(IdOf(static_cast<int>(device), i), lane.spans);
      for (size_t span = before; span < lane.spans.size(); ++span) {
        lane.open_ns -= lane.spans[span].served_ns;
      }
    }
  }
}

void Engine::CatchUp(Lock& lock, bool on_own_thread) {
  bool moved = false;
  stale_ = true;
  while (true) {
    if (stale_) TakeSpans();
    stale_ = false;
    if (Step(lock, on_own_thread)) {
      moved = true;
    } else if (!stale_) {
      break;
    }
  }
  // What comes next may be for the thread alone to do.
  if (moved && !on_own_thread && NextWake() < planned_ns_) work_.notify_one();
}

bool Engine::StartsNow(Stream& stream, bool on_own_thread) {
  const Operation& first = stream.queue.front();
  if (first.duration_ns > 0 || (first.calls_host && !on_own_thread)) return false;
  return DependenciesDone(first) && (!first.ready || first.ready());
}

// Moves streams and lanes on as far as the schedule goes without looking at it again. Returns
// whether anything moved.
bool Engine::Step(Lock& lock, bool on_own_thread) {
  std::erase_if(active_, [](const auto& stream) { return stream->queue.empty(); });
  // Most urgent first (a lower number is more urgent), then who waited longest.
  std::stable_sort(active_.begin(), active_.end(), [](const auto& a, const auto& b) {
    return a->priority != b->priority ? a->priority < b->priority : a->turn < b->turn;
  });
  std::vector<std::vector<std::shared_ptr<Stream>>> next(devices_.size());
  for (auto& lanes : next) lanes.resize(kLanes);
  for (const auto& stream : active_) {
    HandOver(*stream);
    if (stream->busy) continue;
    if (StartsNow(*stream, on_own_thread)) {
      std::shared_ptr<Stream> chosen = stream;
      const Operation& first = chosen->queue.front();
      int64_t end_ns = first.ready ? Map().Now() : ReadyAt(*chosen, first);
      chosen->busy = true;
      Complete(lock, chosen, end_ns);
      return true;
    }
    if (stream->handed == 0) continue;
    auto& first_in_lane =
        next[static_cast<size_t>(stream->device)][static_cast<size_t>(stream->queue.front().lane)];
    if (stream->queue.front().duration_ns > 0 && first_in_lane == nullptr) first_in_lane = stream;
  }
  for (size_t device = 0; device < devices_.size(); ++device) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (RunLane(lock, devices_[device].lanes[lane], next[device][lane])) return true;
    }
  }
  return false;
}

bool Engine::RunLane(Lock& lock, LocalLane& lane, const std::shared_ptr<Stream>& next) {
  if (lane.spans.empty()) return false;
  if (lane.stream == nullptr) {
    if (next == nullptr) return false;
    lane.stream = next;
    lane.remaining_ns = next->queue.front().duration_ns;
    next->busy = true;
    next->turn = ++turn_;
  }
  int64_t end_ns = 0;
  lane.remaining_ns -= UseSpans(lane.spans, lane.remaining_ns, end_ns);
  if (lane.remaining_ns > 0) return false;
  std::shared_ptr<Stream> stream = std::move(lane.stream);
  lane.stream = nullptr;
  Complete(lock, stream, end_ns);
  return true;
}

// When the first `operations` of what the stream handed over will be done, at the earliest.
int64_t Engine::EndOf(const Stream& stream, size_t operations, int64_t until_ns) {
  const LocalLane& lane = LaneOf(stream, stream.handed_lane);
  int64_t ahead_ns = -stream.done_ns;
  // A first operation that is being run was moved from; what it stands for is done.
  ahead_ns += stream.queue[operations - 1].handed_ns;
  if (lane.stream.get() == &stream) {
    ahead_ns -= stream.queue.front().duration_ns - lane.remaining_ns;
  }
  if (ahead_ns <= 0) return kNever;  // On some thread right now.
  return Map().Forecast(IdOf(stream.device, static_cast<int>(stream.handed_lane)),
                        ahead_ns,
                        std::min(until_ns, Map().Now() + int64_t{3600} * 1'000'000'000));
}

// When something must happen that nobody waits for: a step that nobody's question brings about, or
// a look at the schedule, so that what others see of it is never old.
int64_t Engine::NextWake() {
  int64_t now_ns = Map().Now();
  int64_t wake_ns = kNever;
  for (const DeviceState& device : devices_) {
    for (const LocalLane& lane : device.lanes) {
      if (lane.open_ns <= 0) continue;
      int64_t look_ns = (now_ns / kSampleNs + 1) * kSampleNs;
      if (lane.parties > 1) look_ns = std::min(look_ns, now_ns + kSharedNs);
      wake_ns = std::min(wake_ns, look_ns);
    }
  }
  bool held_up = std::any_of(active_.begin(), active_.end(), [](const auto& stream) {
    return stream->handed < stream->queue.size();
  });
  for (const auto& stream : active_) {
    if (stream->queue.empty() || (stream->busy && stream->handed == 0)) continue;
    const Operation& first = stream->queue.front();
    if (stream->handed == 0 && DependenciesDone(first)) {
      if (first.ready) wake_ns = std::min(wake_ns, now_ns + kPollNs);
      if (first.calls_host) wake_ns = now_ns;
    }
    bool acts =
        held_up || std::any_of(stream->queue.begin(),
                               stream->queue.begin() + static_cast<std::ptrdiff_t>(stream->handed),
                               [](const Operation& each) { return bool{each.run}; });
    if (stream->handed > 0 && acts) {
      wake_ns = std::min(wake_ns, EndOf(*stream, stream->handed, wake_ns));
    }
  }
  return wake_ns;
}

void Engine::StartThread() {
  if (started_) return;
  started_ = true;
  devices_.resize(CurrentProcess()->devices.size());
  // The program's signals are its own threads' business.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread(&Engine::Loop, this).detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Engine::Loop() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // Nanoseconds: wake when told, not when convenient.
  Lock lock(mutex_);
  while (true) {
    while (!calls_.empty()) {
      std::function<void()> call = std::move(calls_.front());
      calls_.pop_front();
      lock.unlock();
      call();
      lock.lock();
    }
    CatchUp(lock, true);
    if (!calls_.empty()) continue;
    planned_ns_ = NextWake();
    if (planned_ns_ <= Map().Now()) continue;
    if (Map().has_virtual_clock()) {
      // Time is moved by those who wait; only conditions in memory are looked at meanwhile.
      work_.wait_for(lock, std::chrono::nanoseconds(kPollNs * 4));
    } else {
      SleepUntil(lock, work_, planned_ns_);
    }
  }
}

}  // namespace sluice::simgpu
