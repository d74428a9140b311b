// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "simgpu/tests/nvml.h"
#include "simgpu/tests/program.h"
#include "simgpu/truth.h"

// When work is done: exact times on a virtual clock, and the card's time between processes.
namespace sluice::simgpu {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

class Schedule : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("1x4GiB");
  }
  void UseVirtualClock() {
    scene_.virtual_clock = true;
    UseScene();
  }

  // Waits for a condition on the card, at most a minute.
  template <typename Is>
  CardTruth Await(Truth& truth, Is&& is) {
    auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (true) {
      CardTruth now = truth.Read(0);
      if (is(now)) return now;
      if (std::chrono::steady_clock::now() > until) {
        ADD_FAILURE() << "nothing came of it within a minute";
        return now;
      }
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
};

const ProcessTruth* Of(const CardTruth& card, pid_t pid) {
  for (const ProcessTruth& process : card.processes) {
    if (process.pid == pid) return &process;
  }
  return nullptr;
}

nanoseconds BusyOf(const CardTruth& card, pid_t pid) {
  const ProcessTruth* found = Of(card, pid);
  return found == nullptr ? nanoseconds(0) : found->busy;
}

TEST_F(Schedule, PassesAnHourInAMomentOnAVirtualClock) {
  UseVirtualClock();
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream stream = p.Stream(1);
              CUevent first = p.Mark(stream);
              for (int i = 0; i < 6; ++i) EXPECT_EQ(p.Sleep(stream, 600'000'000), CUDA_SUCCESS);
              EXPECT_EQ(p.Between(first, p.Mark(stream)), 3'600'000.0f);
            }),
            0);
}

TEST_F(Schedule, RunsKernelsOfOneProcessOneAfterTheOther) {
  UseVirtualClock();
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream a = p.Stream(1);
              CUstream b = p.Stream(1);
              CUevent first = p.Mark(a);
              for (int i = 0; i < 10; ++i) {
                EXPECT_EQ(p.Sleep(a, 1000), CUDA_SUCCESS);
                EXPECT_EQ(p.Sleep(b, 3000), CUDA_SUCCESS);
              }
              CUevent a_end = p.Mark(a);
              CUevent b_end = p.Mark(b);
              // Turn by turn: a ends with its tenth turn, b a kernel later.
              EXPECT_EQ(p.Between(first, b_end), 40.0f);
              EXPECT_EQ(p.Between(first, a_end), 37.0f);
            }),
            0);
}

TEST_F(Schedule, PrefersTheMoreUrgentStream) {
  UseVirtualClock();
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream idle = p.Urgent(0);
              CUstream urgent = p.Urgent(-5);
              CUevent first = p.Mark(idle);
              for (int i = 0; i < 10; ++i) EXPECT_EQ(p.Sleep(idle, 1000), CUDA_SUCCESS);
              EXPECT_EQ(p.Sleep(urgent, 1000), CUDA_SUCCESS);
              CUevent urgent_end = p.Mark(urgent);
              EXPECT_LE(p.Between(first, urgent_end), 2.0f);
              EXPECT_EQ(p.Between(first, p.Mark(idle)), 11.0f);
            }),
            0);
}

TEST_F(Schedule, CopiesWhileAKernelRuns) {
  scene_.copy_gib_per_s = 1;
  UseVirtualClock();
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream compute = p.Stream(1);
              CUstream in = p.Stream(1);
              CUstream out = p.Stream(1);
              CUdeviceptr card = 0;
              void* host = nullptr;
              size_t bytes = size_t{1} << 20;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &card, 2 * bytes), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemAllocHost_v2", &host, 2 * bytes), CUDA_SUCCESS);
              CUevent first = p.Mark(compute);
              EXPECT_EQ(p.Sleep(compute, 100'000), CUDA_SUCCESS);
              CUevent kernel_end = p.Mark(compute);
              const void* from = host;
              EXPECT_EQ(p.cuda.Call("cuMemcpyHtoDAsync_v2", card, from, bytes, in), CUDA_SUCCESS);
              void* to = static_cast<char*>(host) + bytes;
              EXPECT_EQ(p.cuda.Call("cuMemcpyDtoHAsync_v2", to, card + bytes, bytes, out),
                        CUDA_SUCCESS);
              // One direction does not wait for the other, nor for the kernel.
              CUevent in_end = p.Mark(in);
              CUevent out_end = p.Mark(out);
              EXPECT_NEAR(p.Between(first, in_end), 0.976562f, 0.0001f);
              EXPECT_NEAR(p.Between(first, out_end), 0.976562f, 0.0001f);
              EXPECT_EQ(p.Between(first, kernel_end), 100.0f);
            }),
            0);
}

TEST_F(Schedule, TakesTheDurationOfAKernelFromTheScene) {
  scene_.kernel_us = 70;
  scene_.kernel_us_of["sluice_fill"] = 250;
  UseVirtualClock();
  EXPECT_EQ(InChild([] {
              Program p;
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{4}), CUDA_SUCCESS);
              CUstream stream = p.Stream(1);
              CUevent first = p.Mark(stream);
              uint32_t value = 7;
              uint64_t count = 1;
              EXPECT_EQ(p.Launch("sluice_fill", stream, {&a, &value, &count}), CUDA_SUCCESS);
              CUevent second = p.Mark(stream);
              EXPECT_EQ(p.Launch("of_no_known_name", stream, {}), CUDA_SUCCESS);
              CUevent third = p.Mark(stream);
              EXPECT_EQ(p.Between(first, second), 0.25f);
              EXPECT_EQ(p.Between(second, third), 0.07f);
            }),
            0);
}

TEST_F(Schedule, HoldsAProgramThatSubmitsTooFarAhead) {
  UseVirtualClock();
  EXPECT_EQ(InChild([] {
              Program p;
              CUstream stream = p.Stream(1);
              CUevent first = p.Mark(stream);
              for (int i = 0; i < 1025; ++i) EXPECT_EQ(p.Sleep(stream, 1000), CUDA_SUCCESS);
              // The first is done, or there would have been no room for the last.
              EXPECT_EQ(p.cuda.Call("cuEventQuery", first), CUDA_SUCCESS);
              EXPECT_EQ(p.Between(first, p.Mark(stream)), 1025.0f);
            }),
            0);
}

// A child with a minute of work in its stream.
std::unique_ptr<HeldChild> Busy() {
  return std::make_unique<HeldChild>([] {
    static Program p;
    EXPECT_EQ(p.Sleep(nullptr, 60'000'000), CUDA_SUCCESS);
  });
}

TEST_F(Schedule, SplitsACardEvenlyInSlicesBetweenProcesses) {
  auto a = Busy();
  auto b = Busy();
  ASSERT_TRUE(a->ready() && b->ready());
  auto truth = Truth::Open(folder_);
  ASSERT_TRUE(truth);
  CardTruth before = truth->Read(0);
  CardTruth after = Await(*truth, [&](const CardTruth& now) {
    return BusyOf(now, a->pid()) > BusyOf(before, a->pid()) + milliseconds(50);
  });
  nanoseconds a_got = BusyOf(after, a->pid()) - BusyOf(before, a->pid());
  nanoseconds b_got = BusyOf(after, b->pid()) - BusyOf(before, b->pid());
  EXPECT_LE(a_got, b_got + milliseconds(2));
  EXPECT_LE(b_got, a_got + milliseconds(2));
  // One at a time: what both got is what the card did.
  EXPECT_GE(after.busy - before.busy + milliseconds(2), a_got + b_got);
}

TEST_F(Schedule, GivesTheTimeOfAKilledProcessToTheOthers) {
  auto a = Busy();
  auto b = Busy();
  ASSERT_TRUE(a->ready() && b->ready());
  auto truth = Truth::Open(folder_);
  ASSERT_TRUE(truth);
  Await(*truth, [&](const CardTruth& now) {
    return BusyOf(now, a->pid()) > milliseconds(5) && BusyOf(now, b->pid()) > milliseconds(5);
  });
  pid_t dead = a->pid();
  a->Kill();
  CardTruth before = truth->Read(0);
  EXPECT_EQ(Of(before, dead), nullptr);
  CardTruth after = Await(*truth, [&](const CardTruth& now) {
    return BusyOf(now, b->pid()) > BusyOf(before, b->pid()) + milliseconds(50);
  });
  nanoseconds b_got = BusyOf(after, b->pid()) - BusyOf(before, b->pid());
  // The card never stands still and is nobody else's; a millisecond passes between two questions.
  EXPECT_LE(after.busy - before.busy, b_got + milliseconds(2));
}

TEST_F(Schedule, ShowsEachProcessItsHalfInNvml) {
  auto a = Busy();
  auto b = Busy();
  ASSERT_TRUE(a->ready() && b->ready());
  EXPECT_EQ(InChild([] {
              const Nvml nvml;
              auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
              bool halves = false;
              while (!halves && std::chrono::steady_clock::now() < until) {
                nvmlProcessUtilizationSample_t samples[4] = {};
                unsigned count = 4;
                int got = nvml.Ask("nvmlDeviceGetProcessUtilization", &samples[0], &count, 0ull);
                auto half = [](unsigned percent) { return percent >= 45 && percent <= 55; };
                halves = got == NVML_SUCCESS && count == 2 && half(samples[0].smUtil) &&
                         half(samples[1].smUtil);
                std::this_thread::sleep_for(milliseconds(10));
              }
              EXPECT_TRUE(halves);
            }),
            0);
}

TEST_F(Schedule, GivesATurnUpWhenThereIsNoWork) {
  auto steady = Busy();
  ASSERT_TRUE(steady->ready());
  EXPECT_EQ(InChild([] {
              // Each of these begins within a slice of being sent, however long the other's queue.
              Program p;
              CUstream stream = p.Stream(1);
              for (int i = 0; i < 20; ++i) {
                EXPECT_EQ(p.Sleep(stream, 100), CUDA_SUCCESS);
                EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
              }
            }),
            0);
  auto truth = Truth::Open(folder_);
  ASSERT_TRUE(truth);
  CardTruth now = truth->Read(0);
  EXPECT_EQ(now.processes.size(), 1u);
  // The guest had two milliseconds and not one more; the rest was the other's.
  EXPECT_EQ(now.busy, BusyOf(now, steady->pid()) + milliseconds(2));
}

}  // namespace
}  // namespace sluice::simgpu
