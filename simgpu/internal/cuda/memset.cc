// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/copy.h"
#include "simgpu/internal/cuda/graph.h"

namespace sluice::simgpu {
namespace {

template <typename T>
void FillRow(char* at, size_t count, unsigned value) {
  std::fill_n(reinterpret_cast<T*>(at), count, static_cast<T>(value));
}

void Fill(const CUDA_MEMSET_NODE_PARAMS& wish) {
  char* base = reinterpret_cast<char*>(wish.dst);
  size_t row_bytes = wish.width * wish.elementSize;
  if (wish.value == 0 && wish.height == 1) {
    std::lock_guard lock(CurrentProcess()->mutex);
    const Block* block = FindBlock(wish.dst);
    bool own_pages = block != nullptr && block->kind != BlockKind::kRegistered &&
                     block->kind != BlockKind::kMapped && block->kind != BlockKind::kImported &&
                     block->kind != BlockKind::kExternal && block->shared_file.empty() &&
                     (block->slab == nullptr || block->slab->shared_file.empty());
    if (own_pages) return FillZero(base, row_bytes);
  }
  for (size_t y = 0; y < wish.height; ++y) {
    char* row = base + y * wish.pitch;
    if (wish.elementSize == 1) std::memset(row, static_cast<int>(wish.value & 0xff), row_bytes);
    if (wish.elementSize == 2) FillRow<uint16_t>(row, wish.width, wish.value);
    if (wish.elementSize == 4) FillRow<uint32_t>(row, wish.width, wish.value);
  }
}

CUDA_MEMSET_NODE_PARAMS Row(CUdeviceptr to, unsigned value, unsigned element, size_t count) {
  return {to, 0, value, element, count, 1};
}

CUresult Now(const CUDA_MEMSET_NODE_PARAMS& wish) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (wish.width == 0 || wish.height == 0) return CUDA_SUCCESS;
  Operation operation;
  CUresult made = MemsetOperation(wish, operation);
  return made == CUDA_SUCCESS ? RunNow(std::move(operation)) : made;
}

CUresult Later(const CUDA_MEMSET_NODE_PARAMS& wish, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (wish.width == 0 || wish.height == 0) return CUDA_SUCCESS;
  Operation operation;
  CUresult made = MemsetOperation(wish, operation);
  return made == CUDA_SUCCESS ? SubmitTo(stream, std::move(operation), kNodeMemset) : made;
}

}  // namespace

CUresult MemsetOperation(const CUDA_MEMSET_NODE_PARAMS& wish, Operation& operation) {
  bool element = wish.elementSize == 1 || wish.elementSize == 2 || wish.elementSize == 4;
  constexpr size_t kMost = size_t{1} << 46;
  bool sane = element && wish.width > 0 && wish.height > 0 &&
              wish.width <= kMost / wish.elementSize && wish.dst % wish.elementSize == 0;
  if (!sane) return CUDA_ERROR_INVALID_VALUE;
  size_t row_bytes = wish.width * wish.elementSize;
  bool rows = wish.height == 1 || (wish.pitch >= row_bytes && wish.height <= kMost / wish.pitch);
  if (!rows || !OnCard(wish.dst, (wish.height - 1) * wish.pitch + row_bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  operation.params = Keep(wish);
  operation.run = [wish] {
    Fill(wish);
    return CUDA_SUCCESS;
  };
  return CUDA_SUCCESS;
}

// clang-format off: one call a line.
#define MEMSET(bits, type, element)                                                              \
  SLUICE_SIM_CALL cuMemsetD##bits##_v2(CUdeviceptr to, type value, size_t count) {               \
    return Now(Row(to, value, element, count));                                                  \
  }                                                                                              \
  SLUICE_SIM_CALL cuMemsetD##bits##Async(CUdeviceptr to, type value, size_t count, CUstream s) { \
    return Later(Row(to, value, element, count), s);                                             \
  }                                                                                              \
  SLUICE_SIM_CALL cuMemsetD2D##bits##_v2(                                                        \
      CUdeviceptr to, size_t pitch, type value, size_t width, size_t height) {                   \
    return Now({to, pitch, value, element, width, height});                                      \
  }                                                                                              \
  SLUICE_SIM_CALL cuMemsetD2D##bits##Async(                                                      \
      CUdeviceptr to, size_t pitch, type value, size_t width, size_t height, CUstream s) {       \
    return Later({to, pitch, value, element, width, height}, s);                                 \
  }
// clang-format on

MEMSET(8, unsigned char, 1)
MEMSET(16, unsigned short, 2)
MEMSET(32, unsigned, 4)
#undef MEMSET

}  // namespace sluice::simgpu
