// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/array.h"

#include <algorithm>

#include "simgpu/internal/cuda/stream.h"

namespace sluice::simgpu {
namespace {

struct FormatRow {
  int format;
  size_t bytes;
};

// Those with a whole number of bytes per channel.
constexpr FormatRow kFormats[] = {
    {0x01, 1}, {0x02, 2}, {0x03, 4}, {0x08, 1}, {0x09, 2}, {0x0a, 4}, {0x10, 2}, {0x20, 4}};

constexpr size_t kSideMax = 131072;
constexpr size_t kAlignment = 65536;

// Fills what follows from the shape. Fails for a shape that no card has.
CUresult Measure(Array& array) {
  const CUDA_ARRAY3D_DESCRIPTOR& shape = array.shape;
  bool channels = shape.NumChannels == 1 || shape.NumChannels == 2 || shape.NumChannels == 4;
  const auto* row = std::find_if(std::begin(kFormats), std::end(kFormats), [&](const auto& entry) {
    return entry.format == shape.Format;
  });
  bool sides = shape.Width > 0 && shape.Width <= kSideMax && shape.Height <= kSideMax &&
               shape.Depth <= kSideMax;
  if (!channels || row == std::end(kFormats) || !sides) return CUDA_ERROR_INVALID_VALUE;
  array.element_bytes = row->bytes * shape.NumChannels;
  array.row_bytes = shape.Width * array.element_bytes;
  array.rows = std::max<size_t>(shape.Height, 1);
  array.layers = std::max<size_t>(shape.Depth, 1);
  return CUDA_SUCCESS;
}

int64_t Granules(size_t bytes) {
  return RoundUp(static_cast<int64_t>(bytes), kGranularity);
}

CUresult Take(int device, size_t bytes, int64_t& charged, char*& base) {
  int64_t span = Granules(bytes);
  CUresult got = ChargeCard(device, span);
  if (got != CUDA_SUCCESS) return got;
  base = MapPages(static_cast<size_t>(span), Place::kAnywhere);
  if (base == nullptr) {
    UnchargeCard(device, span);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  charged = span;
  return CUDA_SUCCESS;
}

void GiveUp(int device, char* base, int64_t charged) {
  UnmapPages(base, static_cast<size_t>(charged));
  UnchargeCard(device, charged);
}

void End(Array* array) {
  for (const auto& [place, memory] : array->tiles) LetGoMemory(memory);
  UnmapPages(array->base, array->span);
  if (array->charged > 0) UnchargeCard(array->device, array->charged);
  CurrentProcess()->arrays.erase(array);
  delete array;
}

CUresult Create(CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR& shape) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto array = std::make_unique<Array>();
  array->shape = shape;
  CUresult measured = Measure(*array);
  if (measured != CUDA_SUCCESS) return measured;
  std::lock_guard lock(CurrentProcess()->mutex);
  array->context = CurrentContext();
  array->device = array->context->device;
  constexpr unsigned kSparse = 0x40;
  array->sparse = (shape.Flags & kSparse) != 0;
  if (array->sparse) {
    // Addresses alone: memory is what is mapped to it.
    array->span = static_cast<size_t>(Granules(array->bytes()));
    array->base = MapPages(array->span, Place::kAnywhere);
    if (array->base == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  } else {
    CUresult taken = Take(array->device, array->bytes(), array->charged, array->base);
    if (taken != CUDA_SUCCESS) return taken;
    array->span = static_cast<size_t>(array->charged);
  }
  CurrentProcess()->arrays.insert(array.get());
  *handle = reinterpret_cast<CUarray>(array.release());
  return CUDA_SUCCESS;
}

MipmappedArray* ToMipmapped(CUmipmappedArray handle) {
  auto* array = reinterpret_cast<MipmappedArray*>(handle);
  return CurrentProcess()->mipmapped.contains(array) ? array : nullptr;
}

}  // namespace

Array* ToArray(CUarray handle) {
  auto* array = reinterpret_cast<Array*>(handle);
  return CurrentProcess()->arrays.contains(array) ? array : nullptr;
}

void FreeArraysOf(const Context& context) {
  Process& process = *CurrentProcess();
  for (auto entry = process.mipmapped.begin(); entry != process.mipmapped.end();) {
    const MipmappedArray* whole = *entry++;
    if (whole->context != &context) continue;
    for (const auto& level : whole->levels) process.arrays.erase(level.get());
    GiveUp(whole->device, whole->base, whole->charged);
    process.mipmapped.erase(whole);
    delete whole;
  }
  for (auto entry = process.arrays.begin(); entry != process.arrays.end();) {
    const Array* array = *entry++;
    if (array->context != &context || array->part_of != nullptr) continue;
    End(const_cast<Array*>(array));
  }
}

SLUICE_SIM_CALL cuArrayCreate_v2(CUarray* array, const CUDA_ARRAY_DESCRIPTOR* shape) {
  if (shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Create(array,
                {.Width = shape->Width,
                 .Height = shape->Height,
                 .Depth = 0,
                 .Format = shape->Format,
                 .NumChannels = shape->NumChannels,
                 .Flags = 0});
}

SLUICE_SIM_CALL cuArray3DCreate_v2(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* shape) {
  return shape == nullptr ? CUDA_ERROR_INVALID_VALUE : Create(array, *shape);
}

// The first forms had sides of 32 bits.
struct FirstArrayDescriptor {
  unsigned Width, Height;
  int Format;
  unsigned NumChannels;
};
struct FirstArray3DDescriptor {
  unsigned Width, Height, Depth;
  int Format;
  unsigned NumChannels, Flags;
};

SLUICE_SIM_CALL cuArrayCreate(CUarray* array, const FirstArrayDescriptor* shape) {
  if (shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Create(array, {shape->Width, shape->Height, 0, shape->Format, shape->NumChannels, 0});
}

SLUICE_SIM_CALL cuArray3DCreate(CUarray* array, const FirstArray3DDescriptor* shape) {
  if (shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Create(
      array,
      {shape->Width, shape->Height, shape->Depth, shape->Format, shape->NumChannels, shape->Flags});
}

SLUICE_SIM_CALL cuArrayDestroy(CUarray handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Array* array = ToArray(handle);
  if (array == nullptr || array->part_of != nullptr) return CUDA_ERROR_INVALID_HANDLE;
  End(array);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR* shape, CUarray handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Array* array = ToArray(handle);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *shape = array->shape;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR* shape, CUarray handle) {
  if (shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUDA_ARRAY3D_DESCRIPTOR full{};
  CUresult got = cuArray3DGetDescriptor_v2(&full, handle);
  if (got != CUDA_SUCCESS) return got;
  *shape = {full.Width, full.Height, full.Format, full.NumChannels};
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* out, CUarray handle, CUdevice device) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Array* array = ToArray(handle);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = {static_cast<size_t>(Granules(array->bytes())), kAlignment, {}};
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMipmappedArrayCreate(CUmipmappedArray* handle,
                       const CUDA_ARRAY3D_DESCRIPTOR* shape,
                       unsigned levels) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kLevelsMax = 18;
  if (handle == nullptr || shape == nullptr || levels == 0) return CUDA_ERROR_INVALID_VALUE;
  auto whole = std::make_unique<MipmappedArray>();
  whole->context = CurrentContext();
  whole->device = whole->context->device;
  size_t bytes = 0;
  for (unsigned level = 0; level < std::min(levels, kLevelsMax); ++level) {
    auto array = std::make_unique<Array>();
    array->shape = *shape;
    array->shape.Width = std::max<size_t>(shape->Width >> level, 1);
    if (shape->Height > 0) array->shape.Height = std::max<size_t>(shape->Height >> level, 1);
    if (shape->Depth > 0) array->shape.Depth = std::max<size_t>(shape->Depth >> level, 1);
    CUresult measured = Measure(*array);
    if (measured != CUDA_SUCCESS) return measured;
    array->context = whole->context;
    array->device = whole->device;
    array->part_of = whole.get();
    bytes += array->bytes();
    whole->levels.push_back(std::move(array));
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  CUresult taken = Take(whole->device, bytes, whole->charged, whole->base);
  if (taken != CUDA_SUCCESS) return taken;
  char* at = whole->base;
  for (auto& level : whole->levels) {
    level->base = at;
    at += level->bytes();
    CurrentProcess()->arrays.insert(level.get());
  }
  CurrentProcess()->mipmapped.insert(whole.get());
  *handle = reinterpret_cast<CUmipmappedArray>(whole.release());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMipmappedArrayGetLevel(CUarray* handle, CUmipmappedArray whole_handle, unsigned level) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const MipmappedArray* whole = ToMipmapped(whole_handle);
  if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (handle == nullptr || level >= whole->levels.size()) return CUDA_ERROR_INVALID_VALUE;
  *handle = reinterpret_cast<CUarray>(whole->levels[level].get());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* out,
                                      CUmipmappedArray handle,
                                      CUdevice device) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const MipmappedArray* whole = ToMipmapped(handle);
  if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = {static_cast<size_t>(whole->charged), kAlignment, {}};
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMipmappedArrayDestroy(CUmipmappedArray handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  MipmappedArray* whole = ToMipmapped(handle);
  if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& level : whole->levels) CurrentProcess()->arrays.erase(level.get());
  GiveUp(whole->device, whole->base, whole->charged);
  CurrentProcess()->mipmapped.erase(whole);
  delete whole;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
