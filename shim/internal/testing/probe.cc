// SPDX-License-Identifier: Apache-2.0
// A program that uses the driver API as programs do, for tests: it has no idea of shares. It looks
// the driver's functions up in one of several ways and prints the codes that it gets.
//
//   probe LOOKUP route NAME BYTES    one allocation by that route: the code, then "ok" or nothing
//   probe LOOKUP routes              the names of all routes
//   probe LOOKUP hold BYTES          allocates, prints the code, waits for the end of its input
//   probe LOOKUP fill BYTES          allocates blocks of BYTES until refused: code and count; waits
//   probe LOOKUP churn SEED          allocates and frees for ever, a line after each thousand
//   probe LOOKUP random SEED         a random sequence over all routes: "N held"; then a byte:
//   "free" probe LOOKUP nvml                memory v1, v2; short list's code, processes as
//   pid:bytes probe LOOKUP info                free, total, device total probe LOOKUP cycle NAME
//   BYTES    allocates and frees by that route 20 times; the last code probe LOOKUP ordered NAME
//   BYTES  frees BYTES behind a kernel that runs, and allocates them again
//                                    by that route: the code
//   probe LOOKUP fork                holds 300 MiB and forks a child that outlives it; the code
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "shim/internal/abi.h"

namespace sluice::shim {
namespace {

std::string lookup = "dlsym";

void* Find(const std::string& symbol, const std::string& base, int version) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    printf("no driver: %s\n", dlerror());
    exit(3);
  }
  if (lookup == "dlsym") {
    return dlsym(library, symbol.c_str());
  }
  if (lookup == "default") {
    return dlsym(RTLD_DEFAULT, symbol.c_str());
  }
  if (lookup == "next") {
    return dlsym(RTLD_NEXT, symbol.c_str());
  }
  if (lookup == "dlvsym") {
    // The driver's symbols have no versions; a versioned look-up then takes any.
    void* const found = dlvsym(library, symbol.c_str(), "ANY");
    return found != nullptr ? found : dlsym(library, symbol.c_str());
  }
  void* found = nullptr;
  int status = 0;
  const bool per_thread = symbol.ends_with("_ptsz");
  if (lookup == "procaddress") {
    auto get = reinterpret_cast<CUresult (*)(const char*, void**, int, uint64_t, int*)>(
        dlsym(library, "cuGetProcAddress_v2"));
    get(base.c_str(), &found, version, per_thread ? 2U : 0U, &status);
  } else {  // procaddress1: the older form, itself fetched through itself.
    auto get = reinterpret_cast<CUresult (*)(const char*, void**, int, uint64_t)>(
        dlsym(library, "cuGetProcAddress"));
    get(base.c_str(), &found, version, per_thread ? 2U : 0U);
  }
  return found;
}

// Calls by symbol; 500 (not found) when the driver has none.
template <typename... A>
CUresult Ask(const char* symbol, A... arguments) {
  std::string base = symbol;
  int version = 13000;
  if (base.ends_with("_ptsz")) {
    base.resize(base.size() - 5);
  }
  if (base.size() > 3 && base[base.size() - 3] == '_' && base[base.size() - 2] == 'v') {
    base.resize(base.size() - 3);
  } else if (base == "cuMemAlloc" || base == "cuMemAllocPitch" || base == "cuArrayCreate" ||
             base == "cuArray3DCreate" || base == "cuMemFree" || base == "cuCtxCreate") {
    version = 3010;  // The historic form.
  }
  void* const found = Find(symbol, base, version);
  return found == nullptr ? 500 : reinterpret_cast<CUresult (*)(A...)>(found)(arguments...);
}

using Size = size_t;
constexpr Size kMib = Size{1} << 20;

CUcontext Start() {
  CUcontext context = nullptr;
  if (const CUresult result = Ask("cuInit", 0U); result != kSuccess) {
    printf("%d\n", result);
    exit(2);
  }
  // A context of the process's own: the last argument of the newest form is the device.
  CUdevice device = 0;
  Ask("cuDeviceGet", &device, 0);
  if (const CUresult result = Ask("cuDevicePrimaryCtxRetain", &context, device);
      result != kSuccess) {
    printf("%d\n", result);
    exit(2);
  }
  Ask("cuCtxSetCurrent", context);
  return context;
}

struct Route {
  const char* name;
  CUresult (*allocate)(Size bytes);
  CUresult (*release)();
};

// What a route's last allocation gave; kept aside while another route is at work.
struct Held {
  CUdeviceptr block = 0;
  unsigned block_v1 = 0;
  Size pitch = 0;
  unsigned pitch_v1 = 0;
  CUarray array = nullptr;
  CUmipmappedArray mipmapped = nullptr;
  CUmemHandle handle = 0;
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
};
Held held;
CUmemoryPool pool = nullptr;

// Rows of 1 KiB of 4-byte elements for two-dimensional things.
constexpr Size kRow = 1024;

PoolProperties DevicePool() {
  PoolProperties properties = {};
  properties.alloc_type = 1;
  properties.location = {kLocationDevice, 0};
  return properties;
}

CUresult MakePool() {
  const PoolProperties properties = DevicePool();
  return pool != nullptr ? kSuccess : Ask("cuMemPoolCreate", &pool, &properties);
}

CUresult FreeAsync() {
  const CUresult result = Ask("cuMemFreeAsync", held.block, CUstream{});
  Ask("cuStreamSynchronize", CUstream{});
  return result;
}

// A graph with one allocation (and its free), instantiated and launched.
CUresult RunGraph(CUresult added, CUresult (*instantiate)()) {
  CUresult result = added;
  if (result == kSuccess) {
    result = instantiate();
  }
  if (result == kSuccess) {
    result = Ask("cuGraphLaunch", held.exec, CUstream{});
  }
  if (result == kSuccess) {
    result = Ask("cuStreamSynchronize", CUstream{});
  }
  return result;
}

CUresult AddAllocation(Size bytes, bool generic) {
  CUresult result = Ask("cuGraphCreate", &held.graph, 0U);
  CUgraphNode node = nullptr;
  CUgraphNode free_node = nullptr;
  if (result != kSuccess) {
    return result;
  }
  GraphNodeParams params[2] = {};  // The union is larger than what is declared of it.
  params[0].type = kNodeTypeMemAlloc;
  params[0].alloc.pool = DevicePool();
  params[0].alloc.bytes = bytes;
  const CUgraphNode* const none = nullptr;
  result = generic
               ? Ask("cuGraphAddNode_v2",
                     &node,
                     held.graph,
                     none,
                     static_cast<const void*>(nullptr),
                     Size{0},
                     &params[0])
               : Ask("cuGraphAddMemAllocNode", &node, held.graph, none, Size{0}, &params[0].alloc);
  if (result == kSuccess) {
    const CUgraphNode* const after = &node;
    result = Ask(
        "cuGraphAddMemFreeNode", &free_node, held.graph, after, Size{1}, params[0].alloc.pointer);
  }
  return result;
}

CUresult InstantiateFlags() {
  return Ask("cuGraphInstantiateWithFlags", &held.exec, held.graph, uint64_t{0});
}

CUresult InstantiateV2() {
  CUgraphNode* const node = nullptr;
  char* const log = nullptr;
  return Ask("cuGraphInstantiate_v2", &held.exec, held.graph, node, log, Size{0});
}

CUresult DropGraph() {
  Ask("cuGraphExecDestroy", held.exec);
  Ask("cuGraphDestroy", held.graph);
  return Ask("cuDeviceGraphMemTrim", 0);
}

CUresult CreateHandle(Size bytes) {
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, 0};
  const AllocationProperties* const pointer = &properties;
  return Ask("cuMemCreate", &held.handle, bytes, pointer, uint64_t{0});
}

const Route kRoutes[] = {
    {"cuMemAlloc",
     [](Size bytes) { return Ask("cuMemAlloc", &held.block_v1, static_cast<unsigned>(bytes)); },
     [] { return Ask("cuMemFree", held.block_v1); }},
    {"cuMemAlloc_v2",
     [](Size bytes) { return Ask("cuMemAlloc_v2", &held.block, bytes); },
     [] { return Ask("cuMemFree_v2", held.block); }},
    {"cuMemAllocPitch",
     [](Size bytes) {
       return Ask("cuMemAllocPitch",
                  &held.block_v1,
                  &held.pitch_v1,
                  static_cast<unsigned>(kRow),
                  static_cast<unsigned>(bytes / kRow),
                  4U);
     },
     [] { return Ask("cuMemFree", held.block_v1); }},
    {"cuMemAllocPitch_v2",
     [](Size bytes) {
       return Ask("cuMemAllocPitch_v2", &held.block, &held.pitch, kRow, bytes / kRow, 4U);
     },
     [] { return Ask("cuMemFree_v2", held.block); }},
    {"cuMemAllocManaged",
     [](Size bytes) { return Ask("cuMemAllocManaged", &held.block, bytes, 1U); },
     [] { return Ask("cuMemFree_v2", held.block); }},
    {"cuMemAllocAsync",
     [](Size bytes) { return Ask("cuMemAllocAsync", &held.block, bytes, CUstream{}); },
     FreeAsync},
    {"cuMemAllocAsync_ptsz",
     [](Size bytes) { return Ask("cuMemAllocAsync_ptsz", &held.block, bytes, CUstream{}); },
     FreeAsync},
    {"cuMemAllocFromPoolAsync",
     [](Size bytes) {
       const CUresult made = MakePool();
       return made != kSuccess
                  ? made
                  : Ask("cuMemAllocFromPoolAsync", &held.block, bytes, pool, CUstream{});
     },
     FreeAsync},
    {"cuMemAllocFromPoolAsync_ptsz",
     [](Size bytes) {
       const CUresult made = MakePool();
       return made != kSuccess
                  ? made
                  : Ask("cuMemAllocFromPoolAsync_ptsz", &held.block, bytes, pool, CUstream{});
     },
     FreeAsync},
    {"cuMemCreate", CreateHandle, [] { return Ask("cuMemRelease", held.handle); }},
    {"cuArrayCreate",
     [](Size bytes) {
       ArrayDescriptorV1 shape = {kRow, static_cast<unsigned>(bytes / kRow / 16), 0x20, 4};
       const ArrayDescriptorV1* const pointer = &shape;
       return Ask("cuArrayCreate", &held.array, pointer);
     },
     [] { return Ask("cuArrayDestroy", held.array); }},
    {"cuArrayCreate_v2",
     [](Size bytes) {
       ArrayDescriptor shape = {kRow, bytes / kRow / 16, 0x20, 4};
       const ArrayDescriptor* const pointer = &shape;
       return Ask("cuArrayCreate_v2", &held.array, pointer);
     },
     [] { return Ask("cuArrayDestroy", held.array); }},
    {"cuArray3DCreate",
     [](Size bytes) {
       ArrayDescriptor3DV1 shape = {
           kRow, 64, static_cast<unsigned>(bytes / kRow / 64 / 16), 0x20, 4, 0};
       const ArrayDescriptor3DV1* const pointer = &shape;
       return Ask("cuArray3DCreate", &held.array, pointer);
     },
     [] { return Ask("cuArrayDestroy", held.array); }},
    {"cuArray3DCreate_v2",
     [](Size bytes) {
       ArrayDescriptor3D shape = {kRow, 64, bytes / kRow / 64 / 16, 0x20, 4, 0};
       const ArrayDescriptor3D* const pointer = &shape;
       return Ask("cuArray3DCreate_v2", &held.array, pointer);
     },
     [] { return Ask("cuArrayDestroy", held.array); }},
    {"cuMipmappedArrayCreate",
     [](Size bytes) {
       ArrayDescriptor3D shape = {kRow, 64, bytes / kRow / 64 / 16, 0x20, 4, 0};
       const ArrayDescriptor3D* const pointer = &shape;
       return Ask("cuMipmappedArrayCreate", &held.mipmapped, pointer, 1U);
     },
     [] { return Ask("cuMipmappedArrayDestroy", held.mipmapped); }},
    {"cuGraphAddMemAllocNode",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, false), InstantiateFlags); },
     DropGraph},
    {"cuGraphAddNode_v2",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, true), InstantiateFlags); },
     DropGraph},
    {"cuGraphInstantiate_v2",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, false), InstantiateV2); },
     DropGraph},
};

const Route& RouteOf(const char* name) {
  for (const Route& route : kRoutes) {
    if (strcmp(route.name, name) == 0) {
      return route;
    }
  }
  printf("no route %s\n", name);
  exit(4);
}

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
    const Route& route = kRoutes[dice / 5 % (sizeof(kRoutes) / sizeof(kRoutes[0]))];
    held = Held{};
    const CUresult result = route.allocate((static_cast<Size>(rand()) % 60 + 1) * 2 * kMib);
    if (result == kSuccess) {
      live.push_back({&route, held});
    } else if (result != kOutOfMemory) {
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
  for (const Route& route : kRoutes) {
    printf("%s\n", route.name);
  }
  return 0;
}
