// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/stream.h"

#include <algorithm>

#include "simgpu/internal/cuda/graph.h"
#include "simgpu/internal/cuda/pool.h"

namespace sluice::simgpu {
namespace {

constexpr unsigned kNonBlocking = 1;

thread_local bool t_stream0_is_per_thread = false;
thread_local char t_thread_key = 0;  // Its address names the thread.
thread_local int t_capture_mode = 0;

const CUstream kLegacyHandle = reinterpret_cast<CUstream>(uintptr_t{1});
const CUstream kPerThreadHandle = reinterpret_cast<CUstream>(uintptr_t{2});

std::shared_ptr<Stream> NewStream(Context& context, unsigned flags, int priority) {
  auto stream = std::make_shared<Stream>();
  stream->context = &context;
  stream->device = context.device;
  stream->flags = flags;
  stream->priority = std::clamp(priority, kPriorityGreatest, 0);
  stream->id = ++CurrentProcess()->last_id;
  return stream;
}

const std::shared_ptr<Stream>& LegacyOf(Context& context) {
  if (context.legacy == nullptr) {
    context.legacy = NewStream(context, 0, 0);
    context.legacy->legacy = true;
  }
  return context.legacy;
}

// Needs the mutex.
std::shared_ptr<Stream> Resolve(CUstream handle) {
  Context* context = CurrentContext();
  bool zero = handle == nullptr;
  if (context != nullptr && (handle == kLegacyHandle || (zero && !t_stream0_is_per_thread))) {
    return LegacyOf(*context);
  }
  if (context != nullptr && (handle == kPerThreadHandle || zero)) {
    auto& own = context->per_thread[&t_thread_key];
    if (own == nullptr) own = NewStream(*context, 0, 0);
    return own;
  }
  auto found = CurrentProcess()->streams.find(handle);
  return found == CurrentProcess()->streams.end() ? nullptr : found->second;
}

bool Blocks(const Stream& stream) {
  return (stream.flags & kNonBlocking) == 0;
}

// Needs the mutex. Every stream of the context that stream 0 is a barrier to.
std::vector<std::shared_ptr<Stream>> BlockingOf(const Context& context) {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [handle, stream] : CurrentProcess()->streams) {
    if (stream->context == &context && Blocks(*stream)) streams.push_back(stream);
  }
  for (const auto& [thread, stream] : context.per_thread) streams.push_back(stream);
  return streams;
}

// Needs the mutex.
std::vector<Dependency> Implicit(const std::shared_ptr<Stream>& stream) {
  std::vector<Dependency> after;
  Engine& engine = CurrentProcess()->engine;
  auto add = [&](const std::shared_ptr<Stream>& other) {
    Dependency work{other, engine.Last(*other)};
    if (!engine.IsDone(work)) after.push_back(work);
  };
  Context& context = *stream->context;
  if (stream->legacy) {
    for (const auto& other : BlockingOf(context)) add(other);
  } else if (Blocks(*stream) && context.legacy != nullptr) {
    add(context.legacy);
  }
  return after;
}

// Work in stream 0 while a stream that it would wait for captures. Needs the mutex.
bool DisturbsCapture(const Stream& stream) {
  if (!stream.legacy || CurrentProcess()->captures.empty()) return false;
  for (const auto& other : BlockingOf(*stream.context)) {
    if (other->capture == nullptr) continue;
    other->capture->spoiled = true;
    return true;
  }
  return false;
}

CUresult Create(CUstream* made, unsigned flags, int priority) {
  CUresult ready = ReadyWithContext();
  return ready != CUDA_SUCCESS ? ready : MakeStream(*CurrentContext(), made, flags, priority);
}

}  // namespace

CUresult MakeStream(Context& context, CUstream* made, unsigned flags, int priority) {
  if (made == nullptr || (flags & ~kNonBlocking) != 0) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  auto stream = NewStream(context, flags, priority);
  *made = reinterpret_cast<CUstream>(stream.get());
  process.streams[*made] = stream;
  return CUDA_SUCCESS;
}

PerThreadScope::PerThreadScope() : before_(t_stream0_is_per_thread) {
  t_stream0_is_per_thread = true;
}
PerThreadScope::~PerThreadScope() {
  t_stream0_is_per_thread = before_;
}

std::shared_ptr<Stream> ResolveStream(CUstream handle) {
  std::lock_guard lock(CurrentProcess()->mutex);
  return Resolve(handle);
}

std::vector<Dependency> ImplicitDependencies(const std::shared_ptr<Stream>& stream) {
  std::lock_guard lock(CurrentProcess()->mutex);
  return Implicit(stream);
}

CUresult AllowUnsafe() {
  Process& process = *CurrentProcess();
  constexpr int kRelaxed = 2;
  if (t_capture_mode == kRelaxed) return CUDA_SUCCESS;
  std::lock_guard lock(process.mutex);
  for (const auto& capture : process.captures) {
    bool ours = capture->thread == std::this_thread::get_id();
    bool forbids = capture->mode == 0 ? (ours || t_capture_mode == 0) : capture->mode == 1 && ours;
    if (!forbids) continue;
    capture->spoiled = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return CUDA_SUCCESS;
}

CUresult ReadyToAllocate() {
  CUresult ready = ReadyWithContext();
  return ready == CUDA_SUCCESS ? AllowUnsafe() : ready;
}

namespace {

// `submitted` stays without a stream when the operation was captured.
CUresult Send(CUstream handle, Operation operation, int node_type, Dependency& submitted) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  CUresult passed = PassPoint(operation.lane == Lane::kKernel ? "submit" : "copy");
  if (passed != CUDA_SUCCESS) return passed;
  Process& process = *CurrentProcess();
  std::shared_ptr<Stream> stream;
  {
    std::lock_guard lock(process.mutex);
    stream = Resolve(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture != nullptr) {
      return CaptureNode(*stream, node_type, std::move(operation), 0);
    }
    if (DisturbsCapture(*stream)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    for (Dependency& work : Implicit(stream)) operation.after.push_back(std::move(work));
  }
  submitted.upto = process.engine.Submit(stream, std::move(operation));
  submitted.stream = std::move(stream);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult SubmitTo(CUstream handle, Operation operation, int node_type) {
  Dependency submitted;
  return Send(handle, std::move(operation), node_type, submitted);
}

CUresult SubmitAndWait(CUstream handle, Operation operation, int node_type) {
  Dependency submitted;
  CUresult sent = Send(handle, std::move(operation), node_type, submitted);
  if (sent == CUDA_SUCCESS && submitted.stream != nullptr) {
    CurrentProcess()->engine.Wait(submitted);
  }
  return sent;
}

CUresult RunNow(Operation operation) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  CUresult allowed = AllowUnsafe();
  if (allowed != CUDA_SUCCESS) return allowed;
  Process& process = *CurrentProcess();
  std::shared_ptr<Stream> stream = ResolveStream(nullptr);
  for (Dependency& work : ImplicitDependencies(stream)) operation.after.push_back(std::move(work));
  // The result is the caller's, not the context's.
  auto result = std::make_shared<CUresult>(CUDA_SUCCESS);
  operation.run = [result, run = std::move(operation.run)] {
    *result = run ? run() : CUDA_SUCCESS;
    return CUDA_SUCCESS;
  };
  uint64_t number = process.engine.Submit(stream, std::move(operation));
  process.engine.Wait({stream, number});
  CUresult health = stream->context->Health();
  return health != CUDA_SUCCESS ? health : *result;
}

void DrainContext(const Context& context) {
  Process& process = *CurrentProcess();
  std::vector<Dependency> pending;
  {
    std::lock_guard lock(process.mutex);
    auto add = [&](const std::shared_ptr<Stream>& stream) {
      if (stream != nullptr) pending.push_back({stream, process.engine.Last(*stream)});
    };
    add(context.legacy);
    for (const auto& [thread, stream] : context.per_thread) add(stream);
    for (const auto& [handle, stream] : process.streams) {
      if (stream->context == &context) add(stream);
    }
  }
  for (const Dependency& work : pending) process.engine.Wait(work);
}

void DropStreamsOf(const Context& context) {
  Process& process = *CurrentProcess();
  std::erase_if(process.streams,
                [&](const auto& entry) { return entry.second->context == &context; });
  std::erase_if(process.events,
                [&](const auto& entry) { return entry.second->context == &context; });
}

SLUICE_SIM_CALL cuStreamCreate(CUstream* stream, unsigned flags) {
  return Create(stream, flags, 0);
}

SLUICE_SIM_CALL cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  return Create(stream, flags, priority);
}

SLUICE_SIM_CALL cuStreamDestroy_v2(CUstream handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  // What is queued still runs: the engine keeps the stream until then.
  return CurrentProcess()->streams.erase(handle) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

SLUICE_SIM_CALL cuStreamDestroy(CUstream handle) {
  return cuStreamDestroy_v2(handle);
}

SLUICE_SIM_CALL cuStreamSynchronize(CUstream handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture != nullptr) {
    stream->capture->spoiled = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  Engine& engine = CurrentProcess()->engine;
  for (const Dependency& work : ImplicitDependencies(stream)) engine.Wait(work);
  engine.Wait({stream, engine.Last(*stream)});
  ReleasePools();
  return stream->context->Health();
}

SLUICE_SIM_CALL cuStreamQuery(CUstream handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture != nullptr) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  Engine& engine = CurrentProcess()->engine;
  engine.Update();
  bool idle = ImplicitDependencies(stream).empty() && engine.IsDone({stream, engine.Last(*stream)});
  return idle ? stream->context->Health() : CUDA_ERROR_NOT_READY;
}

SLUICE_SIM_CALL cuStreamGetFlags(CUstream handle, unsigned* flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *flags = stream->flags;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamGetPriority(CUstream handle, int* priority) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (priority == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *priority = stream->priority;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamGetId(CUstream handle, unsigned long long* id) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *id = stream->id;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamGetCtx(CUstream handle, CUcontext* context) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *context = ToHandle(stream->context);
  return CUDA_SUCCESS;
}

// Of a green context's stream the second answer, of another the first.
SLUICE_SIM_CALL cuStreamGetCtx_v2(CUstream handle, CUcontext* context, void** green) {
  CUcontext of = nullptr;
  CUresult got = cuStreamGetCtx(handle, &of);
  if (got != CUDA_SUCCESS) return got;
  if (context == nullptr || green == nullptr) return CUDA_ERROR_INVALID_VALUE;
  bool is_green = ToContext(of)->green_sms > 0;
  *green = is_green ? of : nullptr;
  *context = is_green ? nullptr : of;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamGetDevice(CUstream handle, CUdevice* device) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *device = stream->device;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Operation operation;
  operation.calls_host = true;
  operation.run = [function, data] {
    function(data);
    return CUDA_SUCCESS;
  };
  return SubmitTo(stream, std::move(operation), kNodeHost);
}

SLUICE_SIM_CALL
cuStreamAddCallback(CUstream handle, CUstreamCallback function, void* data, unsigned flags) {
  if (function == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  Operation operation;
  operation.calls_host = true;
  operation.run = [handle, function, data] {
    function(handle, CUDA_SUCCESS, data);
    return CUDA_SUCCESS;
  };
  return SubmitTo(handle, std::move(operation), kNodeHost);
}

SLUICE_SIM_CALL cuThreadExchangeStreamCaptureMode(int* mode) {
  if (mode == nullptr || *mode < 0 || *mode > 2) return CUDA_ERROR_INVALID_VALUE;
  std::swap(*mode, t_capture_mode);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
