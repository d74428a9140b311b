// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/context.h"

#include "simgpu/internal/cuda/array.h"
#include "simgpu/internal/cuda/pool.h"
#include "simgpu/internal/cuda/stream.h"

namespace sluice::simgpu {
namespace {

constexpr int kStackMax = 64;
constexpr unsigned kFlagsKnown = 0x3ff;

// Per thread: the contexts pushed, the last one current.
struct ContextStack {
  Context* entries[kStackMax];
  int depth;
};
thread_local ContextStack t_stack{};

// Charges the card for a context; needs the mutex.
CUresult Activate(Context& context) {
  Process& process = *CurrentProcess();
  CUresult passed = PassPoint("context");
  if (passed != CUDA_SUCCESS) return passed;
  CUresult charged = ChargeCard(context.device, process.scene.context.value());
  if (charged != CUDA_SUCCESS) return charged;
  process.map.AddContexts(process.devices[static_cast<size_t>(context.device)].unit, 1);
  context.active = true;
  return CUDA_SUCCESS;
}

// Requires: the context was drained.
void Deactivate(Context& context) {
  if (!context.active) return;
  Process& process = *CurrentProcess();
  DropStreamsOf(context);
  FreeBlocksOf(context);
  FreeArraysOf(context);
  UnchargeCard(context.device, process.scene.context.value());
  process.map.AddContexts(process.devices[static_cast<size_t>(context.device)].unit, -1);
  context.active = false;
}

void DrainPrimary(int ordinal) {
  Context* context = nullptr;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    context = ToContext(CurrentProcess()->devices[static_cast<size_t>(ordinal)].primary);
  }
  if (context != nullptr) DrainContext(*context);
}

CUresult Push(Context* context) {
  if (t_stack.depth == kStackMax) return CUDA_ERROR_INVALID_VALUE;
  t_stack.entries[t_stack.depth++] = context;
  return CUDA_SUCCESS;
}

// The context that a call means: the handle's, or the current one for null.
Context* Meant(CUcontext handle) {
  if (handle == nullptr) return CurrentContext();
  return IsContext(handle) ? ToContext(handle) : nullptr;
}

CUresult Create(CUcontext* made, unsigned flags, CUdevice device) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (made == nullptr || (flags & ~kFlagsKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Context& context = NewContext(device, flags);
  CUresult active = Activate(context);
  if (active != CUDA_SUCCESS) {
    context.destroyed = true;
    return active;
  }
  *made = ToHandle(&context);
  return Push(&context);
}

// A field of the current context.
template <typename T>
CUresult Show(T Context::*field, T* into) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (into == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *into = CurrentContext()->*field;
  return CUDA_SUCCESS;
}

}  // namespace

Context& NewContext(int device, unsigned flags) {
  Process& process = *CurrentProcess();
  auto context = std::make_unique<Context>();
  context->device = device;
  context->flags = flags;
  context->id = process.contexts.size() + 1;
  Context& made = *context;
  process.context_handles.insert(&made);
  process.contexts.push_back(std::move(context));
  return made;
}

Context* CurrentContext() {
  return t_stack.depth == 0 ? nullptr : t_stack.entries[t_stack.depth - 1];
}

bool IsContext(CUcontext handle) {
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  return process.context_handles.count(ToContext(handle)) == 1;
}

SLUICE_SIM_CALL cuCtxCreate(CUcontext* context, unsigned flags, CUdevice device) {
  return Create(context, flags, device);
}

SLUICE_SIM_CALL cuCtxCreate_v2(CUcontext* context, unsigned flags, CUdevice device) {
  return Create(context, flags, device);
}

// The affinity list and the creation parameters shape multi-process service and graphics
// interplay, which no simulated card has.
SLUICE_SIM_CALL
cuCtxCreate_v3(CUcontext* context, const void* affinity, int count, unsigned flags, CUdevice dev) {
  if (affinity != nullptr || count != 0) return CUDA_ERROR_NOT_SUPPORTED;
  return Create(context, flags, dev);
}

SLUICE_SIM_CALL
cuCtxCreate_v4(CUcontext* context, const void* /*parameters*/, unsigned flags, CUdevice device) {
  return Create(context, flags, device);
}

SLUICE_SIM_CALL cuCtxDestroy_v2(CUcontext handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  Context* context = ToContext(handle);
  bool ordinary = !context->primary && context->green_sms == 0;
  if (!ordinary || context->destroyed) return CUDA_ERROR_INVALID_CONTEXT;
  DrainContext(*context);
  std::lock_guard lock(CurrentProcess()->mutex);
  Deactivate(*context);
  context->destroyed = true;
  if (CurrentContext() == context) --t_stack.depth;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxDestroy(CUcontext handle) {
  return cuCtxDestroy_v2(handle);
}

SLUICE_SIM_CALL cuCtxPushCurrent_v2(CUcontext handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  return ToContext(handle)->destroyed ? CUDA_ERROR_CONTEXT_IS_DESTROYED : Push(ToContext(handle));
}

SLUICE_SIM_CALL cuCtxPopCurrent_v2(CUcontext* popped) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (t_stack.depth == 0) return CUDA_ERROR_INVALID_CONTEXT;
  Context* context = t_stack.entries[--t_stack.depth];
  if (popped != nullptr) *popped = ToHandle(context);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxPushCurrent(CUcontext handle) {
  return cuCtxPushCurrent_v2(handle);
}
SLUICE_SIM_CALL cuCtxPopCurrent(CUcontext* popped) {
  return cuCtxPopCurrent_v2(popped);
}

SLUICE_SIM_CALL cuCtxSetCurrent(CUcontext handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle != nullptr && !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  if (t_stack.depth > 0) --t_stack.depth;
  return handle == nullptr ? CUDA_SUCCESS : Push(ToContext(handle));
}

SLUICE_SIM_CALL cuCtxGetCurrent(CUcontext* handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *handle = ToHandle(CurrentContext());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetDevice(CUdevice* device) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *device = CurrentContext()->device;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetDevice_v2(CUdevice* device, CUcontext handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = Meant(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *device = context->device;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetFlags(unsigned* flags) {
  return Show(&Context::flags, flags);
}

SLUICE_SIM_CALL cuCtxSetFlags(unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if ((flags & ~kFlagsKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  CurrentContext()->flags = flags;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetId(CUcontext handle, unsigned long long* id) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = Meant(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *id = context->id;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetApiVersion(CUcontext handle, unsigned* version) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (Meant(handle) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  constexpr unsigned kContextApi = 3020;
  *version = kContextApi;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevicePrimaryCtxRetain(CUcontext* handle, CUdevice ordinal) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  Device& device = process.devices[static_cast<size_t>(ordinal)];
  if (device.primary == nullptr) {
    Context& made = NewContext(ordinal, device.primary_flags);
    made.primary = true;
    device.primary = ToHandle(&made);
  }
  Context& context = *ToContext(device.primary);
  if (!context.active) {
    CUresult active = Activate(context);
    if (active != CUDA_SUCCESS) return active;
    context.flags = device.primary_flags;
    context.sticky.store(0);
  }
  ++device.primary_retains;
  *handle = device.primary;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  Process& process = *CurrentProcess();
  DrainPrimary(ordinal);
  std::lock_guard lock(process.mutex);
  Device& device = process.devices[static_cast<size_t>(ordinal)];
  if (device.primary_retains == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (--device.primary_retains == 0) Deactivate(*ToContext(device.primary));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevicePrimaryCtxRelease(CUdevice ordinal) {
  return cuDevicePrimaryCtxRelease_v2(ordinal);
}

SLUICE_SIM_CALL cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  Process& process = *CurrentProcess();
  DrainPrimary(ordinal);
  std::lock_guard lock(process.mutex);
  Device& device = process.devices[static_cast<size_t>(ordinal)];
  device.primary_retains = 0;
  if (device.primary != nullptr) Deactivate(*ToContext(device.primary));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevicePrimaryCtxReset(CUdevice ordinal) {
  return cuDevicePrimaryCtxReset_v2(ordinal);
}

SLUICE_SIM_CALL cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned* flags, int* active) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  const Device& device = process.devices[static_cast<size_t>(ordinal)];
  *flags = device.primary_flags;
  *active = device.primary_retains > 0 ? 1 : 0;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  if ((flags & ~kFlagsKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  process.devices[static_cast<size_t>(ordinal)].primary_flags = flags;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevicePrimaryCtxSetFlags(CUdevice ordinal, unsigned flags) {
  return cuDevicePrimaryCtxSetFlags_v2(ordinal, flags);
}

SLUICE_SIM_CALL cuCtxSynchronize() {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  CUresult allowed = AllowUnsafe();
  if (allowed != CUDA_SUCCESS) return allowed;
  Context& context = *CurrentContext();
  DrainContext(context);
  ReleasePools();
  return context.Health();
}

SLUICE_SIM_CALL cuCtxSynchronize_v2(CUcontext handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = Meant(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  DrainContext(*context);
  return context->Health();
}

namespace {

struct LimitRow {
  int limit;
  size_t value;
};

// Stack, printf buffer, heap, nesting depth, pending launches, L2 fetch, persisting L2.
constexpr LimitRow kLimits[] = {
    {0, 1024}, {1, 1 << 20}, {2, 8 << 20}, {3, 2}, {4, 2048}, {5, 64}, {6, 0}};

}  // namespace

SLUICE_SIM_CALL cuCtxGetLimit(size_t* value, int limit) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  for (const LimitRow& row : kLimits) {
    if (row.limit != limit) continue;
    auto set = CurrentContext()->limits.find(limit);
    *value = set == CurrentContext()->limits.end() ? row.value : set->second;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_UNSUPPORTED_LIMIT;
}

SLUICE_SIM_CALL cuCtxSetLimit(int limit, size_t value) {
  size_t old = 0;
  CUresult got = cuCtxGetLimit(&old, limit);
  if (got != CUDA_SUCCESS) return got;
  std::lock_guard lock(CurrentProcess()->mutex);
  CurrentContext()->limits[limit] = value;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetCacheConfig(int* config) {
  return Show(&Context::cache_config, config);
}

SLUICE_SIM_CALL cuCtxSetCacheConfig(int config) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  CurrentContext()->cache_config = config;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = kPriorityGreatest;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
