// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdio>
#include <fstream>
#include <random>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "simgpu/tests/machine.h"
#include "simgpu/tests/nvml.h"

// SIGKILL anywhere leaves a card whole.
namespace sluice::simgpu {
namespace {

class Kill : public SimulatedMachine {};

// Takes and gives back memory in every way it can, for ever, counting its steps.
void Churn(std::atomic<uint64_t>& steps, unsigned seed) {
  Library cuda("libcuda.so.1");
  CUcontext context = nullptr;
  CUstream none = nullptr;
  cuda.Call("cuInit", 0u);
  cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0});
  std::minstd_rand random(seed);
  std::vector<CUdeviceptr> blocks;
  while (true) {
    CUdeviceptr address = 0;
    size_t bytes = size_t{1} << (random() % 26);
    switch (random() % 4) {
      case 0:
        if (cuda.Call("cuMemAlloc_v2", &address, bytes) == 0) blocks.push_back(address);
        break;
      case 1:
        if (cuda.Call("cuMemAllocAsync", &address, bytes, none) == 0) blocks.push_back(address);
        break;
      case 2:
        cuda.Call("cuCtxSynchronize");
        break;
      default:
        if (blocks.empty()) break;
        cuda.Call("cuMemFree_v2", blocks.back());
        blocks.pop_back();
    }
    ++steps;
  }
}

TEST_F(Kill, LeavesTheCardUsableAtAHundredRandomInstants) {
  UseFleet("1x1GiB");
  scene_.context = MiB(16);
  UseScene();
  unsigned seed = std::random_device{}();
  if (const char* given = std::getenv("SLUICE_TEST_SEED")) {
    seed = static_cast<unsigned>(std::strtoul(given, nullptr, 10));
  }
  std::printf("SLUICE_TEST_SEED=%u\n", seed);
  std::minstd_rand random(seed);
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto& steps = *new (page) std::atomic<uint64_t>(0);
  for (int round = 0; round < 50; ++round) {
    pid_t children[2];
    for (pid_t& child : children) {
      child = ::fork();
      if (child == 0) Churn(steps, static_cast<unsigned>(random()) + (&child == children ? 0 : 1));
      random();
    }
    uint64_t until = steps.load() + random() % 400;
    while (steps.load() < until) {
    }
    for (pid_t child : children) ::kill(child, SIGKILL);
    for (pid_t child : children) ::waitpid(child, nullptr, 0);
  }
  ::munmap(page, 4096);
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              CUcontext context = nullptr;
              ASSERT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
              ASSERT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
              CUdeviceptr all = 0;
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &all, size_t{1008} << 20), CUDA_SUCCESS);
              EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &all, size_t{1}), CUDA_ERROR_OUT_OF_MEMORY);
            }),
            0);
}

TEST_F(Kill, NeverLetsProcessesFillACardPastItsMemory) {
  UseFleet("1x256MiB");
  scene_.context = MiB(0);
  UseScene();
  constexpr int kProcesses = 4;
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto& taken = *new (page) std::atomic<uint64_t>(0);
  std::vector<std::unique_ptr<HeldChild>> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(std::make_unique<HeldChild>([&taken] {
      Library cuda("libcuda.so.1");
      CUcontext context = nullptr;
      EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
      EXPECT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
      CUdeviceptr address = 0;
      while (cuda.Call("cuMemAlloc_v2", &address, size_t{2} << 20) == CUDA_SUCCESS) ++taken;
    }));
  }
  for (const auto& child : children) EXPECT_TRUE(child->ready());
  EXPECT_EQ(taken.load(), 128u);
  ::munmap(page, 4096);
}

TEST_F(Kill, SurvivesNoiseInTheMap) {
  UseFleet("1x1GiB");
  HeldChild other([] {
    Library cuda("libcuda.so.1");
    CUcontext context = nullptr;
    EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
    EXPECT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
  });
  ASSERT_TRUE(other.ready());
  // What a hostile tenant may do to the file: fill it with noise, then cut it short.
  EXPECT_EQ(InChild([this] {
              const Nvml nvml;
              {
                std::fstream map(folder_ + "/device.map", std::ios::in | std::ios::out);
                map.seekp(8);
                std::string noise(1 << 20, '\xfe');
                map.write(noise.data(), static_cast<std::streamsize>(noise.size()));
              }
              nvmlProcessInfo_v2_t info[2000] = {};
              unsigned count = 2000;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses_v3", &count, &info[0]),
                        NVML_SUCCESS);
              EXPECT_LE(count, 1u);
              nvmlMemory_t memory{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_SUCCESS);
              EXPECT_LE(memory.used, memory.total);
              EXPECT_EQ(::truncate((folder_ + "/device.map").c_str(), 100), 0);
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_SUCCESS);
              nvmlUtilization_t rates{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetUtilizationRates", &rates), NVML_SUCCESS);
              EXPECT_LE(rates.gpu, 100u);
            }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
