// SPDX-License-Identifier: Apache-2.0
// A program that puts work on the first card, for ./dev bench vcuda. It says "ready", then reads a
// command a line:
//
//   keep FORM US SYNC       works without end, waiting for it all after every SYNC launches
//   count FORM US SYNC MS   does so for MS milliseconds: how many launches
//   once US                 one launch, waited for: "done"
//
// FORM is kernel or graph (three kernels of US / 3). A kernel has as many blocks as one that fills
// a card: peers count blocks.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <iostream>
#include <sstream>
#include <string>

#include "shim/test_program.h"

namespace {

using sluice::shim::Call;
using sluice::shim::kSleepPtx;

constexpr unsigned kBlocks = 2048;
constexpr unsigned kThreads = 256;

class Worker {
 public:
  Worker() {
    void* module = nullptr;
    const void* const text = kSleepPtx;
    int device = 0;
    Call("cuInit", 0U);
    Call("cuDeviceGet", &device, 0);
    Call("cuDevicePrimaryCtxRetain", &context_, device);
    Call("cuCtxSetCurrent", context_);
    Call("cuModuleLoadData", &module, text);
    Call("cuModuleGetFunction", &kernel_, module, "sluice_sleep_us");
    Call("cuStreamCreate", &stream_, 1U);
  }

  void Use(const std::string& form, uint64_t us) {
    us_ = us;
    if (form != "graph") return;
    void* graph = nullptr;
    us_ = us / 3;
    Call("cuStreamBeginCapture_v2", stream_, 2);
    for (int i = 0; i < 3; ++i) LaunchKernel();
    Call("cuStreamEndCapture", stream_, &graph);
    Call("cuGraphInstantiateWithFlags", &exec_, graph, uint64_t{0});
  }

  void Launch() {
    if (exec_ == nullptr) {
      LaunchKernel();
    } else {
      Call("cuGraphLaunch", exec_, stream_);
    }
  }
  void Wait() { Call("cuStreamSynchronize", stream_); }

 private:
  void LaunchKernel() {
    void* arguments[] = {&us_};
    void** const none = nullptr;
    Call("cuLaunchKernel",
         kernel_,
         kBlocks,
         1U,
         1U,
         kThreads,
         1U,
         1U,
         0U,
         stream_,
         static_cast<void**>(arguments),
         none);
  }

  void* context_ = nullptr;
  void* kernel_ = nullptr;
  void* stream_ = nullptr;
  void* exec_ = nullptr;
  uint64_t us_ = 0;
};

// Until `end`; -1: without end.
long Work(Worker& worker, int sync, int64_t ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  long count = 0;
  while (ms < 0 || std::chrono::steady_clock::now() < end) {
    worker.Launch();
    if (++count % sync == 0) worker.Wait();
  }
  worker.Wait();
  return count;
}

}  // namespace

int main() {
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) return 2;
  Worker worker;
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    std::string form = "kernel";
    uint64_t us = 0;
    int sync = 1;
    int64_t ms = -1;
    words >> verb;
    if (verb == "once" && words >> us) {
      worker.Use(form, us);
      worker.Launch();
      worker.Wait();
      std::printf("done\n");
    } else if (words >> form >> us >> sync && (verb == "keep" || words >> ms)) {
      worker.Use(form, us);
      std::printf("%ld\n", Work(worker, sync, ms));
    }
    std::fflush(stdout);
  }
  std::_Exit(0);
}
