// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unistd.h>

#include "simgpu/internal/cuda/graph.h"
#include "simgpu/internal/cuda/pool.h"

namespace sluice::simgpu {
namespace {

constexpr unsigned kDisableTiming = 2;
constexpr unsigned kInterprocess = 4;
constexpr unsigned kFlagsKnown = 7;

// Records into a capture: no node of its own, but what waits for the event waits for the nodes.
// Needs the mutex.
void RecordInCapture(Event& event, const Stream& stream) {
  event.captured = stream.capture;
  event.captured_after = stream.capture_after;
}

// Makes the stream part of the event's capture. Needs the mutex.
CUresult JoinCapture(Stream& stream, const Event& event) {
  if (stream.legacy) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  if (stream.capture != nullptr && stream.capture != event.captured) {
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  stream.capture = event.captured;
  for (CUgraphNode node : event.captured_after) {
    auto& after = stream.capture_after;
    if (std::find(after.begin(), after.end(), node) == after.end()) after.push_back(node);
  }
  return CUDA_SUCCESS;
}

CUresult Record(CUevent handle, CUstream stream_handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Event> event = ResolveEvent(handle);
  std::shared_ptr<Stream> stream = ResolveStream(stream_handle);
  if (event == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->device != stream->device) return CUDA_ERROR_INVALID_HANDLE;
  Process& process = *CurrentProcess();
  {
    std::lock_guard lock(process.mutex);
    if (stream->capture != nullptr) {
      RecordInCapture(*event, *stream);
      return CUDA_SUCCESS;
    }
    event->captured = nullptr;
  }
  Operation operation;
  operation.records = event;
  operation.after = ImplicitDependencies(stream);
  if (event->shared != nullptr) {
    operation.run = [shared = event->shared, number = ++event->shared->recorded] {
      uint64_t done = shared->done.load();
      while (done < number && !shared->done.compare_exchange_weak(done, number)) {
      }
      return CUDA_SUCCESS;
    };
  }
  uint64_t number = process.engine.Submit(stream, std::move(operation));
  std::lock_guard lock(process.mutex);
  event->recorded = {stream, number};
  return CUDA_SUCCESS;
}

Dependency RecordedOf(const Event& event) {
  std::lock_guard lock(CurrentProcess()->mutex);
  return event.recorded;
}

bool IsDone(const Event& event) {
  Dependency work = RecordedOf(event);
  CurrentProcess()->engine.Update();
  if (event.shared != nullptr) return event.shared->done >= event.shared->recorded;
  return work.stream == nullptr || CurrentProcess()->engine.IsDone(work);
}

}  // namespace

std::shared_ptr<Event> ResolveEvent(CUevent handle) {
  std::lock_guard lock(CurrentProcess()->mutex);
  auto found = CurrentProcess()->events.find(handle);
  return found == CurrentProcess()->events.end() ? nullptr : found->second;
}

SLUICE_SIM_CALL cuEventCreate(CUevent* made, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (made == nullptr || (flags & ~kFlagsKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  bool timed_between = (flags & kInterprocess) != 0 && (flags & kDisableTiming) == 0;
  if (timed_between) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  auto event = std::make_shared<Event>();
  event->context = CurrentContext();
  event->device = event->context->device;
  event->flags = flags;
  *made = reinterpret_cast<CUevent>(event.get());
  process.events[*made] = event;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuEventDestroy_v2(CUevent handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return CurrentProcess()->events.erase(handle) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
SLUICE_SIM_CALL cuEventDestroy(CUevent handle) {
  return cuEventDestroy_v2(handle);
}

CUresult RecordEvent(CUevent event, CUstream stream) {
  return Record(event, stream);
}

SLUICE_SIM_CALL cuEventRecord(CUevent event, CUstream stream) {
  return Record(event, stream);
}

SLUICE_SIM_CALL cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
  constexpr unsigned kExternal = 1;
  if (flags > kExternal) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Stream> into =
      flags == kExternal && Ready() == CUDA_SUCCESS ? ResolveStream(stream) : nullptr;
  if (into == nullptr || into->capture == nullptr) return Record(event, stream);
  // In a capture: a node that records the event for those outside.
  if (ResolveEvent(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(CurrentProcess()->mutex);
  CUresult added = CaptureNode(*into, kNodeEventRecord, {}, 0);
  if (added == CUDA_SUCCESS) ToNode(into->capture_after.back())->event = event;
  return added;
}

SLUICE_SIM_CALL cuEventQuery(CUevent handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Event> event = ResolveEvent(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->captured != nullptr) return CUDA_ERROR_CAPTURED_EVENT;
  return IsDone(*event) ? event->context->Health() : CUDA_ERROR_NOT_READY;
}

SLUICE_SIM_CALL cuEventSynchronize(CUevent handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Event> event = ResolveEvent(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->captured != nullptr) return CUDA_ERROR_CAPTURED_EVENT;
  Dependency work = RecordedOf(*event);
  if (work.stream != nullptr) CurrentProcess()->engine.Wait(work);
  constexpr useconds_t kLookUs = 200;
  while (!IsDone(*event)) ::usleep(kLookUs);  // Another process's.
  ReleasePools();
  return event->context->Health();
}

SLUICE_SIM_CALL cuEventElapsedTime_v2(float* milliseconds, CUevent from, CUevent to) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Event> first = ResolveEvent(from);
  std::shared_ptr<Event> last = ResolveEvent(to);
  if (first == nullptr || last == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
  bool timed = ((first->flags | last->flags) & kDisableTiming) == 0;
  bool recorded = RecordedOf(*first).stream != nullptr && RecordedOf(*last).stream != nullptr;
  if (!timed || !recorded) return CUDA_ERROR_INVALID_HANDLE;
  if (!IsDone(*first) || !IsDone(*last)) return CUDA_ERROR_NOT_READY;
  int64_t between_ns = last->ended_ns.load() - first->ended_ns.load();
  *milliseconds = static_cast<float>(static_cast<double>(between_ns) / 1e6);
  return CUDA_SUCCESS;
}
SLUICE_SIM_CALL cuEventElapsedTime(float* milliseconds, CUevent from, CUevent to) {
  return cuEventElapsedTime_v2(milliseconds, from, to);
}

SLUICE_SIM_CALL cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  return flags > 1 ? CUDA_ERROR_INVALID_VALUE : WaitForEvent(stream, event);
}

CUresult WaitForEvent(CUstream stream_handle, CUevent handle) {
  std::shared_ptr<Event> event = ResolveEvent(handle);
  std::shared_ptr<Stream> stream = ResolveStream(stream_handle);
  if (event == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Operation operation;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    if (event->captured != nullptr) return JoinCapture(*stream, *event);
    if (stream->capture != nullptr) {
      stream->capture->spoiled = true;
      return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (event->shared != nullptr) {
      operation.ready = [shared = event->shared, number = event->shared->recorded.load()] {
        return shared->done >= number;
      };
    } else if (event->recorded.stream == nullptr) {
      return CUDA_SUCCESS;
    } else {
      operation.after.push_back(event->recorded);
    }
  }
  CurrentProcess()->engine.Submit(stream, std::move(operation));
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
