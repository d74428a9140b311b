// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/array.h"
#include "simgpu/internal/cuda/graph.h"

// Sparse arrays: tiles of them are mapped to memory, or not. What is written to a tile stays with
// the array and does not show in the memory's other mappings.
namespace sluice::simgpu {

struct ArrayMapInfo {
  int resource_type;  // 0 an array, 1 a mipmapped one.
  CUarray array;
  int subresource_type;  // 0 a tile of a level, 1 the tail of the small levels.
  struct {
    unsigned level, layer, x, y, z, width, height, depth;
  } tile;
  int operation;  // 1 map, 2 unmap.
  int handle_type;
  CUmemGenericAllocationHandle memory;
  unsigned long long offset;
  unsigned device_mask, flags;
  unsigned reserved[2];
};
static_assert(sizeof(ArrayMapInfo) == 96);

struct SparseProperties {
  unsigned width, height, depth;
  unsigned tail_level;
  unsigned long long tail_bytes;
  unsigned flags;
  unsigned reserved[4];
};
static_assert(sizeof(SparseProperties) == 48);

namespace {

constexpr int kMap = 1;
constexpr int kUnmap = 2;

// Needs the mutex.
CUresult Apply(const ArrayMapInfo& info) {
  if (info.resource_type != 0 || info.subresource_type != 0) return CUDA_ERROR_NOT_SUPPORTED;
  Array* array = ToArray(info.array);
  bool known = info.operation == kMap || info.operation == kUnmap;
  if (array == nullptr || !array->sparse || !known || info.flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto& tile = info.tile;
  bool inside = tile.level == 0 && tile.x < array->shape.Width && tile.y < array->rows &&
                tile.z < array->layers;
  if (!inside) return CUDA_ERROR_INVALID_VALUE;
  std::array<unsigned, 5> place{tile.level, tile.layer, tile.x, tile.y, tile.z};
  if (info.operation == kMap && !HoldMemory(info.memory)) return CUDA_ERROR_INVALID_VALUE;
  if (auto old = array->tiles.find(place); old != array->tiles.end()) {
    LetGoMemory(old->second);
    array->tiles.erase(old);
  }
  if (info.operation == kMap) array->tiles[place] = info.memory;
  return CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuMemMapArrayAsync(const ArrayMapInfo* list, unsigned count, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (list == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    for (unsigned i = 0; i < count; ++i) {
      CUresult applied = Apply(list[i]);
      if (applied != CUDA_SUCCESS) return applied;
    }
  }
  return SubmitTo(stream, {}, kNodeEmpty);
}

SLUICE_SIM_CALL cuArrayGetSparseProperties(SparseProperties* out, CUarray handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Array* array = ToArray(handle);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr || !array->sparse) return CUDA_ERROR_INVALID_VALUE;
  // Tiles of 64 KiB.
  constexpr size_t kTileBytes = 65536;
  constexpr unsigned kTileHeight = 128;
  *out = {};
  out->width = static_cast<unsigned>(kTileBytes / kTileHeight / array->element_bytes);
  out->height = kTileHeight;
  out->depth = 1;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
