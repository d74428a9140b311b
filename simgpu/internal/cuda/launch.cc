// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "simgpu/internal/cuda/graph.h"
#include "simgpu/internal/cuda/module.h"

namespace sluice::simgpu {
namespace {

template <typename T>
T Argument(void** arguments, int index) {
  T value{};
  std::memcpy(&value, arguments[index], sizeof(value));
  return value;
}

// What a kernel of a real card would get for a wild address.
bool Reaches(CUdeviceptr address, uint64_t count, size_t element_bytes) {
  constexpr uint64_t kCountMax = uint64_t{1} << 40;
  return count <= kCountMax && (count == 0 || OnCard(address, count * element_bytes));
}

std::function<CUresult()> BindFill(void** arguments, uint64_t /*threads*/) {
  auto out = Argument<CUdeviceptr>(arguments, 0);
  auto value = Argument<uint32_t>(arguments, 1);
  auto count = Argument<uint64_t>(arguments, 2);
  return [out, value, count] {
    if (!Reaches(out, count, sizeof(uint32_t))) return CUDA_ERROR_ILLEGAL_ADDRESS;
    auto* at = reinterpret_cast<uint32_t*>(out);
    for (uint64_t i = 0; i < count; ++i) at[i] = value;
    return CUDA_SUCCESS;
  };
}

std::function<CUresult()> BindVectorAdd(void** arguments, uint64_t /*threads*/) {
  auto left = Argument<CUdeviceptr>(arguments, 0);
  auto right = Argument<CUdeviceptr>(arguments, 1);
  auto out = Argument<CUdeviceptr>(arguments, 2);
  auto count = Argument<uint64_t>(arguments, 3);
  return [left, right, out, count] {
    bool reaches = Reaches(left, count, sizeof(float)) && Reaches(right, count, sizeof(float)) &&
                   Reaches(out, count, sizeof(float));
    if (!reaches) return CUDA_ERROR_ILLEGAL_ADDRESS;
    const auto* a = reinterpret_cast<const float*>(left);
    const auto* b = reinterpret_cast<const float*>(right);
    auto* to = reinterpret_cast<float*>(out);
    for (uint64_t i = 0; i < count; ++i) to[i] = a[i] + b[i];
    return CUDA_SUCCESS;
  };
}

// Ends as the argument says: 700 an illegal address, 719 a failed launch, 214 a memory error…
std::function<CUresult()> BindFail(void** arguments, uint64_t /*threads*/) {
  auto code = static_cast<CUresult>(Argument<uint64_t>(arguments, 0) % 1000);
  return [code] { return code; };
}

constexpr BuiltIn kBuiltIns[] = {
    {"sluice_fail", 1, BindFail},
    {"sluice_fill", 3, BindFill},
    {"sluice_vector_add", 4, BindVectorAdd},
    {"sluice_sleep_us", 1, nullptr},
};

LaunchShape Shape(const unsigned (&grid)[3], const unsigned (&block)[3]) {
  LaunchShape shape;
  std::memcpy(shape.grid, grid, sizeof(grid));
  std::memcpy(shape.block, block, sizeof(block));
  return shape;
}

bool IsShape(const LaunchShape& shape) {
  constexpr uint64_t kThreadsPerBlockMax = 1024;
  uint64_t per_block = 1;
  for (int i = 0; i < 3; ++i) {
    if (shape.grid[i] == 0 || shape.block[i] == 0 || shape.block[i] > 1024) return false;
    per_block *= shape.block[i];
  }
  return shape.grid[1] <= 65535 && shape.grid[2] <= 65535 && per_block <= kThreadsPerBlockMax;
}

// Without the arguments, which are the program's and gone by the time anybody asks.
CUDA_KERNEL_NODE_PARAMS NodeParams(CUfunction function, const LaunchShape& shape) {
  CUDA_KERNEL_NODE_PARAMS params{};
  params.func = function;
  params.gridDimX = shape.grid[0];
  params.gridDimY = shape.grid[1];
  params.gridDimZ = shape.grid[2];
  params.blockDimX = shape.block[0];
  params.blockDimY = shape.block[1];
  params.blockDimZ = shape.block[2];
  return params;
}

CUresult Launch(CUfunction function, const LaunchShape& shape, void** arguments, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  Operation operation;
  CUresult made = LaunchOperation(function, shape, arguments, operation);
  if (made == CUDA_SUCCESS) operation.params = Keep(NodeParams(function, shape));
  return made == CUDA_SUCCESS ? SubmitTo(stream, std::move(operation), kNodeKernel) : made;
}

}  // namespace

uint64_t LaunchShape::threads() const {
  uint64_t count = 1;
  for (int i = 0; i < 3; ++i) count *= uint64_t{grid[i]} * block[i];
  return count;
}

const BuiltIn* FindBuiltIn(const std::string& name) {
  for (const BuiltIn& row : kBuiltIns) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

CUresult LaunchOperation(CUfunction handle,
                         const LaunchShape& shape,
                         void** arguments,
                         Operation& operation) {
  if (!IsShape(shape)) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  const BuiltIn* built_in = nullptr;
  operation.duration_ns = process.scene.kernel_us * 1000;
  {
    std::lock_guard lock(process.mutex);
    auto* function = reinterpret_cast<const Function*>(handle);
    if (!process.functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
    built_in = function->built_in;
    auto told = process.scene.kernel_us_of.find(function->name);
    if (told != process.scene.kernel_us_of.end()) operation.duration_ns = told->second * 1000;
  }
  operation.lane = Lane::kKernel;
  if (built_in == nullptr) return CUDA_SUCCESS;
  if (arguments == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (int i = 0; i < built_in->arguments; ++i) {
    if (arguments[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
  }
  if (built_in->bind != nullptr) {
    operation.run = built_in->bind(arguments, shape.threads());
    return CUDA_SUCCESS;
  }
  constexpr uint64_t kSleepUsMax = 3'600'000'000;
  uint64_t sleep_us = std::min(Argument<uint64_t>(arguments, 0), kSleepUsMax);
  operation.duration_ns = static_cast<int64_t>(sleep_us) * 1000;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuLaunchKernel(CUfunction function,
                               unsigned grid_x,
                               unsigned grid_y,
                               unsigned grid_z,
                               unsigned block_x,
                               unsigned block_y,
                               unsigned block_z,
                               unsigned /*shared_bytes*/,
                               CUstream stream,
                               void** arguments,
                               void** /*extra*/) {
  LaunchShape shape = Shape({grid_x, grid_y, grid_z}, {block_x, block_y, block_z});
  return Launch(function, shape, arguments, stream);
}

SLUICE_SIM_CALL cuLaunchCooperativeKernel(CUfunction function,
                                          unsigned grid_x,
                                          unsigned grid_y,
                                          unsigned grid_z,
                                          unsigned block_x,
                                          unsigned block_y,
                                          unsigned block_z,
                                          unsigned shared_bytes,
                                          CUstream stream,
                                          void** arguments) {
  return cuLaunchKernel(function,
                        grid_x,
                        grid_y,
                        grid_z,
                        block_x,
                        block_y,
                        block_z,
                        shared_bytes,
                        stream,
                        arguments,
                        nullptr);
}

SLUICE_SIM_CALL
cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** arguments, void**) {
  if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return Launch(function, ShapeOf(*config), arguments, config->hStream);
}

struct CUDA_LAUNCH_PARAMS {
  CUfunction function;
  unsigned gridDimX, gridDimY, gridDimZ;
  unsigned blockDimX, blockDimY, blockDimZ;
  unsigned sharedMemBytes;
  CUstream hStream;
  void** kernelParams;
};

SLUICE_SIM_CALL
cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS* list, unsigned count, unsigned flags) {
  constexpr unsigned kFlagsKnown = 3;
  if (list == nullptr || count == 0 || flags > kFlagsKnown) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    LaunchShape shape = ShapeOf(list[i]);
    // Stream 0 of none of the cards takes part.
    if (list[i].hStream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    CUresult sent = Launch(list[i].function, shape, list[i].kernelParams, list[i].hStream);
    if (sent != CUDA_SUCCESS) return sent;
  }
  return CUDA_SUCCESS;
}

// The oldest forms, whose arguments were set one by one before: no known kernel has any.
SLUICE_SIM_CALL cuLaunch(CUfunction function) {
  return Launch(function, LaunchShape{}, nullptr, nullptr);
}
SLUICE_SIM_CALL cuLaunchGrid(CUfunction function, int width, int height) {
  if (width <= 0 || height <= 0) return CUDA_ERROR_INVALID_VALUE;
  LaunchShape shape;
  shape.grid[0] = static_cast<unsigned>(width);
  shape.grid[1] = static_cast<unsigned>(height);
  return Launch(function, shape, nullptr, nullptr);
}
SLUICE_SIM_CALL cuLaunchGridAsync(CUfunction function, int width, int height, CUstream stream) {
  if (width <= 0 || height <= 0) return CUDA_ERROR_INVALID_VALUE;
  LaunchShape shape;
  shape.grid[0] = static_cast<unsigned>(width);
  shape.grid[1] = static_cast<unsigned>(height);
  return Launch(function, shape, nullptr, stream);
}

}  // namespace sluice::simgpu
