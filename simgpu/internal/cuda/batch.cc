// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/copy.h"
#include "simgpu/internal/cuda/graph.h"

// Several copies in one call; where managed memory should be; and hints about both.
namespace sluice::simgpu {

struct PlainOperand {
  CUdeviceptr ptr;
  size_t row_length, layer_height;
  CUmemLocation hint;
};
struct ArrayOperand {
  CUarray array;
  size_t x, y, z;
};
struct Operand {
  int type;  // 1 a pointer, 2 an array.
  union {
    PlainOperand plain;
    ArrayOperand in_array;
  };
};

struct BatchCopy3D {
  Operand src, dst;
  size_t width, height, depth;
  int order;
  unsigned flags;
};
static_assert(sizeof(BatchCopy3D) == 112);

namespace {

enum Advice : int {
  kReadMostly = 1,
  kNotReadMostly = 2,
  kPrefer = 3,
  kPreferNothing = 4,
  kAccessedBy = 5,
  kNotAccessedBy = 6,
};

constexpr CUmemLocation kNowhere{0, 0};
constexpr int kHostDevice = -1;  // How the first forms name the machine's memory.

CUmemLocation FirstForm(CUdevice device) {
  if (device == kHostDevice) return {CU_MEM_LOCATION_TYPE_HOST, 0};
  return {CU_MEM_LOCATION_TYPE_DEVICE, device};
}

CUresult CheckPlace(const CUmemLocation& place) {
  if (place.type == CU_MEM_LOCATION_TYPE_DEVICE) {
    return IsDevice(place.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  }
  bool host = place.type >= CU_MEM_LOCATION_TYPE_HOST &&
              place.type <= CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT;
  return host ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// The managed block that holds the range; needs the mutex.
Block* ManagedAt(CUdeviceptr address, size_t bytes) {
  Block* block = FindBlock(address);
  bool inside = block != nullptr && block->kind == BlockKind::kManaged && bytes > 0 &&
                bytes <= block->base + block->bytes - address;
  return inside ? block : nullptr;
}

CUresult Prefetch(CUdeviceptr address, size_t bytes, const CUmemLocation& to, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  CUresult checked = CheckPlace(to);
  if (checked != CUDA_SUCCESS) return checked;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    Block* block = ManagedAt(address, bytes);
    if (block == nullptr) return CUDA_ERROR_INVALID_VALUE;
    block->prefetched = to;
  }
  return SubmitTo(stream, {}, kNodeEmpty);
}

CUresult Advise(CUdeviceptr address, size_t bytes, int advice, const CUmemLocation& place) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (advice < kReadMostly || advice > kNotAccessedBy) return CUDA_ERROR_INVALID_VALUE;
  bool placed = advice == kPrefer || advice == kAccessedBy || advice == kNotAccessedBy;
  CUresult checked = placed ? CheckPlace(place) : CUDA_SUCCESS;
  if (checked != CUDA_SUCCESS) return checked;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = ManagedAt(address, bytes);
  if (block == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (advice == kReadMostly || advice == kNotReadMostly) block->read_mostly = advice == kReadMostly;
  if (advice == kPrefer) block->preferred = place;
  if (advice == kPreferNothing) block->preferred = kNowhere;
  return CUDA_SUCCESS;
}

// As the first forms number places: a card, -1 for the machine, -2 for none.
int Numbered(const CUmemLocation& place) {
  constexpr int kNone = -2;
  if (place.type == 0) return kNone;
  return place.type == CU_MEM_LOCATION_TYPE_DEVICE ? place.id : kHostDevice;
}

constexpr int kOperandArray = 2;

CUDA_MEMCPY3D Described(const BatchCopy3D& copy) {
  CUDA_MEMCPY3D wish = Linear({copy.dst.plain.ptr, CU_MEMORYTYPE_UNIFIED},
                              {copy.src.plain.ptr, CU_MEMORYTYPE_UNIFIED},
                              copy.width);
  wish.Height = copy.height;
  wish.Depth = copy.depth;
  wish.srcPitch = copy.src.plain.row_length;
  wish.srcHeight = copy.src.plain.layer_height;
  wish.dstPitch = copy.dst.plain.row_length;
  wish.dstHeight = copy.dst.plain.layer_height;
  return wish;
}

}  // namespace

SLUICE_SIM_CALL
cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream);
SLUICE_SIM_CALL cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* wish, CUstream stream);

SLUICE_SIM_CALL cuMemcpyBatchAsync_v2(CUdeviceptr* to,
                                      CUdeviceptr* from,
                                      size_t* bytes,
                                      size_t count,
                                      void* attributes,
                                      size_t* places,
                                      size_t attribute_count,
                                      CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  // Not stream 0, as the driver has it.
  bool sound = to != nullptr && from != nullptr && bytes != nullptr && count > 0 &&
               attributes != nullptr && places != nullptr && attribute_count > 0 &&
               attribute_count <= count && stream != nullptr;
  if (!sound) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; ++i) {
    CUresult sent = cuMemcpyAsync(to[i], from[i], bytes[i], stream);
    if (sent != CUDA_SUCCESS) return sent;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemcpyBatchAsync(CUdeviceptr* to,
                                   CUdeviceptr* from,
                                   size_t* bytes,
                                   size_t count,
                                   void* attributes,
                                   size_t* places,
                                   size_t attribute_count,
                                   size_t* failed,
                                   CUstream stream) {
  constexpr size_t kNotOne = SIZE_MAX;
  if (failed != nullptr) *failed = kNotOne;
  return cuMemcpyBatchAsync_v2(to, from, bytes, count, attributes, places, attribute_count, stream);
}

SLUICE_SIM_CALL cuMemcpy3DBatchAsync_v2(size_t count,
                                        const BatchCopy3D* list,
                                        unsigned long long flags,
                                        CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (list == nullptr || count == 0 || flags != 0 || stream == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    bool arrays = list[i].src.type == kOperandArray || list[i].dst.type == kOperandArray;
    if (arrays) return CUDA_ERROR_NOT_SUPPORTED;
    CUDA_MEMCPY3D wish = Described(list[i]);
    CUresult sent = cuMemcpy3DAsync_v2(&wish, stream);
    if (sent != CUDA_SUCCESS) return sent;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemcpy3DBatchAsync(size_t count,
                                     const BatchCopy3D* list,
                                     size_t* failed,
                                     unsigned long long flags,
                                     CUstream stream) {
  if (failed != nullptr) *failed = SIZE_MAX;
  return cuMemcpy3DBatchAsync_v2(count, list, flags, stream);
}

SLUICE_SIM_CALL
cuMemPrefetchAsync(CUdeviceptr address, size_t bytes, CUdevice to, CUstream stream) {
  return Prefetch(address, bytes, FirstForm(to), stream);
}
SLUICE_SIM_CALL cuMemPrefetchAsync_v2(
    CUdeviceptr address, size_t bytes, CUmemLocation to, unsigned flags, CUstream stream) {
  return flags != 0 ? CUDA_ERROR_INVALID_VALUE : Prefetch(address, bytes, to, stream);
}

SLUICE_SIM_CALL cuMemPrefetchBatchAsync(CUdeviceptr* addresses,
                                        size_t* bytes,
                                        size_t count,
                                        CUmemLocation* places,
                                        size_t* firsts,
                                        size_t place_count,
                                        unsigned long long flags,
                                        CUstream stream) {
  bool sound = addresses != nullptr && bytes != nullptr && count > 0 && places != nullptr &&
               firsts != nullptr && place_count > 0 && place_count <= count && flags == 0;
  if (!sound || firsts[0] != 0) return CUDA_ERROR_INVALID_VALUE;
  size_t place = 0;
  for (size_t i = 0; i < count; ++i) {
    while (place + 1 < place_count && firsts[place + 1] <= i) ++place;
    CUresult sent = Prefetch(addresses[i], bytes[i], places[place], stream);
    if (sent != CUDA_SUCCESS) return sent;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemDiscardBatchAsync(CUdeviceptr* addresses,
                                       size_t* bytes,
                                       size_t count,
                                       unsigned long long flags,
                                       CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (addresses == nullptr || bytes == nullptr || count == 0 || flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    std::lock_guard lock(CurrentProcess()->mutex);
    if (ManagedAt(addresses[i], bytes[i]) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  }
  // What it held is anything from now on, also what it was.
  return SubmitTo(stream, {}, kNodeEmpty);
}

SLUICE_SIM_CALL cuMemDiscardAndPrefetchBatchAsync(CUdeviceptr* addresses,
                                                  size_t* bytes,
                                                  size_t count,
                                                  CUmemLocation* places,
                                                  size_t* firsts,
                                                  size_t place_count,
                                                  unsigned long long flags,
                                                  CUstream stream) {
  return cuMemPrefetchBatchAsync(
      addresses, bytes, count, places, firsts, place_count, flags, stream);
}

SLUICE_SIM_CALL cuMemAdvise(CUdeviceptr address, size_t bytes, int advice, CUdevice device) {
  return Advise(address, bytes, advice, FirstForm(device));
}
SLUICE_SIM_CALL
cuMemAdvise_v2(CUdeviceptr address, size_t bytes, int advice, CUmemLocation place) {
  return Advise(address, bytes, advice, place);
}

SLUICE_SIM_CALL cuMemRangeGetAttribute(
    void* data, size_t data_bytes, int attribute, CUdeviceptr address, size_t bytes) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr int kAttributes = 8;
  if (data == nullptr || attribute < 1 || attribute > kAttributes || data_bytes % 4 != 0 ||
      data_bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = ManagedAt(address, bytes);
  if (block == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const int answers[kAttributes] = {block->read_mostly ? 1 : 0,
                                    Numbered(block->preferred),
                                    Numbered(kNowhere),
                                    Numbered(block->prefetched),
                                    block->preferred.type,
                                    block->preferred.id,
                                    block->prefetched.type,
                                    block->prefetched.id};
  auto* words = static_cast<int*>(data);
  for (size_t i = 0; i < data_bytes / 4; ++i) words[i] = Numbered(kNowhere);
  words[0] = answers[attribute - 1];
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemRangeGetAttributes(void** data,
                                        size_t* data_bytes,
                                        int* attributes,
                                        size_t count,
                                        CUdeviceptr address,
                                        size_t bytes) {
  if (data == nullptr || data_bytes == nullptr || attributes == nullptr || count == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    CUresult got = cuMemRangeGetAttribute(data[i], data_bytes[i], attributes[i], address, bytes);
    if (got != CUDA_SUCCESS) return got;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t bytes, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  bool known = flags == 1 || flags == 2 || flags == 4;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    if (!known || ManagedAt(address, bytes == 0 ? 1 : bytes) == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return SubmitTo(stream, {}, kNodeEmpty);
}

}  // namespace sluice::simgpu
