// SPDX-License-Identifier: Apache-2.0
// A program that uses the driver API as programs do, for tests: it has no idea of shares. It looks
// the driver's functions up in one of several ways and prints the codes that it gets.
// clang-format off
//
//   probe LOOKUP route NAME BYTES    one allocation by that route: the code
//   probe LOOKUP routes              the names of all routes
//   probe LOOKUP hold BYTES          allocates, prints the code, waits for the end of its input
//   probe LOOKUP fill BYTES          allocates blocks of BYTES until refused: code and count; waits
//   probe LOOKUP churn SEED          allocates and frees for ever, a line after each thousand
//   probe LOOKUP random SEED         a random sequence over all routes: "N held"; then a byte: "free"
//   probe LOOKUP nvml                memory v1, v2; short list's code, processes as pid:bytes
//   probe LOOKUP info                free, total, device total
//   probe LOOKUP pile NAME BYTES     allocates by that route and keeps it, until refused; the code
//   probe LOOKUP cycle NAME BYTES    allocates and frees by that route 20 times; the last code
//   probe LOOKUP ordered NAME BYTES  frees BYTES behind a kernel that runs, and allocates them again
//                                    by that route: the code
//   probe LOOKUP fork                holds 300 MiB and forks a child that outlives it; the code
// clang-format on
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "shim/internal/testing/routes.h"

namespace sluice::shim {
namespace {

void AwaitEnd() {
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

int DoRoute(const char* name, Size bytes) {
  Start();
  const Route& route = RouteOf(name);
  printf("%d\n", route.allocate(bytes));
  fflush(stdout);
  return 0;
}

// Takes pieces and keeps them until refused, or until there are far more than a share of 1 GiB is.
int DoPile(const char* name, Size bytes) {
  Start();
  keep_graph_memory = true;
  const Route& route = RouteOf(name);
  CUresult result = kSuccess;
  for (int i = 0; i < 40 && result == kSuccess; ++i) {
    result = route.allocate(bytes);
  }
  printf("%d\n", result);
  fflush(stdout);
  AwaitEnd();
  return 0;
}

int DoCycle(const char* name, Size bytes) {
  Start();
  const Route& route = RouteOf(name);
  for (int i = 0; i < 20; ++i) {
    const CUresult allocated = route.allocate(bytes);
    const CUresult released = allocated == kSuccess ? route.release() : kSuccess;
    if (allocated != kSuccess || released != kSuccess) {
      printf("%d %d at %d\n", allocated, released, i);
      return 1;
    }
  }
  printf("0\n");
  fflush(stdout);
  AwaitEnd();
  return 0;
}

// A kernel of the simulated card that lasts 100 ms.
CUresult Launch100Ms() {
  static constexpr char kText[] =
      ".version 7.0\n.target sm_50\n.address_size 64\n"
      ".visible .entry sluice_sleep_us(.param .u64 a) { ret; }\n";
  void* module = nullptr;
  void* function = nullptr;
  uint64_t microseconds = 100'000;
  void* arguments[] = {&microseconds};
  CUresult result = Ask("cuModuleLoadData", &module, static_cast<const void*>(kText));
  if (result == kSuccess) {
    result = Ask("cuModuleGetFunction", &function, module, "sluice_sleep_us");
  }
  return result != kSuccess ? result
                            : Ask("cuLaunchKernel",
                                  function,
                                  1U,
                                  1U,
                                  1U,
                                  1U,
                                  1U,
                                  1U,
                                  0U,
                                  CUstream{},
                                  static_cast<void**>(arguments),
                                  static_cast<void**>(nullptr));
}

int DoOrdered(const char* name, Size bytes) {
  Start();
  CUdeviceptr block = 0;
  CUresult result = Ask("cuMemAllocAsync", &block, bytes, CUstream{});
  if (result == kSuccess) {
    result = Launch100Ms();
  }
  if (result == kSuccess) {
    result = Ask("cuMemFreeAsync", block, CUstream{});
  }
  printf("%d\n", result != kSuccess ? result : RouteOf(name).allocate(bytes));
  fflush(stdout);
  AwaitEnd();
  return 0;
}

int DoHold(Size bytes) {
  Start();
  printf("%d\n", Ask("cuMemAlloc_v2", &held.block, bytes));
  fflush(stdout);
  AwaitEnd();
  return 0;
}

int DoFill(Size bytes) {
  Start();
  int count = 0;
  CUresult result = kSuccess;
  while ((result = Ask("cuMemAlloc_v2", &held.block, bytes)) == kSuccess) {
    ++count;
  }
  printf("%d %d\n", result, count);
  fflush(stdout);
  AwaitEnd();
  return 0;
}

int DoChurn(unsigned seed) {
  Start();
  srand(seed);
  std::vector<CUdeviceptr> blocks;
  for (int turn = 0;; ++turn) {
    if (!blocks.empty() && rand() % 2 == 0) {
      const size_t at = static_cast<size_t>(rand()) % blocks.size();
      if (Ask("cuMemFree_v2", blocks[at]) != kSuccess) {
        return 5;
      }
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
    } else if (Ask("cuMemAlloc_v2", &held.block, static_cast<Size>(rand()) % (200 * kMib) + 1) ==
               kSuccess) {
      blocks.push_back(held.block);
    }
    if (turn % 20 == 0) {
      printf("%d\n", turn);
      fflush(stdout);
    }
  }
}

// Allocates and frees by every route in a random order, in pieces of 2 MiB as the driver deals them
// out; then says so, and later gives everything back and says that, too.
int DoRandom(unsigned seed) {
  Start();
  srand(seed);
  struct Live {
    const Route* route;
    Held held;
  };
  std::vector<Live> live;
  for (int step = 0; step < 60; ++step) {
    const auto dice = static_cast<size_t>(rand());
    if (!live.empty() && dice % 5 < 2) {
      const size_t at = dice / 5 % live.size();
      held = live[at].held;
      if (const CUresult result = live[at].route->release(); result != kSuccess) {
        printf("%s: release %d\n", live[at].route->name, result);
        return 1;
      }
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
      continue;
    }
    const Route& route = Routes().first[dice / 5 % Routes().count];
    held = Held{};
    const CUresult result = route.allocate((static_cast<Size>(rand()) % 60 + 1) * 2 * kMib);
    if (result == kSuccess) {
      live.push_back({&route, held});
    } else if (result != kOutOfMemory && result != kNotInDriver) {
      printf("%s: allocate %d\n", route.name, result);
      return 1;
    }
  }
  Ask("cuCtxSynchronize");
  printf("%zu held\n", live.size());
  fflush(stdout);
  char byte = 0;
  if (read(STDIN_FILENO, &byte, 1) != 1) {
    return 1;
  }
  for (const Live& one : live) {
    held = one.held;
    one.route->release();
  }
  Ask("cuCtxSynchronize");
  printf("free\n");
  fflush(stdout);
  AwaitEnd();
  return 0;
}

// Memory and processes of the first card as NVML tells.
int DoNvml() {
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
  if (library == nullptr) {
    return 3;
  }
  auto ask = [&](const char* name, auto... arguments) {
    return reinterpret_cast<int (*)(decltype(arguments)...)>(dlsym(library, name))(arguments...);
  };
  NvmlDevice device = nullptr;
  NvmlMemoryV1 memory = {};
  NvmlMemory memory2 = {};
  memory2.version = sizeof(NvmlMemory) | 2U << 24;
  unsigned count = 0;
  NvmlProcess* const none = nullptr;
  ask("nvmlInit_v2");
  ask("nvmlDeviceGetHandleByIndex_v2", 0U, &device);
  const int first = ask("nvmlDeviceGetMemoryInfo", device, &memory);
  const int second = ask("nvmlDeviceGetMemoryInfo_v2", device, &memory2);
  printf("%d %llu %llu %llu\n", first, memory.total, memory.free, memory.used);
  printf("%d %llu %llu %llu\n", second, memory2.total, memory2.free, memory2.used);
  const int short_list = ask("nvmlDeviceGetComputeRunningProcesses_v3", device, &count, none);
  std::vector<NvmlProcess> processes(count + 4);
  unsigned room = count + 4;
  ask("nvmlDeviceGetComputeRunningProcesses_v3", device, &room, processes.data());
  printf("%d %u %u", short_list, count, room);
  for (unsigned i = 0; i < room; ++i) {
    printf(" %u:%llu", processes[i].pid, processes[i].bytes);
  }
  printf("\n");
  return 0;
}

// Four threads allocate and free at once, from the driver and from its pool.
int DoThreads() {
  const CUcontext context = Start();
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, pooled = i % 2 == 0] {
      Ask("cuCtxSetCurrent", context);
      for (int turn = 0; turn < 500; ++turn) {
        CUdeviceptr own = 0;
        const Size bytes = static_cast<Size>(turn % 20 + 1) * 2 * kMib;
        const CUresult taken = pooled ? Ask("cuMemAllocAsync", &own, bytes, CUstream{})
                                      : Ask("cuMemAlloc_v2", &own, bytes);
        const CUresult given =
            pooled ? Ask("cuMemFreeAsync", own, CUstream{}) : Ask("cuMemFree_v2", own);
        failures += taken != kSuccess || given != kSuccess ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  Ask("cuCtxSynchronize");
  printf("%d\n", failures.load());
  fflush(stdout);
  AwaitEnd();
  return 0;
}

int DoInfo() {
  Start();
  Size free_bytes = 0;
  Size total = 0;
  Size device_total = 0;
  const CUresult info = Ask("cuMemGetInfo_v2", &free_bytes, &total);
  const CUresult device = Ask("cuDeviceTotalMem_v2", &device_total, 0);
  printf("%d %zu %zu %d %zu\n", info, free_bytes, total, device, device_total);
  return 0;
}

// The child of a process that holds memory: it lives on, and must not keep its parent's alive.
int DoFork() {
  Start();
  const CUresult result = Ask("cuMemAlloc_v2", &held.block, 300 * kMib);
  if (fork() == 0) {
    // The driver does not serve a forked child; whatever it answers must do no harm.
    Ask("cuMemFree_v2", held.block);
    printf("%d\n", result);
    fflush(stdout);
    AwaitEnd();
    _exit(0);
  }
  pause();
  return 1;
}

}  // namespace
}  // namespace sluice::shim

int main(int argc, char** argv) {
  using namespace sluice::shim;
  if (argc < 3) {
    return 64;
  }
  lookup = argv[1];
  const std::string verb = argv[2];
  const char* const name = argc > 3 ? argv[3] : "";
  const Size last = argc > 3 ? strtoull(argv[argc - 1], nullptr, 10) : 0;
  if (verb == "route") return DoRoute(name, last);
  if (verb == "pile") return DoPile(name, last);
  if (verb == "cycle") return DoCycle(name, last);
  if (verb == "ordered") return DoOrdered(name, last);
  if (verb == "hold") return DoHold(last);
  if (verb == "fill") return DoFill(last);
  if (verb == "churn") return DoChurn(static_cast<unsigned>(last));
  if (verb == "random") return DoRandom(static_cast<unsigned>(last));
  if (verb == "threads") return DoThreads();
  if (verb == "info") return DoInfo();
  if (verb == "nvml") return DoNvml();
  if (verb == "fork") return DoFork();
  for (const Route& route : Routes()) {
    printf("%s\n", route.name);
  }
  return 0;
}
