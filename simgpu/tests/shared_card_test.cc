// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <vector>

#include "simgpu/tests/machine.h"
#include "simgpu/tests/nvml.h"

// One card among processes: its memory, who is on it, and what death gives back.
namespace sluice::simgpu {
namespace {

class SharedCard : public SimulatedMachine {};

struct MemoryNow {
  size_t free = 0;
  size_t total = 0;
};

void StartContext(const Library& cuda) {
  ASSERT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
  CUcontext context = nullptr;
  ASSERT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
}

MemoryNow Look(const Library& cuda) {
  MemoryNow now;
  EXPECT_EQ(cuda.Call("cuMemGetInfo_v2", &now.free, &now.total), CUDA_SUCCESS);
  return now;
}

size_t Mib(size_t count) {
  return count << 20;
}

TEST_F(SharedCard, ChargesContextsAndBlocksInWholeGranules) {
  UseFleet("1x1GiB");
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              StartContext(cuda);
              EXPECT_EQ(Look(cuda).total, Mib(1024));
              EXPECT_EQ(Look(cuda).free, Mib(624));
              CUdeviceptr large = 0;
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &large, Mib(3)), CUDA_SUCCESS);
              EXPECT_EQ(large % Mib(2), 0u);
              EXPECT_EQ(Look(cuda).free, Mib(620));
              CUdeviceptr small[2] = {};
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &small[0], size_t{1}), CUDA_SUCCESS);
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &small[1], size_t{1}), CUDA_SUCCESS);
              EXPECT_EQ(small[1] - small[0], 512u);
              EXPECT_EQ(Look(cuda).free, Mib(618));
              EXPECT_EQ(cuda.Call("cuMemFree_v2", small[0]), CUDA_SUCCESS);
              EXPECT_EQ(cuda.Call("cuMemFree_v2", small[1]), CUDA_SUCCESS);
              EXPECT_EQ(cuda.Call("cuMemFree_v2", large), CUDA_SUCCESS);
              EXPECT_EQ(cuda.Call("cuMemFree_v2", large), CUDA_ERROR_INVALID_VALUE);
              EXPECT_EQ(Look(cuda).free, Mib(624));
            }),
            0);
}

TEST_F(SharedCard, RefusesWhatOtherProcessesLeaveNoRoomFor) {
  UseFleet("1x2GiB");
  HeldChild other([] {
    Library cuda("libcuda.so.1");
    StartContext(cuda);
    CUdeviceptr block = 0;
    EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &block, Mib(1000)), CUDA_SUCCESS);
  });
  ASSERT_TRUE(other.ready());
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              StartContext(cuda);
              EXPECT_EQ(Look(cuda).free, Mib(2048 - 400 - 1000 - 400));
              CUdeviceptr block = 0;
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &block, Mib(250)), CUDA_ERROR_OUT_OF_MEMORY);
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &block, Mib(248)), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(SharedCard, GetsBackTheMemoryOfAKilledProcess) {
  UseFleet("1x2GiB");
  HeldChild other([] {
    Library cuda("libcuda.so.1");
    StartContext(cuda);
    CUdeviceptr block = 0;
    EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &block, Mib(1500)), CUDA_SUCCESS);
  });
  ASSERT_TRUE(other.ready());
  other.Kill();
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              StartContext(cuda);
              EXPECT_EQ(Look(cuda).free, Mib(2048 - 400));
            }),
            0);
}

TEST_F(SharedCard, ListsProcessesWithTheirMemory) {
  UseFleet("2x2GiB");
  HeldChild other([] {
    Library cuda("libcuda.so.1");
    StartContext(cuda);
    CUdeviceptr block = 0;
    EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &block, Mib(100)), CUDA_SUCCESS);
    // Both libraries in one process: neither may lose the other's lock.
    const Nvml nvml;
    nvmlProcessInfo_v2_t info[4] = {};
    unsigned count = 4;
    EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses_v3", &count, &info[0]), NVML_SUCCESS);
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(nvml.library.Call("nvmlShutdown"), NVML_SUCCESS);
  });
  ASSERT_TRUE(other.ready());
  auto pid = static_cast<unsigned>(other.pid());
  EXPECT_EQ(InChild([pid] {
              const Nvml nvml;
              unsigned count = 0;
              nvmlProcessInfo_v2_t info[4] = {};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses_v3",
                                 &count,
                                 static_cast<nvmlProcessInfo_v2_t*>(nullptr)),
                        NVML_ERROR_INSUFFICIENT_SIZE);
              EXPECT_EQ(count, 1u);
              count = 4;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses_v3", &count, &info[0]),
                        NVML_SUCCESS);
              EXPECT_EQ(count, 1u);
              EXPECT_EQ(info[0].pid, pid);
              EXPECT_EQ(info[0].usedGpuMemory, Mib(500));
              nvmlMemory_t memory{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_SUCCESS);
              EXPECT_EQ(memory.total, Mib(2048));
              EXPECT_EQ(memory.used, Mib(500));
            }),
            0);
}

TEST_F(SharedCard, AnswersAForkedChildWithNotInitialized) {
  UseFleet("1x1GiB");
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              StartContext(cuda);
              EXPECT_EQ(InChild([&cuda] {
                          int count = 0;
                          EXPECT_EQ(cuda.Call("cuDeviceGetCount", &count),
                                    CUDA_ERROR_NOT_INITIALIZED);
                          EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_ERROR_NOT_INITIALIZED);
                        }),
                        0);
              EXPECT_EQ(Look(cuda).free, Mib(624));
            }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
