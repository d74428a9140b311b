// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "simgpu/tests/nvml.h"
#include "simgpu/tests/program.h"

// Streams, events, kernels, and who waits for whom.
namespace sluice::simgpu {
namespace {

class Work : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("1x1GiB");
  }
};

TEST_F(Work, CarriesOutKernelsKnownByName) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUdeviceptr a = 0;
        CUdeviceptr b = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{4096}), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &b, size_t{4096}), CUDA_SUCCESS);
        std::vector<float> ones(1024, 1.5f);
        EXPECT_EQ(
            p.cuda.Call("cuMemcpyHtoD_v2", a, static_cast<const void*>(ones.data()), size_t{4096}),
            CUDA_SUCCESS);
        uint64_t count = 1024;
        EXPECT_EQ(p.Launch("sluice_vector_add", nullptr, {&a, &a, &b, &count}), CUDA_SUCCESS);
        std::vector<float> sums(1024);
        EXPECT_EQ(p.cuda.Call("cuMemcpyDtoH_v2", static_cast<void*>(sums.data()), b, size_t{4096}),
                  CUDA_SUCCESS);
        EXPECT_EQ(sums, std::vector<float>(1024, 3.0f));
        EXPECT_EQ(p.Launch("of_no_known_name", nullptr, {}), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuCtxSynchronize"), CUDA_SUCCESS);
      }),
      0);
}

TEST_F(Work, MakesAWildAddressAnErrorThatStays) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUdeviceptr wild = 4096;
              uint32_t value = 1;
              uint64_t count = 16;
              EXPECT_EQ(p.Launch("sluice_fill", nullptr, {&wild, &value, &count}), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuCtxSynchronize"), CUDA_ERROR_ILLEGAL_ADDRESS);
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1}), CUDA_ERROR_ILLEGAL_ADDRESS);
            }),
            0);
}

TEST_F(Work, MeasuresKernelsByEventsExactly) {
  scene_.virtual_clock = true;
  UseScene();
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream stream = p.Stream(1);
              CUevent first = p.Event();
              CUevent last = p.Event();
              EXPECT_EQ(p.Sleep(stream, 1), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventRecord", first, stream), CUDA_SUCCESS);
              for (int i = 0; i < 3; ++i) EXPECT_EQ(p.Sleep(stream, 2000), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventRecord", last, stream), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventQuery", last), CUDA_ERROR_NOT_READY);
              EXPECT_EQ(p.cuda.Call("cuEventSynchronize", last), CUDA_SUCCESS);
              float ms = 0;
              EXPECT_EQ(p.cuda.Call("cuEventElapsedTime", &ms, first, last), CUDA_SUCCESS);
              EXPECT_EQ(ms, 6.0f);
            }),
            0);
}

TEST_F(Work, MakesStreamZeroWaitForBlockingStreamsOnly) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream blocking = p.Stream(0);
              CUstream free_running = p.Stream(1);
              CUdeviceptr flag = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &flag, size_t{4}), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemsetD32_v2", flag, 0u, size_t{1}), CUDA_SUCCESS);
              // Held until the flag is written.
              EXPECT_EQ(p.cuda.Call("cuStreamWaitValue32_v2", blocking, flag, uint32_t{1}, 0u),
                        CUDA_SUCCESS);
              CUstream zero = nullptr;
              CUevent behind = p.Event();
              EXPECT_EQ(p.cuda.Call("cuEventRecord", behind, zero), CUDA_SUCCESS);
              CUevent beside = p.Event();
              EXPECT_EQ(p.cuda.Call("cuEventRecord", beside, free_running), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventSynchronize", beside), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventQuery", behind), CUDA_ERROR_NOT_READY);
              EXPECT_EQ(p.cuda.Call("cuStreamWriteValue32_v2", free_running, flag, uint32_t{1}, 0u),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventSynchronize", behind), CUDA_SUCCESS);
            }),
            0);
}

std::atomic<int> g_calls{0};

TEST_F(Work, CallsTheHostInStreamOrder) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream stream = p.Stream(1);
              CUhostFn count = [](void* number) {
                int expected = *static_cast<int*>(number);
                if (g_calls.load() == expected) ++g_calls;
              };
              int numbers[3] = {0, 1, 2};
              for (int& number : numbers) {
                EXPECT_EQ(p.Sleep(stream, 100), CUDA_SUCCESS);
                EXPECT_EQ(
                    p.cuda.Call("cuLaunchHostFunc", stream, count, static_cast<void*>(&number)),
                    CUDA_SUCCESS);
              }
              EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
              EXPECT_EQ(g_calls.load(), 3);
            }),
            0);
}

TEST_F(Work, RefusesWhatWouldDisturbACapture) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream stream = p.Stream(0);
              EXPECT_EQ(p.cuda.Call("cuStreamBeginCapture_v2", stream, 0), CUDA_SUCCESS);
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1}),
                        CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
              CUgraph graph = nullptr;
              EXPECT_EQ(p.cuda.Call("cuStreamEndCapture", stream, &graph),
                        CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
              EXPECT_EQ(graph, nullptr);
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1}), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(Work, ReplaysACaptureOverTwoStreams) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream main = p.Stream(1);
              CUstream side = p.Stream(1);
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{8}), CUDA_SUCCESS);
              CUevent fork = p.Event();
              CUevent join = p.Event();
              EXPECT_EQ(p.cuda.Call("cuStreamBeginCapture_v2", main, 0), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemsetD32Async", a, 5u, size_t{2}, main), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventRecord", fork, main), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuStreamWaitEvent", side, fork, 0u), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemsetD32Async", a, 6u, size_t{1}, side), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventRecord", join, side), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuStreamWaitEvent", main, join, 0u), CUDA_SUCCESS);
              CUgraph graph = nullptr;
              EXPECT_EQ(p.cuda.Call("cuStreamEndCapture", main, &graph), CUDA_SUCCESS);
              CUgraphExec exec = nullptr;
              EXPECT_EQ(p.cuda.Call("cuGraphInstantiateWithFlags", &exec, graph, 0ull),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuGraphLaunch", exec, main), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", main), CUDA_SUCCESS);
              uint32_t words[2] = {};
              EXPECT_EQ(p.cuda.Call("cuMemcpyDtoH_v2", static_cast<void*>(words), a, size_t{8}),
                        CUDA_SUCCESS);
              EXPECT_EQ(words[0], 6u);
              EXPECT_EQ(words[1], 5u);
            }),
            0);
}

TEST_F(Work, ShowsUseInNvmlWithItsLag) {
  HeldChild busy([] {
    static Program p;
    EXPECT_EQ(p.Sleep(nullptr, 60'000'000), CUDA_SUCCESS);
  });
  ASSERT_TRUE(busy.ready());
  EXPECT_EQ(InChild([] {
              const Nvml nvml;
              nvmlUtilization_t rates{};
              auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
              while (rates.gpu < 90 && std::chrono::steady_clock::now() < until) {
                std::this_thread::yield();
                ASSERT_EQ(nvml.Ask("nvmlDeviceGetUtilizationRates", &rates), NVML_SUCCESS);
              }
              EXPECT_GE(rates.gpu, 90u);
            }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
