// SPDX-License-Identifier: Apache-2.0
// A program that uses the driver API as programs do, for tests: it has no idea of shares. It looks
// the driver's functions up in one of several ways and prints the codes that it gets.
//
//   probe LOOKUP route NAME BYTES    one allocation by that route: the code, then "ok" or nothing
//   probe LOOKUP routes              the names of all routes
//   probe LOOKUP hold BYTES          allocates, prints the code, waits for the end of its input
//   probe LOOKUP fill BYTES          allocates blocks of BYTES until refused: code and count; waits
//   probe LOOKUP churn SEED          allocates and frees for ever, a line after each thousand
//   probe LOOKUP info                free, total, device total
//   probe LOOKUP cycle NAME BYTES    allocates and frees by that route 20 times; the last code
//   probe LOOKUP fork                holds 300 MiB and forks a child that outlives it; the code
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
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

CUdeviceptr block = 0;
unsigned block_v1 = 0;
Size pitch = 0;
unsigned pitch_v1 = 0;
CUarray array = nullptr;
CUmipmappedArray mipmapped = nullptr;
CUmemHandle handle = 0;
CUmemoryPool pool = nullptr;
CUgraph graph = nullptr;
CUgraphExec exec = nullptr;

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
  const CUresult result = Ask("cuMemFreeAsync", block, CUstream{});
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
    result = Ask("cuGraphLaunch", exec, CUstream{});
  }
  if (result == kSuccess) {
    result = Ask("cuStreamSynchronize", CUstream{});
  }
  return result;
}

CUresult AddAllocation(Size bytes, bool generic) {
  CUresult result = Ask("cuGraphCreate", &graph, 0U);
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
  result = generic ? Ask("cuGraphAddNode_v2",
                         &node,
                         graph,
                         none,
                         static_cast<const void*>(nullptr),
                         Size{0},
                         &params[0])
                   : Ask("cuGraphAddMemAllocNode", &node, graph, none, Size{0}, &params[0].alloc);
  if (result == kSuccess) {
    const CUgraphNode* const after = &node;
    result =
        Ask("cuGraphAddMemFreeNode", &free_node, graph, after, Size{1}, params[0].alloc.pointer);
  }
  return result;
}

CUresult InstantiateFlags() {
  return Ask("cuGraphInstantiateWithFlags", &exec, graph, uint64_t{0});
}

CUresult InstantiateV2() {
  CUgraphNode* const node = nullptr;
  char* const log = nullptr;
  return Ask("cuGraphInstantiate_v2", &exec, graph, node, log, Size{0});
}

CUresult DropGraph() {
  Ask("cuGraphExecDestroy", exec);
  Ask("cuGraphDestroy", graph);
  return Ask("cuDeviceGraphMemTrim", 0);
}

CUresult CreateHandle(Size bytes) {
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, 0};
  const AllocationProperties* const pointer = &properties;
  return Ask("cuMemCreate", &handle, bytes, pointer, uint64_t{0});
}

const Route kRoutes[] = {
    {"cuMemAlloc",
     [](Size bytes) { return Ask("cuMemAlloc", &block_v1, static_cast<unsigned>(bytes)); },
     [] { return Ask("cuMemFree", block_v1); }},
    {"cuMemAlloc_v2",
     [](Size bytes) { return Ask("cuMemAlloc_v2", &block, bytes); },
     [] { return Ask("cuMemFree_v2", block); }},
    {"cuMemAllocPitch",
     [](Size bytes) {
       return Ask("cuMemAllocPitch",
                  &block_v1,
                  &pitch_v1,
                  static_cast<unsigned>(kRow),
                  static_cast<unsigned>(bytes / kRow),
                  4U);
     },
     [] { return Ask("cuMemFree", block_v1); }},
    {"cuMemAllocPitch_v2",
     [](Size bytes) { return Ask("cuMemAllocPitch_v2", &block, &pitch, kRow, bytes / kRow, 4U); },
     [] { return Ask("cuMemFree_v2", block); }},
    {"cuMemAllocManaged",
     [](Size bytes) { return Ask("cuMemAllocManaged", &block, bytes, 1U); },
     [] { return Ask("cuMemFree_v2", block); }},
    {"cuMemAllocAsync",
     [](Size bytes) { return Ask("cuMemAllocAsync", &block, bytes, CUstream{}); },
     FreeAsync},
    {"cuMemAllocAsync_ptsz",
     [](Size bytes) { return Ask("cuMemAllocAsync_ptsz", &block, bytes, CUstream{}); },
     FreeAsync},
    {"cuMemAllocFromPoolAsync",
     [](Size bytes) {
       const CUresult made = MakePool();
       return made != kSuccess ? made
                               : Ask("cuMemAllocFromPoolAsync", &block, bytes, pool, CUstream{});
     },
     FreeAsync},
    {"cuMemAllocFromPoolAsync_ptsz",
     [](Size bytes) {
       const CUresult made = MakePool();
       return made != kSuccess
                  ? made
                  : Ask("cuMemAllocFromPoolAsync_ptsz", &block, bytes, pool, CUstream{});
     },
     FreeAsync},
    {"cuMemCreate", CreateHandle, [] { return Ask("cuMemRelease", handle); }},
    {"cuArrayCreate",
     [](Size bytes) {
       ArrayDescriptorV1 shape = {kRow, static_cast<unsigned>(bytes / kRow / 16), 0x20, 4};
       const ArrayDescriptorV1* const pointer = &shape;
       return Ask("cuArrayCreate", &array, pointer);
     },
     [] { return Ask("cuArrayDestroy", array); }},
    {"cuArrayCreate_v2",
     [](Size bytes) {
       ArrayDescriptor shape = {kRow, bytes / kRow / 16, 0x20, 4};
       const ArrayDescriptor* const pointer = &shape;
       return Ask("cuArrayCreate_v2", &array, pointer);
     },
     [] { return Ask("cuArrayDestroy", array); }},
    {"cuArray3DCreate",
     [](Size bytes) {
       ArrayDescriptor3DV1 shape = {
           kRow, 64, static_cast<unsigned>(bytes / kRow / 64 / 16), 0x20, 4, 0};
       const ArrayDescriptor3DV1* const pointer = &shape;
       return Ask("cuArray3DCreate", &array, pointer);
     },
     [] { return Ask("cuArrayDestroy", array); }},
    {"cuArray3DCreate_v2",
     [](Size bytes) {
       ArrayDescriptor3D shape = {kRow, 64, bytes / kRow / 64 / 16, 0x20, 4, 0};
       const ArrayDescriptor3D* const pointer = &shape;
       return Ask("cuArray3DCreate_v2", &array, pointer);
     },
     [] { return Ask("cuArrayDestroy", array); }},
    {"cuMipmappedArrayCreate",
     [](Size bytes) {
       ArrayDescriptor3D shape = {kRow, 64, bytes / kRow / 64 / 16, 0x20, 4, 0};
       const ArrayDescriptor3D* const pointer = &shape;
       return Ask("cuMipmappedArrayCreate", &mipmapped, pointer, 1U);
     },
     [] { return Ask("cuMipmappedArrayDestroy", mipmapped); }},
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

int DoHold(Size bytes) {
  Start();
  printf("%d\n", Ask("cuMemAlloc_v2", &block, bytes));
  fflush(stdout);
  AwaitEnd();
  return 0;
}

int DoFill(Size bytes) {
  Start();
  int count = 0;
  CUresult result = kSuccess;
  while ((result = Ask("cuMemAlloc_v2", &block, bytes)) == kSuccess) {
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
    } else if (Ask("cuMemAlloc_v2", &block, static_cast<Size>(rand()) % (200 * kMib) + 1) ==
               kSuccess) {
      blocks.push_back(block);
    }
    if (turn % 20 == 0) {
      printf("%d\n", turn);
      fflush(stdout);
    }
  }
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
  const CUresult result = Ask("cuMemAlloc_v2", &block, 300 * kMib);
  if (fork() == 0) {
    // The driver does not serve a forked child; whatever it answers must do no harm.
    Ask("cuMemFree_v2", block);
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
  if (verb == "hold") return DoHold(last);
  if (verb == "fill") return DoFill(last);
  if (verb == "churn") return DoChurn(static_cast<unsigned>(last));
  if (verb == "info") return DoInfo();
  if (verb == "fork") return DoFork();
  for (const Route& route : kRoutes) {
    printf("%s\n", route.name);
  }
  return 0;
}
