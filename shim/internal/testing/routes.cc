// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/testing/routes.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

namespace sluice::shim {

std::string lookup = "dlsym";
Held held;
CUdevice card = 0;
bool keep_graph_memory = false;

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

namespace {

CUmemoryPool pools[2] = {};  // By card.

// Rows of 1 KiB of 4-byte elements for two-dimensional things.
constexpr Size kRow = 1024;

PoolProperties DevicePool() {
  PoolProperties properties = {};
  properties.alloc_type = 1;
  properties.location = {kLocationDevice, card};
  return properties;
}

CUresult MakePool() {
  const PoolProperties properties = DevicePool();
  CUmemoryPool& pool = pools[card];
  return pool != nullptr ? kSuccess : Ask("cuMemPoolCreate", &pool, &properties);
}

CUresult FreeAsync() {
  const CUresult result = Ask("cuMemFreeAsync", held.block, CUstream{});
  Ask("cuStreamSynchronize", CUstream{});
  return result;
}

// How an allocation comes into a graph.
enum class How { kMemNode, kNode, kNodeV2, kNodeV3, kChild, kClone, kCapture };

CUresult AddNode(How how, CUgraph graph, Size bytes, CUdeviceptr& pointer, CUgraphNode& node) {
  GraphNodeParams params[2] = {};  // The union is larger than what is declared of it.
  params[0].type = kNodeTypeMemAlloc;
  params[0].alloc.pool = DevicePool();
  params[0].alloc.bytes = bytes;
  const CUgraphNode* const none = nullptr;
  const void* const no_edges = nullptr;
  CUresult result = kSuccess;
  if (how == How::kNode) {
    result = Ask("cuGraphAddNode", &node, graph, none, Size{0}, &params[0]);
  } else if (how == How::kNodeV2) {
    result = Ask("cuGraphAddNode_v2", &node, graph, none, no_edges, Size{0}, &params[0]);
  } else if (how == How::kNodeV3) {
    result = Ask("cuGraphAddNode_v3", &node, graph, none, no_edges, Size{0}, &params[0]);
  } else {
    result = Ask("cuGraphAddMemAllocNode", &node, graph, none, Size{0}, &params[0].alloc);
  }
  pointer = params[0].alloc.pointer;
  return result;
}

CUresult Capture(Size bytes) {
  CUstream stream = nullptr;
  CUresult result = Ask("cuStreamCreate", &stream, 1U);
  if (result == kSuccess) {
    result = Ask("cuStreamBeginCapture_v2", stream, 2);
  }
  if (result != kSuccess) {
    return result;
  }
  result = Ask("cuMemAllocAsync", &held.block, bytes, stream);
  if (result == kSuccess && !keep_graph_memory) {
    result = Ask("cuMemFreeAsync", held.block, stream);
  }
  const CUresult ended = Ask("cuStreamEndCapture", stream, &held.graph);
  Ask("cuStreamDestroy_v2", stream);
  return result == kSuccess ? ended : result;
}

// A graph with one allocation and, unless it is to be kept, its free.
CUresult AddAllocation(Size bytes, How how) {
  if (how == How::kCapture) {
    return Capture(bytes);
  }
  CUgraph graph = nullptr;
  CUgraphNode node = nullptr;
  CUgraphNode other = nullptr;
  CUdeviceptr pointer = 0;
  CUresult result = Ask("cuGraphCreate", &graph, 0U);
  if (result == kSuccess) {
    result = AddNode(how, graph, bytes, pointer, node);
  }
  if (result == kSuccess && !keep_graph_memory) {
    const CUgraphNode* const after = &node;
    result = Ask("cuGraphAddMemFreeNode", &other, graph, after, Size{1}, pointer);
  }
  held.graph = graph;
  held.block = pointer;
  if (result != kSuccess || (how != How::kChild && how != How::kClone)) {
    return result;
  }
  if (how == How::kClone) {
    return Ask("cuGraphClone", &held.graph, graph);
  }
  const CUgraphNode* const none = nullptr;
  result = Ask("cuGraphCreate", &held.graph, 0U);
  return result != kSuccess
             ? result
             : Ask("cuGraphAddChildGraphNode", &other, held.graph, none, Size{0}, graph);
}

// Instantiates what was added, and runs it.
CUresult RunGraph(CUresult added, CUresult (*instantiate)(), const char* run = "cuGraphLaunch") {
  CUresult result = added;
  if (result == kSuccess) {
    result = instantiate();
  }
  if (result == kSuccess) {
    result = Ask(run, held.exec, CUstream{});
  }
  if (result == kSuccess) {
    result = Ask("cuStreamSynchronize", CUstream{});
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

CUresult InstantiateV1() {
  CUgraphNode* const node = nullptr;
  char* const log = nullptr;
  return Ask("cuGraphInstantiate", &held.exec, held.graph, node, log, Size{0});
}

CUresult InstantiateParams(const char* symbol) {
  uint64_t params[4] = {};
  return Ask(symbol, &held.exec, held.graph, static_cast<void*>(params));
}

CUresult DropGraph() {
  Ask("cuGraphExecDestroy", held.exec);
  Ask("cuGraphDestroy", held.graph);
  return Ask("cuDeviceGraphMemTrim", card);
}

CUresult CreateHandle(Size bytes) {
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, card};
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
                  : Ask("cuMemAllocFromPoolAsync", &held.block, bytes, pools[card], CUstream{});
     },
     FreeAsync},
    {"cuMemAllocFromPoolAsync_ptsz",
     [](Size bytes) {
       const CUresult made = MakePool();
       return made != kSuccess ? made
                               : Ask("cuMemAllocFromPoolAsync_ptsz",
                                     &held.block,
                                     bytes,
                                     pools[card],
                                     CUstream{});
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
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateFlags); },
     DropGraph},
    {"cuGraphAddNode",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kNode), InstantiateFlags); },
     DropGraph},
    {"cuGraphAddNode_v2",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kNodeV2), InstantiateFlags); },
     DropGraph},
    {"cuGraphAddNode_v3",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kNodeV3), InstantiateFlags); },
     DropGraph},
    {"cuGraphInstantiate",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateV1); },
     DropGraph},
    {"cuGraphInstantiateWithFlags",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateFlags); },
     DropGraph},
    {"cuGraphInstantiate_v2",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateV2); },
     DropGraph},
    {"cuGraphInstantiateWithParams",
     [](Size bytes) {
       return RunGraph(AddAllocation(bytes, How::kMemNode),
                       [] { return InstantiateParams("cuGraphInstantiateWithParams"); });
     },
     DropGraph},
    {"cuGraphInstantiateWithParams_ptsz",
     [](Size bytes) {
       return RunGraph(AddAllocation(bytes, How::kMemNode),
                       [] { return InstantiateParams("cuGraphInstantiateWithParams_ptsz"); });
     },
     DropGraph},
    {"cuGraphUpload",
     [](Size bytes) {
       return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateFlags, "cuGraphUpload");
     },
     DropGraph},
    {"cuGraphUpload_ptsz",
     [](Size bytes) {
       return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateFlags, "cuGraphUpload_ptsz");
     },
     DropGraph},
    {"cuGraphLaunch_ptsz",
     [](Size bytes) {
       return RunGraph(AddAllocation(bytes, How::kMemNode), InstantiateFlags, "cuGraphLaunch_ptsz");
     },
     DropGraph},
    {"child-graph",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kChild), InstantiateFlags); },
     DropGraph},
    {"graph-clone",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kClone), InstantiateFlags); },
     DropGraph},
    {"captured",
     [](Size bytes) { return RunGraph(AddAllocation(bytes, How::kCapture), InstantiateFlags); },
     DropGraph},
};

}  // namespace

RouteList Routes() {
  return {kRoutes, sizeof(kRoutes) / sizeof(kRoutes[0])};
}

const Route& RouteOf(const char* name) {
  for (const Route& route : kRoutes) {
    if (strcmp(route.name, name) == 0) {
      return route;
    }
  }
  printf("no route %s\n", name);
  exit(4);
}

}  // namespace sluice::shim
