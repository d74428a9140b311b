// SPDX-License-Identifier: Apache-2.0
#include "simgpu/tests/program.h"

// What only watches: NVML.
namespace sluice::simgpu {
namespace {

class Watcher : public SimulatedMachine {};

TEST_F(Watcher, MayComeBeforeEveryProgram) {
  UseFleet("1x24GiB");
  std::filesystem::remove(folder_ + "/device.map");
  EXPECT_EQ(InChild([] {
              Library nvml("libnvidia-ml.so.1");
              ASSERT_EQ(nvml.Call("nvmlInit_v2"), NVML_SUCCESS);
              nvmlDevice_t device = nullptr;
              ASSERT_EQ(nvml.Call("nvmlDeviceGetHandleByIndex_v2", 0u, &device), NVML_SUCCESS);
              nvmlMemory_t memory{};
              ASSERT_EQ(nvml.Call("nvmlDeviceGetMemoryInfo", device, &memory), NVML_SUCCESS);
              EXPECT_EQ(memory.used, 0U);
              const HeldChild program([] {
                Program p;
                CUdeviceptr a = 0;
                EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1} << 30), CUDA_SUCCESS);
              });
              ASSERT_TRUE(program.ready());
              ASSERT_EQ(nvml.Call("nvmlDeviceGetMemoryInfo", device, &memory), NVML_SUCCESS);
              EXPECT_GE(memory.used, 1U << 30);
            }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
