// SPDX-License-Identifier: Apache-2.0
// Threads that end inside the interposer, at a named point (points.h), and others that go on:
//
//   POINT MANNER
//
// A thread does everything that the interposer answers and ends at the point when it comes there
// the first time, another one the second time, and so on until one does not come there so often;
// after each end another thread does everything to its end. Manners: `exit`, the kernel's own call;
// `pthread_exit` and `cancel`, from a signal handler. It says how many ended and the last code of
// those that went on, waits for its input's end, and ends.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "shim/internal/testing/routes.h"

namespace sluice::shim {
namespace {

constexpr int kTimesMax = 3;
constexpr int kSmallBlocks = 800;  // So many that the tables of blocks grow.
constexpr Size kNearlyAll = 900 * kMib;

constexpr char kPtx[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry sluice_sleep_us(.param .u64 a) { ret; }\n";

struct Task {
  const char* point;  // nullptr: goes on to its end.
  int times;
  CUresult result = kSuccess;
  bool whole = false;
};

std::string manner;

void Note(Task& task, CUresult result) {
  task.result = task.result == kSuccess ? result : task.result;
}

// What the card does for several streams, waited for now and then.
void Work(Task& task) {
  void* module = nullptr;
  CUfunction function = nullptr;
  const void* const image = kPtx;
  Note(task, Ask("cuModuleLoadData", &module, image));
  Note(task, Ask("cuModuleGetFunction", &function, module, "sluice_sleep_us"));
  uint64_t us = 2;
  void* arguments[] = {&us};
  void** const none = nullptr;
  for (int round = 0; round < 3; ++round) {
    std::vector<CUstream> streams(48);
    for (CUstream& stream : streams) {
      Note(task, Ask("cuStreamCreate", &stream, 1U));
      for (int i = 0; i < 2; ++i) {
        Note(task,
             Ask("cuLaunchKernel",
                 function,
                 1U,
                 1U,
                 1U,
                 1U,
                 1U,
                 1U,
                 0U,
                 stream,
                 static_cast<void**>(arguments),
                 none));
      }
    }
    for (CUstream stream : streams) {
      Note(task, Ask("cuStreamSynchronize", stream));
      Note(task, Ask("cuStreamDestroy_v2", stream));
    }
  }
  Note(task, Ask("cuModuleUnload", module));
}

void* Everything(void* argument) {
  Task& task = *static_cast<Task*>(argument);
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  if (task.point != nullptr) {
    reinterpret_cast<void (*)(const char*, int)>(dlsym(RTLD_DEFAULT, "SluiceEndAt"))(task.point,
                                                                                     task.times);
  }
  Start();
  for (const Route& route : Routes()) {
    const CUresult result = route.allocate(2 * kMib);
    Note(task, result == kSuccess ? route.release() : result == kNotInDriver ? kSuccess : result);
  }
  std::vector<CUdeviceptr> blocks(kSmallBlocks);
  for (CUdeviceptr& block : blocks) {
    Note(task, Ask("cuMemAlloc_v2", &block, Size{512}));
  }
  for (const CUdeviceptr block : blocks) {
    Note(task, Ask("cuMemFree_v2", block));
  }
  // More than there is while something dead holds the rest.
  CUdeviceptr block = 0;
  if (Ask("cuMemAlloc_v2", &block, kNearlyAll) == kSuccess) {
    Note(task, Ask("cuMemFree_v2", block));
  }
  Work(task);
  task.whole = true;
  return nullptr;
}

void EndHere(int) {
  if (manner == "exit") {
    syscall(SYS_exit, 0);
  } else if (manner == "cancel") {
    pthread_cancel(pthread_self());
  } else {
    pthread_exit(nullptr);
  }
}

void Do(Task& task) {
  pthread_t thread = {};
  pthread_create(&thread, nullptr, Everything, &task);
  pthread_join(thread, nullptr);
}

}  // namespace
}  // namespace sluice::shim

int main(int argc, char** argv) {
  using namespace sluice::shim;
  if (argc != 3) {
    return 64;
  }
  lookup = "dlsym";
  manner = argv[2];
  signal(SIGUSR1, EndHere);
  int ended = 0;
  CUresult result = kSuccess;
  for (bool again = true; again && ended < kTimesMax;) {
    Task ends = {argv[1], ended + 1};
    Do(ends);
    again = !ends.whole;
    ended += again ? 1 : 0;
    Task goes_on = {nullptr, 0};
    Do(goes_on);
    result = goes_on.whole ? (result == kSuccess ? goes_on.result : result) : CUresult{-1};
  }
  printf("%d %d\n", ended, result);
  fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
