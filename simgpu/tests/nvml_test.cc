// SPDX-License-Identifier: Apache-2.0
#include "simgpu/tests/nvml.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "simgpu/tests/program.h"

// What only watches: NVML.
namespace sluice::simgpu {
namespace {

class Watcher : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("1x24GiB");
  }
  void Fault(const char* fault) {
    scene_.cards[0].faults = {fault};
    UseScene();
  }
};

// The process that used the card lately, asked for until NVML shows a hundredth of it; 0: it never
// did.
nvmlProcessUtilizationSample_t Worker(const Nvml& nvml) {
  auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  nvmlProcessUtilizationSample_t sample{};
  while (sample.smUtil == 0 && std::chrono::steady_clock::now() < until) {
    unsigned count = 1;
    int got = nvml.Ask("nvmlDeviceGetProcessUtilization", &sample, &count, 0ull);
    EXPECT_TRUE(got == NVML_SUCCESS || got == NVML_ERROR_NOT_FOUND) << got;
    std::this_thread::yield();
  }
  return sample;
}

void HoldAGibibyte() {
  Program p;
  CUdeviceptr a = 0;
  EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1} << 30), CUDA_SUCCESS);
}

void WorkForAMinute() {
  static Program p;
  EXPECT_EQ(p.Sleep(nullptr, 60'000'000), CUDA_SUCCESS);
}

constexpr unsigned long long kHeld = (1ull << 30) + (400ull << 20);

TEST_F(Watcher, MayComeBeforeEveryProgram) {
  std::filesystem::remove(folder_ + "/device.map");
  EXPECT_EQ(InChild([] {
              const Nvml nvml;
              nvmlMemory_t memory{};
              ASSERT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_SUCCESS);
              EXPECT_EQ(memory.used, 0U);
              const HeldChild program(HoldAGibibyte);
              ASSERT_TRUE(program.ready());
              ASSERT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_SUCCESS);
              EXPECT_EQ(memory.used, kHeld);
            }),
            0);
}

TEST_F(Watcher, SeesWhatTheDriverKeepsApartInTheSecondForm) {
  scene_.cards[0].reserved = GiB(1);
  UseScene();
  const HeldChild program(HoldAGibibyte);
  ASSERT_TRUE(program.ready());
  EXPECT_EQ(InChild([] {
              const Nvml nvml;
              nvmlMemory_t first{};
              ASSERT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &first), NVML_SUCCESS);
              EXPECT_EQ(first.total, 24ull << 30);
              EXPECT_EQ(first.used, kHeld + (1ull << 30));
              nvmlMemory_v2_t second{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo_v2", &second),
                        NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
              second.version = NvmlVersion<nvmlMemory_v2_t>(2);
              ASSERT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo_v2", &second), NVML_SUCCESS);
              EXPECT_EQ(second.reserved, 1ull << 30);
              EXPECT_EQ(second.used, kHeld);
              EXPECT_EQ(second.free, first.free);
            }),
            0);
}

TEST_F(Watcher, ListsProcessesInEveryForm) {
  const HeldChild program(HoldAGibibyte);
  ASSERT_TRUE(program.ready());
  auto pid = static_cast<unsigned>(program.pid());
  EXPECT_EQ(InChild([pid] {
              const Nvml nvml;
              unsigned count = 2;
              nvmlProcessInfo_v1_t first[2] = {};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses", &count, &first[0]),
                        NVML_SUCCESS);
              EXPECT_EQ(count, 1u);
              EXPECT_EQ(first[0].pid, pid);
              EXPECT_EQ(first[0].usedGpuMemory, kHeld);
              for (const char* form : {"nvmlDeviceGetComputeRunningProcesses_v2",
                                       "nvmlDeviceGetComputeRunningProcesses_v3"}) {
                nvmlProcessInfo_v2_t rows[2] = {};
                count = 2;
                EXPECT_EQ(nvml.Ask(form, &count, &rows[0]), NVML_SUCCESS);
                EXPECT_EQ(rows[0].pid, pid);
                EXPECT_EQ(rows[0].gpuInstanceId, 0xffffffffu);
              }
              nvmlProcessDetail_v1_t details[2] = {};
              nvmlProcessDetailList_v1_t list{
                  .version = 0, .mode = 0, .numProcArrayEntries = 2, .procArray = details};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetRunningProcessDetailList", &list),
                        NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
              list.version = NvmlVersion<nvmlProcessDetailList_v1_t>(1);
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetRunningProcessDetailList", &list), NVML_SUCCESS);
              EXPECT_EQ(list.numProcArrayEntries, 1u);
              EXPECT_EQ(details[0].pid, pid);
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetGraphicsRunningProcesses_v3", &count, &first[0]),
                        NVML_SUCCESS);
              EXPECT_EQ(count, 0u);
            }),
            0);
}

TEST_F(Watcher, FindsNoProcessThatDidNotWork) {
  const HeldChild idle(HoldAGibibyte);
  ASSERT_TRUE(idle.ready());
  EXPECT_EQ(InChild([] {
              const Nvml nvml;
              nvmlProcessUtilizationSample_t sample{};
              unsigned count = 1;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetProcessUtilization", &sample, &count, 0ull),
                        NVML_ERROR_NOT_FOUND);
            }),
            0);
}

TEST_F(Watcher, SeesWorkAsSamplesOfTheCardAndOfItsProcesses) {
  const HeldChild busy(WorkForAMinute);
  ASSERT_TRUE(busy.ready());
  auto pid = static_cast<unsigned>(busy.pid());
  EXPECT_EQ(InChild([pid] {
              const Nvml nvml;
              nvmlProcessUtilizationSample_t seen = Worker(nvml);
              EXPECT_EQ(seen.pid, pid);
              EXPECT_GT(seen.smUtil, 0u);
              nvmlProcessUtilizationInfo_v1_t rows[2] = {};
              nvmlProcessesUtilizationInfo_v1_t info{};
              info.procUtilArray = rows;
              info.processSamplesCount = 2;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetProcessesUtilizationInfo", &info),
                        NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
              info.version = NvmlVersion<nvmlProcessesUtilizationInfo_v1_t>(1);
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetProcessesUtilizationInfo", &info), NVML_SUCCESS);
              EXPECT_EQ(rows[0].pid, pid);
              int kind = 0;
              unsigned room = 0;
              nvmlSample_t* none = nullptr;
              ASSERT_EQ(nvml.Ask("nvmlDeviceGetSamples", 1, 0ull, &kind, &room, none),
                        NVML_SUCCESS);
              std::vector<nvmlSample_t> samples(room);
              ASSERT_EQ(nvml.Ask("nvmlDeviceGetSamples", 1, 0ull, &kind, &room, samples.data()),
                        NVML_SUCCESS);
              ASSERT_GT(room, 0u);
              bool worked = std::any_of(samples.begin(), samples.begin() + room, [](const auto& s) {
                return s.sampleValue.uiVal > 0;
              });
              EXPECT_TRUE(worked);
              // Nothing is newer than the newest.
              unsigned long long newest = samples[room - 1].timeStamp + 60'000'000;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetSamples", 1, newest, &kind, &room, samples.data()),
                        NVML_ERROR_NOT_FOUND);
            }),
            0);
}

TEST_F(Watcher, NumbersWorkersAsAnotherNamespaceDoes) {
  Fault("foreign_pids_in_utilization");
  const HeldChild busy(WorkForAMinute);
  ASSERT_TRUE(busy.ready());
  auto pid = static_cast<unsigned>(busy.pid());
  EXPECT_EQ(InChild([pid] {
              const Nvml nvml;
              EXPECT_EQ(Worker(nvml).pid, pid + kForeignPid);
              nvmlProcessInfo_v1_t listed{};
              unsigned count = 1;
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses", &count, &listed),
                        NVML_SUCCESS);
              EXPECT_EQ(listed.pid, pid);
            }),
            0);
}

TEST_F(Watcher, SeesNoUseOfACardThatNeverTells) {
  const HeldChild busy(WorkForAMinute);
  ASSERT_TRUE(busy.ready());
  EXPECT_EQ(InChild([this] {
              const Nvml nvml;
              EXPECT_NE(Worker(nvml).pid, 0u);
              Fault("zero_utilization");
              nvmlUtilization_t rates{.gpu = 50, .memory = 50};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetUtilizationRates", &rates), NVML_SUCCESS);
              EXPECT_EQ(rates.gpu, 0u);
            }),
            0);
}

TEST_F(Watcher, IsToldThatThereAreNoLists) {
  Fault("no_process_list");
  EXPECT_EQ(InChild([] {
              const Nvml nvml;
              unsigned count = 1;
              nvmlProcessInfo_v1_t row{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetComputeRunningProcesses", &count, &row),
                        NVML_ERROR_NOT_SUPPORTED);
              nvmlProcessUtilizationSample_t sample{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetProcessUtilization", &sample, &count, 0ull),
                        NVML_ERROR_NOT_SUPPORTED);
            }),
            0);
}

TEST_F(Watcher, IsToldThatACardIsLost) {
  EXPECT_EQ(InChild([this] {
              const Nvml nvml;
              Fault("lost");
              nvmlMemory_t memory{};
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetMemoryInfo", &memory), NVML_ERROR_GPU_IS_LOST);
              char text[96] = "";
              EXPECT_EQ(nvml.Ask("nvmlDeviceGetUUID", &text[0], 96u), NVML_SUCCESS);
            }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
