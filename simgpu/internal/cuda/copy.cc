// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/copy.h"

#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/array.h"
#include "simgpu/internal/cuda/graph.h"

namespace sluice::simgpu {
namespace {

// One end of a copy as its description gives it.
struct End {
  int type;
  CUdeviceptr address;  // Host or card: one address space.
  CUarray array;
  size_t x_bytes, y, z;
  size_t row, layer_rows;  // Pitch in bytes, height of a layer in rows; 0: packed.
};

struct Extent {
  size_t width_bytes, height, depth;
};

bool Overflows(size_t a, size_t b) {
  return b != 0 && a > (size_t{1} << 46) / b;
}

CUresult PlaceInArray(const End& end, const Extent& extent, char*& at, size_t& row, size_t& layer) {
  std::lock_guard lock(CurrentProcess()->mutex);
  const Array* array = ToArray(end.array);
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  bool inside = extent.width_bytes <= array->row_bytes &&
                end.x_bytes <= array->row_bytes - extent.width_bytes &&
                extent.height <= array->rows && end.y <= array->rows - extent.height &&
                extent.depth <= array->layers && end.z <= array->layers - extent.depth;
  if (!inside) return CUDA_ERROR_INVALID_VALUE;
  row = array->row_bytes;
  layer = array->row_bytes * array->rows;
  at = array->base + end.z * layer + end.y * row + end.x_bytes;
  return CUDA_SUCCESS;
}

CUresult PlaceInPlane(const End& end, const Extent& extent, char*& at, size_t& row, size_t& layer) {
  row = end.row == 0 ? extent.width_bytes : end.row;
  size_t layer_rows = end.layer_rows == 0 ? extent.height : end.layer_rows;
  bool deep = extent.depth > 1 || end.z > 0;
  bool wrong = row < extent.width_bytes || (deep && layer_rows < extent.height) ||
               Overflows(row, layer_rows) || Overflows(row, end.y + extent.height) ||
               Overflows(row * layer_rows, end.z + extent.depth);
  if (wrong || end.address == 0) return CUDA_ERROR_INVALID_VALUE;
  layer = row * layer_rows;
  CUdeviceptr first = end.address + end.z * layer + end.y * row + end.x_bytes;
  at = reinterpret_cast<char*>(first);
  size_t reach = (extent.depth - 1) * layer + (extent.height - 1) * row + extent.width_bytes;
  bool card = end.type == CU_MEMORYTYPE_DEVICE;
  return card && !OnCard(first, reach) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult PlaceEnd(const End& end, const Extent& extent, char*& at, size_t& row, size_t& layer) {
  if (end.type == CU_MEMORYTYPE_ARRAY) return PlaceInArray(end, extent, at, row, layer);
  if (end.type < CU_MEMORYTYPE_HOST || end.type > CU_MEMORYTYPE_UNIFIED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return PlaceInPlane(end, extent, at, row, layer);
}

int64_t DurationOf(size_t bytes) {
  int64_t speed = CurrentProcess()->scene.copy_gib_per_s;
  return speed == 0 ? 0 : static_cast<int64_t>(bytes) * 1'000'000'000 / (speed << 30) + 1;
}

CUDA_MEMCPY3D Deepen(const CUDA_MEMCPY2D& flat) {
  CUDA_MEMCPY3D wish{};
  wish.srcXInBytes = flat.srcXInBytes;
  wish.srcY = flat.srcY;
  wish.srcMemoryType = flat.srcMemoryType;
  wish.srcHost = flat.srcHost;
  wish.srcDevice = flat.srcDevice;
  wish.srcArray = flat.srcArray;
  wish.srcPitch = flat.srcPitch;
  wish.dstXInBytes = flat.dstXInBytes;
  wish.dstY = flat.dstY;
  wish.dstMemoryType = flat.dstMemoryType;
  wish.dstHost = flat.dstHost;
  wish.dstDevice = flat.dstDevice;
  wish.dstArray = flat.dstArray;
  wish.dstPitch = flat.dstPitch;
  wish.WidthInBytes = flat.WidthInBytes;
  wish.Height = flat.Height;
  wish.Depth = 1;
  return wish;
}

// The program's own memory that it did not pin: the driver is done with it when the call returns.
bool Pageable(int type, const void* address) {
  if (type != CU_MEMORYTYPE_HOST && type != CU_MEMORYTYPE_UNIFIED) return false;
  return !OnCard(reinterpret_cast<CUdeviceptr>(address), 1);
}

CUresult Now(const CUDA_MEMCPY3D& wish) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (wish.WidthInBytes == 0 || wish.Height == 0 || wish.Depth == 0) return CUDA_SUCCESS;
  BoxCopy copy;
  CUresult resolved = Resolve(wish, copy);
  return resolved == CUDA_SUCCESS ? RunNow(CopyOperation(copy)) : resolved;
}

CUresult Later(const CUDA_MEMCPY3D& wish, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (wish.WidthInBytes == 0 || wish.Height == 0 || wish.Depth == 0) return CUDA_SUCCESS;
  BoxCopy copy;
  CUresult resolved = Resolve(wish, copy);
  if (resolved != CUDA_SUCCESS) return resolved;
  bool pageable =
      Pageable(wish.srcMemoryType, wish.srcHost) || Pageable(wish.dstMemoryType, wish.dstHost);
  Operation operation = CopyOperation(copy);
  operation.params = Keep(wish);
  return pageable ? SubmitAndWait(stream, std::move(operation), kNodeMemcpy)
                  : SubmitTo(stream, std::move(operation), kNodeMemcpy);
}

CUdeviceptr Address(const void* host) {
  return reinterpret_cast<CUdeviceptr>(host);
}

CUDA_MEMCPY3D WithArray(
    CUDA_MEMCPY3D wish, CUarray to, size_t to_at, CUarray from, size_t from_at) {
  if (to != nullptr) {
    wish.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    wish.dstArray = to;
    wish.dstXInBytes = to_at;
  }
  if (from != nullptr) {
    wish.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    wish.srcArray = from;
    wish.srcXInBytes = from_at;
  }
  return wish;
}

}  // namespace

CUDA_MEMCPY3D Linear(LinearEnd to, LinearEnd from, size_t bytes) {
  CUDA_MEMCPY3D wish{};
  wish.srcMemoryType = from.type;
  wish.srcDevice = from.at;
  wish.srcHost = reinterpret_cast<const void*>(from.at);
  wish.dstMemoryType = to.type;
  wish.dstDevice = to.at;
  wish.dstHost = reinterpret_cast<void*>(to.at);
  wish.WidthInBytes = bytes;
  wish.Height = 1;
  wish.Depth = 1;
  return wish;
}

CUresult Resolve(const CUDA_MEMCPY3D& wish, BoxCopy& copy) {
  Extent extent{wish.WidthInBytes, wish.Height, wish.Depth};
  constexpr size_t kMost = size_t{1} << 46;
  if (extent.width_bytes > kMost || Overflows(extent.width_bytes, extent.height) ||
      Overflows(extent.width_bytes * extent.height, extent.depth)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUdeviceptr from_address =
      wish.srcMemoryType == CU_MEMORYTYPE_HOST ? Address(wish.srcHost) : wish.srcDevice;
  CUdeviceptr to_address =
      wish.dstMemoryType == CU_MEMORYTYPE_HOST ? Address(wish.dstHost) : wish.dstDevice;
  End from{wish.srcMemoryType,
           from_address,
           wish.srcArray,
           wish.srcXInBytes,
           wish.srcY,
           wish.srcZ,
           wish.srcPitch,
           wish.srcHeight};
  End to{wish.dstMemoryType,
         to_address,
         wish.dstArray,
         wish.dstXInBytes,
         wish.dstY,
         wish.dstZ,
         wish.dstPitch,
         wish.dstHeight};
  char* source = nullptr;
  CUresult placed = PlaceEnd(from, extent, source, copy.from_row, copy.from_layer);
  if (placed != CUDA_SUCCESS) return placed;
  copy.from = source;
  copy.to_host = wish.dstMemoryType == CU_MEMORYTYPE_HOST;
  copy.width_bytes = extent.width_bytes;
  copy.height = extent.height;
  copy.depth = extent.depth;
  return PlaceEnd(to, extent, copy.to, copy.to_row, copy.to_layer);
}

Operation CopyOperation(const BoxCopy& copy) {
  Operation operation;
  operation.lane = copy.to_host ? Lane::kCopyOut : Lane::kCopyIn;
  operation.duration_ns = DurationOf(copy.width_bytes * copy.height * copy.depth);
  operation.run = [copy] {
    for (size_t z = 0; z < copy.depth; ++z) {
      for (size_t y = 0; y < copy.height; ++y) {
        std::memmove(copy.to + z * copy.to_layer + y * copy.to_row,
                     copy.from + z * copy.from_layer + y * copy.from_row,
                     copy.width_bytes);
      }
    }
    return CUDA_SUCCESS;
  };
  return operation;
}

constexpr int kHost = CU_MEMORYTYPE_HOST;
constexpr int kCard = CU_MEMORYTYPE_DEVICE;
constexpr int kEither = CU_MEMORYTYPE_UNIFIED;

SLUICE_SIM_CALL cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return Now(Linear({to, kEither}, {from, kEither}, bytes));
}
SLUICE_SIM_CALL cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return Later(Linear({to, kEither}, {from, kEither}, bytes), stream);
}
SLUICE_SIM_CALL
cuMemcpyPeer(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes) {
  return Now(Linear({to, kCard}, {from, kCard}, bytes));
}
SLUICE_SIM_CALL cuMemcpyPeerAsync(
    CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes, CUstream stream) {
  return Later(Linear({to, kCard}, {from, kCard}, bytes), stream);
}
SLUICE_SIM_CALL cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  return Now(Linear({to, kCard}, {Address(from), kHost}, bytes));
}
SLUICE_SIM_CALL
cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return Later(Linear({to, kCard}, {Address(from), kHost}, bytes), stream);
}
SLUICE_SIM_CALL cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  return Now(Linear({Address(to), kHost}, {from, kCard}, bytes));
}
SLUICE_SIM_CALL cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return Later(Linear({Address(to), kHost}, {from, kCard}, bytes), stream);
}
SLUICE_SIM_CALL cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return Now(Linear({to, kCard}, {from, kCard}, bytes));
}
SLUICE_SIM_CALL
cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return Later(Linear({to, kCard}, {from, kCard}, bytes), stream);
}

SLUICE_SIM_CALL cuMemcpyDtoA_v2(CUarray to, size_t at, CUdeviceptr from, size_t bytes) {
  return Now(WithArray(Linear({0, kCard}, {from, kCard}, bytes), to, at, nullptr, 0));
}
SLUICE_SIM_CALL cuMemcpyAtoD_v2(CUdeviceptr to, CUarray from, size_t at, size_t bytes) {
  return Now(WithArray(Linear({to, kCard}, {0, kCard}, bytes), nullptr, 0, from, at));
}
SLUICE_SIM_CALL cuMemcpyHtoA_v2(CUarray to, size_t at, const void* from, size_t bytes) {
  return Now(WithArray(Linear({0, kCard}, {Address(from), kHost}, bytes), to, at, nullptr, 0));
}
SLUICE_SIM_CALL cuMemcpyAtoH_v2(void* to, CUarray from, size_t at, size_t bytes) {
  return Now(WithArray(Linear({Address(to), kHost}, {0, kCard}, bytes), nullptr, 0, from, at));
}
SLUICE_SIM_CALL
cuMemcpyAtoA_v2(CUarray to, size_t to_at, CUarray from, size_t from_at, size_t bytes) {
  return Now(WithArray(Linear({0, kCard}, {0, kCard}, bytes), to, to_at, from, from_at));
}
SLUICE_SIM_CALL
cuMemcpyHtoAAsync_v2(CUarray to, size_t at, const void* from, size_t bytes, CUstream stream) {
  CUDA_MEMCPY3D wish = Linear({0, kCard}, {Address(from), kHost}, bytes);
  return Later(WithArray(wish, to, at, nullptr, 0), stream);
}
SLUICE_SIM_CALL
cuMemcpyAtoHAsync_v2(void* to, CUarray from, size_t at, size_t bytes, CUstream stream) {
  CUDA_MEMCPY3D wish = Linear({Address(to), kHost}, {0, kCard}, bytes);
  return Later(WithArray(wish, nullptr, 0, from, at), stream);
}

SLUICE_SIM_CALL cuMemcpy2D_v2(const CUDA_MEMCPY2D* wish) {
  return wish == nullptr ? CUDA_ERROR_INVALID_VALUE : Now(Deepen(*wish));
}
SLUICE_SIM_CALL cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* wish) {
  return cuMemcpy2D_v2(wish);
}
SLUICE_SIM_CALL cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* wish, CUstream stream) {
  return wish == nullptr ? CUDA_ERROR_INVALID_VALUE : Later(Deepen(*wish), stream);
}
SLUICE_SIM_CALL cuMemcpy3D_v2(const CUDA_MEMCPY3D* wish) {
  return wish == nullptr ? CUDA_ERROR_INVALID_VALUE : Now(*wish);
}
SLUICE_SIM_CALL cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* wish, CUstream stream) {
  return wish == nullptr ? CUDA_ERROR_INVALID_VALUE : Later(*wish, stream);
}
SLUICE_SIM_CALL cuMemcpy3DPeer(const CUDA_MEMCPY3D* wish) {
  return cuMemcpy3D_v2(wish);
}
SLUICE_SIM_CALL cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D* wish, CUstream stream) {
  return cuMemcpy3DAsync_v2(wish, stream);
}

}  // namespace sluice::simgpu
