// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>

#include "simgpu/internal/cuda/context.h"
#include "simgpu/internal/cuda/engine.h"

namespace sluice::simgpu {

// An event as processes share it: a file of the state folder, mapped.
struct SharedEvent {
  std::atomic<uint64_t> recorded{0};
  std::atomic<uint64_t> done{0};
};

struct Event {
  Context* context = nullptr;
  int device = 0;
  unsigned flags = 0;
  // The latest record; stream null: never recorded, so complete.
  Dependency recorded;
  std::atomic<int64_t> ended_ns{0};
  SharedEvent* shared = nullptr;  // Mapped for the life of the process.
  uint32_t shared_slot = 0;
  uint64_t shared_name = 0;
  std::shared_ptr<Capture> captured;        // Last recorded in a capture…
  std::vector<CUgraphNode> captured_after;  // …after these nodes.
};

// While one lives, stream 0 of the calling thread means its own stream: the `_ptsz` and `_ptds`
// forms of a call are the plain form inside one of these.
class PerThreadScope {
 public:
  PerThreadScope();
  ~PerThreadScope();
  PerThreadScope(const PerThreadScope&) = delete;
  PerThreadScope& operator=(const PerThreadScope&) = delete;

 private:
  bool before_;
};

// The stream that a handle means to the calling thread in its current context; null: a handle that
// is not a stream. Takes the process's mutex, as do the functions below.
std::shared_ptr<Stream> ResolveStream(CUstream handle);
std::shared_ptr<Event> ResolveEvent(CUevent handle);

CUresult MakeStream(Context& context, CUstream* made, unsigned flags, int priority);

// What cuEventRecord and cuStreamWaitEvent do, for calls that do it among other things.
CUresult RecordEvent(CUevent event, CUstream stream);
CUresult WaitForEvent(CUstream stream, CUevent event);

// Sends an operation on its way, or into the graph that the stream is capturing. `label` names the
// kind of node it becomes.
CUresult SubmitTo(CUstream handle, Operation operation, int node_type);

// The same, and waits for its end unless it was captured.
CUresult SubmitAndWait(CUstream handle, Operation operation, int node_type);

inline constexpr int kPriorityGreatest = -5;

// Whether a call that might wait for or disturb a capture may go on now: not while the calling
// thread, or in global mode any thread, captures. Such a call spoils the capture.
CUresult AllowUnsafe();

// ReadyWithContext and AllowUnsafe: how a call that allocates begins.
CUresult ReadyToAllocate();

// Runs an operation in stream 0 and waits for it: what a call without a stream does. Refused while
// the calling thread captures in a way that forbids it.
CUresult RunNow(Operation operation);

// Waits for everything in a context.
void DrainContext(const Context& context);

// Forgets the streams and events of a context that ends.
void DropStreamsOf(const Context& context);

// Adds what stream 0's rules make `stream` wait for next.
std::vector<Dependency> ImplicitDependencies(const std::shared_ptr<Stream>& stream);

}  // namespace sluice::simgpu
