// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/engine.h"

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <signal.h>
#include <thread>

#include "simgpu/internal/cuda/context.h"
#include "simgpu/internal/cuda/stream.h"

namespace sluice::simgpu {
namespace {

constexpr int64_t kSliceNs = 1'000'000;   // How often a shared card is looked at.
constexpr int64_t kAloneNs = 10'000'000;  // How often a card that nobody else uses.
constexpr int64_t kPollNs = 100'000;      // How often a condition in memory is looked at.
constexpr int64_t kReclaimNs = 250'000'000;

int CardOf(int device) {
  return CurrentProcess()->devices[static_cast<size_t>(device)].card;
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

void Engine::Activate(const std::shared_ptr<Stream>& stream) {
  if (std::find(active_.begin(), active_.end(), stream) == active_.end()) {
    active_.push_back(stream);
  }
}

uint64_t Engine::Submit(const std::shared_ptr<Stream>& stream, Operation operation) {
  operation.submitted_ns = MonotonicNs();
  std::unique_lock lock(mutex_);
  uint64_t number = ++stream->submitted;
  bool at_once = stream->queue.empty() && !stream->busy && operation.duration_ns == 0 &&
                 !operation.ready && !operation.calls_host && DependenciesDone(operation);
  stream->queue.push_back(std::move(operation));
  if (at_once) {
    stream->busy = true;
    Complete(lock, stream, ReadyAt(*stream, stream->queue.front()));
    // Others may have queued behind it meanwhile.
    if (stream->queue.empty()) return number;
  }
  Activate(stream);
  StartThread();
  work_.notify_one();
  return number;
}

bool Engine::IsDone(const Dependency& work) {
  std::lock_guard lock(mutex_);
  return work.stream->completed >= work.upto;
}

void Engine::Wait(const Dependency& work) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return work.stream->completed >= work.upto; });
}

uint64_t Engine::Last(Stream& stream) {
  std::lock_guard lock(mutex_);
  return stream.submitted;
}

// Runs the stream's first operation, which the caller marked busy, and takes it off.
void Engine::Complete(std::unique_lock<std::mutex>& lock,
                      const std::shared_ptr<Stream>& stream,
                      int64_t end_ns) {
  Operation operation = std::move(stream->queue.front());
  lock.unlock();
  CUresult result = operation.run ? operation.run() : CUDA_SUCCESS;
  if (result != CUDA_SUCCESS) stream->context->sticky.store(result);
  if (operation.records != nullptr) operation.records->ended_ns.store(end_ns);
  operation.run = nullptr;
  lock.lock();
  stream->queue.pop_front();
  stream->busy = false;
  ++stream->completed;
  stream->last_ns = std::max(stream->last_ns, end_ns);
  done_.notify_all();
  work_.notify_one();  // Another stream may wait for this one.
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
  std::unique_lock lock(mutex_);
  while (true) {
    wake_ns_ = 0;
    bool moved = Begin(lock);
    moved = Advance(lock) || moved;
    if (moved) continue;
    if (wake_ns_ == 0) {
      work_.wait(lock);
      continue;
    }
    int64_t wait_ns = wake_ns_ - MonotonicNs();
    if (wait_ns > 0) work_.wait_for(lock, std::chrono::nanoseconds(wait_ns));
  }
}

// Starts what may start: runs operations that take no time, gives the others a free lane. Returns
// whether anything moved.
bool Engine::Begin(std::unique_lock<std::mutex>& lock) {
  std::erase_if(active_, [](const auto& stream) { return stream->queue.empty(); });
  // Most urgent first (a lower number is more urgent), then who waited longest.
  std::stable_sort(active_.begin(), active_.end(), [](const auto& a, const auto& b) {
    return a->priority != b->priority ? a->priority < b->priority : a->turn < b->turn;
  });
  for (const auto& stream : active_) {
    if (stream->busy) continue;
    Operation& first = stream->queue.front();
    if (!DependenciesDone(first)) continue;
    if (first.ready && !first.ready()) {
      int64_t again = MonotonicNs() + kPollNs;
      wake_ns_ = wake_ns_ == 0 ? again : std::min(wake_ns_, again);
      continue;
    }
    std::shared_ptr<Stream> chosen = stream;
    if (first.duration_ns == 0) {
      chosen->busy = true;
      int64_t end_ns = ReadyAt(*chosen, first);
      if (first.ready) end_ns = MonotonicNs();
      Complete(lock, chosen, end_ns);
      return true;
    }
    LaneState& lane =
        devices_[static_cast<size_t>(stream->device)].lanes[static_cast<int>(first.lane)];
    if (lane.stream != nullptr) continue;
    chosen->busy = true;
    chosen->turn = ++turn_;
    lane.stream = chosen;
    lane.remaining_ns = first.duration_ns;
    lane.last_ns = std::max(lane.last_ns, ReadyAt(*chosen, first));
    return true;
  }
  return false;
}

// How many processes share the card now.
int Engine::Sharers(int device) {
  DeviceState& state = devices_[static_cast<size_t>(device)];
  DeviceMap& map = CurrentProcess()->map;
  int count = map.RunningCount(CardOf(device));
  int64_t now = MonotonicNs();
  if (count > 1 && now - state.reclaimed_ns > kReclaimNs) {
    state.reclaimed_ns = now;
    map.ReclaimDead();
    count = map.RunningCount(CardOf(device));
  }
  return std::max(count, 1);
}

bool Engine::AdvanceLane(std::unique_lock<std::mutex>& lock, int device, int lane_number) {
  LaneState& lane = devices_[static_cast<size_t>(device)].lanes[lane_number];
  if (lane.stream == nullptr) return false;
  bool kernels = lane_number == static_cast<int>(Lane::kKernel);
  int64_t sharers = kernels ? Sharers(device) : 1;
  int64_t now = MonotonicNs();
  int64_t elapsed = std::max<int64_t>(now - lane.last_ns, 0);
  int64_t progress = std::min(elapsed / sharers, lane.remaining_ns);
  if (kernels) {
    CurrentProcess()->map.AddBusy(CardOf(device), lane.last_ns, lane.last_ns + progress);
  }
  lane.remaining_ns -= progress;
  if (lane.remaining_ns > 0) {
    lane.last_ns = std::max(lane.last_ns, now);
    int64_t slice = sharers > 1 ? kSliceNs : kAloneNs;
    int64_t again = now + std::min(lane.remaining_ns * sharers, slice);
    wake_ns_ = wake_ns_ == 0 ? again : std::min(wake_ns_, again);
    return false;
  }
  int64_t end_ns = lane.last_ns + progress * sharers;
  lane.last_ns = end_ns;
  std::shared_ptr<Stream> stream = std::move(lane.stream);
  lane.stream = nullptr;
  Complete(lock, stream, end_ns);
  return true;
}

bool Engine::Advance(std::unique_lock<std::mutex>& lock) {
  bool moved = false;
  for (size_t device = 0; device < devices_.size(); ++device) {
    DeviceState& state = devices_[device];
    bool running = state.lanes[static_cast<int>(Lane::kKernel)].stream != nullptr;
    if (running != state.running) {
      state.running = running;
      CurrentProcess()->map.SetRunning(CardOf(static_cast<int>(device)), running);
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      moved = AdvanceLane(lock, static_cast<int>(device), lane) || moved;
    }
  }
  return moved;
}

}  // namespace sluice::simgpu
