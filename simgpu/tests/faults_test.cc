// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "simgpu/tests/nvml.h"
#include "simgpu/tests/program.h"

// Cards, drivers and programs that fail in the ways that the scene or the environment says.
namespace sluice::simgpu {
namespace {

class Faults : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("1x1GiB");
  }
  void TearDown() override {
    ::unsetenv("SLUICE_SIMGPU_FAULT");
    SimulatedMachine::TearDown();
  }
  void Fault(const char* fault) {
    scene_.cards[0].faults = {fault};
    UseScene();
  }
};

size_t Mib(size_t count) {
  return count << 20;
}

TEST_F(Faults, KeepAnErrorOfAKernelUntilTheContextEnds) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        const void* text = ".version 7.0\n.entry sluice_fail(.param .u64 code) { ret; }\n";
        CUmodule module = nullptr;
        CUfunction fail = nullptr;
        EXPECT_EQ(p.cuda.Call("cuModuleLoadData", &module, text), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuModuleGetFunction", &fail, module, "sluice_fail"), CUDA_SUCCESS);
        uint64_t code = 719;
        void* arguments[] = {&code};
        void** none = nullptr;
        CUstream stream = nullptr;
        EXPECT_EQ(
            p.cuda.Call(
                "cuLaunchKernel", fail, 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream, &arguments[0], none),
            CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuCtxSynchronize"), 719);
        CUdeviceptr a = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(1)), 719);
        CUcontext fresh = nullptr;
        EXPECT_EQ(p.cuda.Call("cuCtxDestroy_v2", p.context), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuCtxCreate_v2", &fresh, 0u, CUdevice{0}), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(1)), CUDA_SUCCESS);
      }),
      0);
}

TEST_F(Faults, StrikeANamedPointOnce) {
  // The context is the first charge.
  ::setenv("SLUICE_SIMGPU_FAULT", "charge:2:46", 1);
  EXPECT_EQ(InChild([] {
              Program p;
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(4)), CUDA_ERROR_DEVICE_UNAVAILABLE);
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(4)), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(Faults, KillAtANamedPointAndLeaveTheCardWhole) {
  for (const char* point : {"init", "context", "charge", "charged", "uncharge", "submit"}) {
    ::setenv("SLUICE_SIMGPU_FAULT", (std::string(point) + ":1:kill").c_str(), 1);
    EXPECT_EQ(InChild([] {
                Program p;
                CUdeviceptr a = 0;
                p.cuda.Call("cuMemAlloc_v2", &a, Mib(4));
                p.cuda.Call("cuMemFree_v2", a);
                p.Sleep(nullptr, 1);
              }),
              128 + 9)
        << point;
  }
  ::unsetenv("SLUICE_SIMGPU_FAULT");
  EXPECT_EQ(InChild([] {
              Program p;
              size_t free_bytes = 0;
              size_t total = 0;
              EXPECT_EQ(p.cuda.Call("cuMemGetInfo_v2", &free_bytes, &total), CUDA_SUCCESS);
              EXPECT_EQ(free_bytes, Mib(624));
            }),
            0);
}

// At least as long as told: how much longer is the machine's business.
TEST_F(Faults, MakeADriverSlow) {
  using std::chrono::steady_clock;
  auto takes = [] {
    Program p;
    CUdeviceptr a = 0;
    auto from = steady_clock::now();
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(4)), CUDA_SUCCESS);
    EXPECT_GE(steady_clock::now() - from, std::chrono::milliseconds(30));
  };
  ::setenv("SLUICE_SIMGPU_FAULT", "charge:1:delay30", 1);
  EXPECT_EQ(InChild(takes), 0);
  ::unsetenv("SLUICE_SIMGPU_FAULT");
  scene_.call_delay_us = 30'000;
  UseScene();
  EXPECT_EQ(InChild(takes), 0);
}

TEST_F(Faults, NumberProcessesAsAnotherNamespaceDoes) {
  Fault("foreign_pids_in_lists");
  HeldChild other([] { static Program p; });
  ASSERT_TRUE(other.ready());
  auto pid = static_cast<unsigned>(other.pid());
  EXPECT_EQ(InChild([pid] {
              const Nvml nvml;
              unsigned count = 4;
              nvmlProcessInfo_v2_t info[4] = {};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses_v3", &count, &info[0]),
                        NVML_SUCCESS);
              EXPECT_EQ(info[0].pid, pid + kForeignPid);
            }),
            0);
}

TEST_F(Faults, HideACardThatIsToBeUsedInParts) {
  Fault("mig_mode");
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_ERROR_NO_DEVICE);
              const Nvml nvml;
              unsigned current = 0;
              unsigned pending = 0;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMigMode", &current, &pending), NVML_SUCCESS);
              EXPECT_EQ(current, 1u);
            }),
            0);
}

TEST_F(Faults, LackInAnOldDriverWhatCameLater) {
  scene_.driver_version = "470.256.02-simulated";
  scene_.cuda_version = 11040;
  UseScene();
  EXPECT_EQ(InChild([&] {
              const Library cuda = Library::Anew("libcuda.so.1", folder_);
              EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
              EXPECT_EQ(cuda.Find("cuGreenCtxCreate"), nullptr);
              EXPECT_NE(cuda.Find("cuMemAllocAsync"), nullptr);
              EXPECT_EQ(cuda.Find("cuGetProcAddress_v2"), nullptr);
              void* address = nullptr;
              uint64_t flags = 0;
              for (const char* later : {"cuGreenCtxCreate", "cuCtxGetId"}) {
                EXPECT_EQ(cuda.Call("cuGetProcAddress", later, &address, 11040, flags),
                          CUDA_ERROR_NOT_FOUND);
              }
              const Nvml nvml(Library::Anew("libnvidia-ml.so.1", folder_));
              EXPECT_EQ(nvml.library.Find("nvmlDeviceGetMemoryInfo_v2"), nullptr);
              EXPECT_EQ(nvml.library.Find("nvmlDeviceGetComputeRunningProcesses_v3"), nullptr);
              EXPECT_EQ(nvml.library.Find("nvmlDeviceGetRunningProcessDetailList"), nullptr);
              nvmlMemory_t memory{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_SUCCESS);
            }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
