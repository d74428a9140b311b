// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/context.h"
#include "simgpu/internal/cuda/stream.h"

// Green contexts: parts of a card's multiprocessors. They share the primary context's memory and
// cost none of their own; a kernel in one takes as long as anywhere else here.
namespace sluice::simgpu {
namespace {

constexpr int kResourceSm = 1;
constexpr unsigned kMost = kMultiprocessors;
constexpr unsigned kPartMin = 4;   // Multiprocessors of the smallest part…
constexpr unsigned kPartStep = 2;  // …and by how many it grows.
constexpr uint64_t kDescMagic = 0x534c44455343;

struct Resource {
  int type;
  unsigned char padding[92];
  unsigned sm_count, part_min, part_align;
  unsigned char rest[36];
};
static_assert(sizeof(Resource) == 144);

struct Desc {
  uint64_t magic;
  unsigned sm_count;
};

Resource Multiprocessors(unsigned count) {
  Resource resource{};
  resource.type = kResourceSm;
  resource.sm_count = count;
  resource.part_min = kPartMin;
  resource.part_align = kPartStep;
  return resource;
}

CUresult Answer(Resource* out, int type, unsigned count) {
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (type != kResourceSm) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  *out = Multiprocessors(count);
  return CUDA_SUCCESS;
}

// Of a card or of the part of one that the process has.
unsigned AllOf(CUdevice device) {
  return static_cast<unsigned>(
      CurrentProcess()->devices[static_cast<size_t>(device)].multiprocessors);
}

Context* ToGreen(void* handle) {
  auto* context = static_cast<Context*>(handle);
  if (!IsContext(ToHandle(context))) return nullptr;
  return context->green_sms > 0 && !context->destroyed ? context : nullptr;
}

// All work in the context so far.
std::vector<Dependency> WorkOf(const Context& context) {
  std::lock_guard lock(CurrentProcess()->mutex);
  std::vector<Dependency> all;
  auto add = [&](const std::shared_ptr<Stream>& stream) {
    if (stream != nullptr) all.push_back({stream, CurrentProcess()->engine.Last(*stream)});
  };
  add(context.legacy);
  for (const auto& [thread, stream] : context.per_thread) add(stream);
  for (const auto& [handle, stream] : CurrentProcess()->streams) {
    if (stream->context == &context) add(stream);
  }
  return all;
}

CUresult RecordAll(Context* context, CUevent handle) {
  std::shared_ptr<Event> event = ResolveEvent(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  auto gathering = std::make_shared<Stream>();
  gathering->context = context;
  gathering->device = context->device;
  Operation operation;
  operation.records = event;
  operation.after = WorkOf(*context);
  uint64_t number = CurrentProcess()->engine.Submit(gathering, std::move(operation));
  std::lock_guard lock(CurrentProcess()->mutex);
  event->captured = nullptr;
  event->recorded = {gathering, number};
  return CUDA_SUCCESS;
}

CUresult WaitAll(const Context* context, CUevent handle) {
  std::vector<CUstream> streams;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    for (const auto& [stream_handle, stream] : CurrentProcess()->streams) {
      if (stream->context == context) streams.push_back(stream_handle);
    }
  }
  for (CUstream stream : streams) {
    CUresult waits = WaitForEvent(stream, handle);
    if (waits != CUDA_SUCCESS) return waits;
  }
  return ResolveEvent(handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuDevicePrimaryCtxRetain(CUcontext* handle, CUdevice ordinal);
SLUICE_SIM_CALL cuDevicePrimaryCtxRelease_v2(CUdevice ordinal);

SLUICE_SIM_CALL cuDeviceGetDevResource(CUdevice device, Resource* out, int type) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  return IsDevice(device) ? Answer(out, type, AllOf(device)) : CUDA_ERROR_INVALID_DEVICE;
}

SLUICE_SIM_CALL cuCtxGetDevResource(CUcontext handle, Resource* out, int type) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  unsigned own = ToContext(handle)->green_sms;
  return Answer(out, type, own > 0 ? own : AllOf(ToContext(handle)->device));
}

SLUICE_SIM_CALL cuGreenCtxGetDevResource(void* handle, Resource* out, int type) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  const Context* context = ToGreen(handle);
  return context == nullptr ? CUDA_ERROR_INVALID_CONTEXT : Answer(out, type, context->green_sms);
}

SLUICE_SIM_CALL cuDevSmResourceSplitByCount(Resource* parts,
                                            unsigned* count,
                                            const Resource* input,
                                            Resource* rest,
                                            unsigned flags,
                                            unsigned least) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kFlagsKnown = 3;
  bool sound = count != nullptr && input != nullptr && input->type == kResourceSm &&
               input->sm_count <= kMost && flags <= kFlagsKnown;
  if (!sound) return CUDA_ERROR_INVALID_VALUE;
  unsigned size = std::max(least, kPartMin);
  size = (std::min(size, kMost) + kPartStep - 1) / kPartStep * kPartStep;
  unsigned possible = input->sm_count / size;
  if (parts == nullptr) {
    *count = possible;
    return CUDA_SUCCESS;
  }
  *count = std::min(*count, possible);
  for (unsigned i = 0; i < *count; ++i) parts[i] = Multiprocessors(size);
  if (rest != nullptr) *rest = Multiprocessors(input->sm_count - *count * size);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDevResourceGenerateDesc(void** out, const Resource* parts, unsigned count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || parts == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  unsigned all = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (parts[i].type != kResourceSm || parts[i].sm_count > kMost) {
      return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    }
    all = std::min(all + parts[i].sm_count, kMost);
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  // Descriptions have no end in the vendor's interface either.
  auto* desc = new Desc{kDescMagic, all};
  CurrentProcess()->resource_descs.insert(desc);
  *out = desc;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGreenCtxCreate(void** out, void* desc_handle, CUdevice device, unsigned flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kDefaultStream = 1;
  if (out == nullptr || flags != kDefaultStream) return CUDA_ERROR_INVALID_VALUE;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  unsigned sms = 0;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    if (!CurrentProcess()->resource_descs.contains(desc_handle)) return CUDA_ERROR_INVALID_VALUE;
    sms = static_cast<const Desc*>(desc_handle)->sm_count;
  }
  CUcontext primary = nullptr;
  CUresult retained = cuDevicePrimaryCtxRetain(&primary, device);
  if (retained != CUDA_SUCCESS) return retained;
  std::lock_guard lock(CurrentProcess()->mutex);
  Context& context = NewContext(device, 0);
  context.green_sms = std::max(sms, 1u);
  context.active = true;
  *out = &context;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGreenCtxDestroy(void* handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = ToGreen(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  DrainContext(*context);
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    DropStreamsOf(*context);
    FreeBlocksOf(*context);
    context->active = false;
    context->destroyed = true;
  }
  return cuDevicePrimaryCtxRelease_v2(context->device);
}

SLUICE_SIM_CALL cuCtxFromGreenCtx(CUcontext* out, void* handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = ToGreen(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = ToHandle(context);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGreenCtxGetId(void* handle, unsigned long long* id) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  const Context* context = ToGreen(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *id = context->id;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuGreenCtxStreamCreate(CUstream* out, void* handle, unsigned flags, int priority) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kNonBlocking = 1;
  Context* context = ToGreen(handle);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (flags != kNonBlocking) return CUDA_ERROR_INVALID_VALUE;
  return MakeStream(*context, out, flags, priority);
}

SLUICE_SIM_CALL cuStreamGetGreenCtx(CUstream handle, void** out) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = stream->context->green_sms > 0 ? stream->context : nullptr;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGreenCtxRecordEvent(void* handle, CUevent event) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = ToGreen(handle);
  return context == nullptr ? CUDA_ERROR_INVALID_CONTEXT : RecordAll(context, event);
}
SLUICE_SIM_CALL cuGreenCtxWaitEvent(void* handle, CUevent event) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  const Context* context = ToGreen(handle);
  return context == nullptr ? CUDA_ERROR_INVALID_CONTEXT : WaitAll(context, event);
}
SLUICE_SIM_CALL cuCtxRecordEvent(CUcontext handle, CUevent event) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  return RecordAll(ToContext(handle), event);
}
SLUICE_SIM_CALL cuCtxWaitEvent(CUcontext handle, CUevent event) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || !IsContext(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  return WaitAll(ToContext(handle), event);
}

}  // namespace sluice::simgpu
