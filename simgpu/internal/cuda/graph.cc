// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/graph.h"

#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/copy.h"
#include "simgpu/internal/cuda/module.h"

// Building graphs node by node, and looking at them.
namespace sluice::simgpu {
namespace {

// What a new node is to follow, checked; needs the mutex.
CUresult Place(CUgraph handle,
               const CUgraphNode* after,
               size_t count,
               Graph*& graph,
               std::vector<GraphNode*>& nodes) {
  graph = ToGraph(handle);
  if (graph == nullptr || (count > 0 && after == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; ++i) {
    if (!IsNode(after[i]) || ToNode(after[i])->graph != graph) return CUDA_ERROR_INVALID_VALUE;
    nodes.push_back(ToNode(after[i]));
  }
  return CUDA_SUCCESS;
}

struct Where {
  CUgraphNode* out;
  CUgraph graph;
  const CUgraphNode* after;
  size_t count;
};

CUresult Add(const Where& where, int type, Operation operation, CUdeviceptr address, Graph* child) {
  if (where.out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Graph* graph = nullptr;
  std::vector<GraphNode*> after;
  CUresult placed = Place(where.graph, where.after, where.count, graph, after);
  if (placed != CUDA_SUCCESS) return placed;
  GraphNode& node = AddNode(*graph, type, after);
  node.operation = std::move(operation);
  node.address = address;
  node.child = child;
  if (address != 0) HoldGraphMemory(address);
  *where.out = ToHandle(&node);
  return CUDA_SUCCESS;
}

CUresult AddKernel(const Where& where, const CUDA_KERNEL_NODE_PARAMS& params) {
  Operation operation;
  CUresult made = LaunchOperation(params.func, ShapeOf(params), params.kernelParams, operation);
  if (made != CUDA_SUCCESS) return made;
  operation.params = Keep(params);
  std::lock_guard lock(CurrentProcess()->mutex);
  return Add(where, kNodeKernel, std::move(operation), 0, nullptr);
}

CUresult AddHost(const Where& where, const CUDA_HOST_NODE_PARAMS& params) {
  if (params.fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Operation operation;
  operation.calls_host = true;
  operation.params = Keep(params);
  operation.run = [params] {
    params.fn(params.userData);
    return CUDA_SUCCESS;
  };
  std::lock_guard lock(CurrentProcess()->mutex);
  return Add(where, kNodeHost, std::move(operation), 0, nullptr);
}

CUresult AddMemset(const Where& where, const CUDA_MEMSET_NODE_PARAMS& params) {
  Operation operation;
  CUresult made = MemsetOperation(params, operation);
  if (made != CUDA_SUCCESS) return made;
  std::lock_guard lock(CurrentProcess()->mutex);
  return Add(where, kNodeMemset, std::move(operation), 0, nullptr);
}

CUresult AddAlloc(const Where& where, CUDA_MEM_ALLOC_NODE_PARAMS& params) {
  const CUmemPoolProps& props = params.poolProps;
  bool device = props.location.type == CU_MEM_LOCATION_TYPE_DEVICE && IsDevice(props.location.id);
  if (!device || props.handleTypes != 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (ToGraph(where.graph) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUdeviceptr address = 0;
  CUresult made = NewGraphMemory(props.location.id, params.bytesize, *CurrentContext(), &address);
  if (made != CUDA_SUCCESS) return made;
  HoldGraphMemory(address);
  CUresult added = Add(where, kNodeMemAlloc, {}, address, nullptr);
  LetGoGraphMemory(address);  // The node's own hold, if there is a node, keeps it.
  if (added == CUDA_SUCCESS) params.dptr = address;
  return added;
}

CUresult AddFree(const Where& where, CUdeviceptr address) {
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!CurrentProcess()->graph_memory.contains(address)) return CUDA_ERROR_INVALID_VALUE;
  return Add(where, kNodeMemFree, {}, address, nullptr);
}

CUresult AddEvent(const Where& where, int type, CUevent event) {
  if (ResolveEvent(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(CurrentProcess()->mutex);
  CUresult added = Add(where, type, {}, 0, nullptr);
  if (added == CUDA_SUCCESS) ToNode(*where.out)->event = event;
  return added;
}

CUresult AddCopy(const Where& where, const CUDA_MEMCPY3D& params) {
  BoxCopy copy;
  CUresult resolved = Resolve(params, copy);
  if (resolved != CUDA_SUCCESS) return resolved;
  Operation operation = CopyOperation(copy);
  operation.params = Keep(params);
  std::lock_guard lock(CurrentProcess()->mutex);
  return Add(where, kNodeMemcpy, std::move(operation), 0, nullptr);
}

CUresult AddChild(const Where& where, CUgraph handle) {
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* child = ToGraph(handle);
  if (child == nullptr || handle == where.graph) return CUDA_ERROR_INVALID_VALUE;
  return Add(where, kNodeGraph, {}, 0, &CloneGraph(*child, nullptr));
}

}  // namespace

bool IsNode(CUgraphNode handle) {
  return CurrentProcess()->graph_nodes.contains(ToNode(handle));
}

Graph* ToGraph(CUgraph handle) {
  auto* graph = reinterpret_cast<Graph*>(handle);
  return CurrentProcess()->graphs.contains(graph) ? graph : nullptr;
}

Graph& NewGraph() {
  auto* graph = new Graph;
  graph->id = ++CurrentProcess()->last_id;
  CurrentProcess()->graphs.insert(graph);
  return *graph;
}

GraphNode& AddNode(Graph& graph, int type, const std::vector<GraphNode*>& after) {
  graph.nodes.push_back(std::make_unique<GraphNode>());
  GraphNode& node = *graph.nodes.back();
  node.graph = &graph;
  node.type = type;
  node.after = after;
  CurrentProcess()->graph_nodes.insert(&node);
  return node;
}

void DestroyGraph(Graph* graph) {
  for (const auto& node : graph->nodes) {
    CurrentProcess()->graph_nodes.erase(node.get());
    if (node->address != 0) LetGoGraphMemory(node->address);
    if (node->child != nullptr) DestroyGraph(node->child);
  }
  for (const auto& [object, count] : graph->objects) Release(object, count);
  CurrentProcess()->graphs.erase(graph);
  delete graph;
}

Graph& CloneGraph(const Graph& graph, std::map<const GraphNode*, GraphNode*>* twins) {
  Graph& copy = NewGraph();
  std::map<const GraphNode*, GraphNode*> made;
  for (const auto& node : graph.nodes) {
    GraphNode& twin = AddNode(copy, node->type, {});
    twin.operation = node->operation;
    twin.address = node->address;
    twin.event = node->event;
    twin.origin = node.get();
    if (twin.address != 0) HoldGraphMemory(twin.address);
    if (node->child != nullptr) twin.child = &CloneGraph(*node->child, nullptr);
    made[node.get()] = &twin;
  }
  for (const auto& node : graph.nodes) {
    for (GraphNode* before : node->after) made[node.get()]->after.push_back(made[before]);
  }
  if (twins != nullptr) *twins = std::move(made);
  return copy;
}

SLUICE_SIM_CALL cuGraphCreate(CUgraph* out, unsigned flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  *out = reinterpret_cast<CUgraph>(&NewGraph());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphDestroy(CUgraph handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Graph* graph = ToGraph(handle);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  DestroyGraph(graph);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphClone(CUgraph* out, CUgraph handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* graph = ToGraph(handle);
  if (graph == nullptr || out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = reinterpret_cast<CUgraph>(&CloneGraph(*graph, nullptr));
  return CUDA_SUCCESS;
}

#define NODE_ARGUMENTS CUgraphNode *out, CUgraph graph, const CUgraphNode *after, size_t count
#define WHERE \
  { out, graph, after, count }

SLUICE_SIM_CALL cuGraphAddEmptyNode(NODE_ARGUMENTS) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return Add(WHERE, kNodeEmpty, {}, 0, nullptr);
}

SLUICE_SIM_CALL cuGraphAddKernelNode_v2(NODE_ARGUMENTS, const CUDA_KERNEL_NODE_PARAMS* params) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  return params == nullptr ? CUDA_ERROR_INVALID_VALUE : AddKernel(WHERE, *params);
}

// The first form of the parameters is the beginning of the newer one.
SLUICE_SIM_CALL cuGraphAddKernelNode(NODE_ARGUMENTS, const void* params) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUDA_KERNEL_NODE_PARAMS full{};
  std::memcpy(&full, params, offsetof(CUDA_KERNEL_NODE_PARAMS, kern));
  return AddKernel(WHERE, full);
}

SLUICE_SIM_CALL cuGraphAddHostNode(NODE_ARGUMENTS, const CUDA_HOST_NODE_PARAMS* params) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  return params == nullptr ? CUDA_ERROR_INVALID_VALUE : AddHost(WHERE, *params);
}

SLUICE_SIM_CALL
cuGraphAddMemsetNode(NODE_ARGUMENTS, const CUDA_MEMSET_NODE_PARAMS* params, CUcontext) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  return params == nullptr ? CUDA_ERROR_INVALID_VALUE : AddMemset(WHERE, *params);
}

SLUICE_SIM_CALL cuGraphAddMemcpyNode(NODE_ARGUMENTS, const CUDA_MEMCPY3D* params, CUcontext) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  return params == nullptr ? CUDA_ERROR_INVALID_VALUE : AddCopy(WHERE, *params);
}

SLUICE_SIM_CALL cuGraphAddEventRecordNode(NODE_ARGUMENTS, CUevent event) {
  CUresult ready = ReadyWithContext();
  return ready != CUDA_SUCCESS ? ready : AddEvent(WHERE, kNodeEventRecord, event);
}

SLUICE_SIM_CALL cuGraphAddEventWaitNode(NODE_ARGUMENTS, CUevent event) {
  CUresult ready = ReadyWithContext();
  return ready != CUDA_SUCCESS ? ready : AddEvent(WHERE, kNodeWaitEvent, event);
}

SLUICE_SIM_CALL cuGraphAddChildGraphNode(NODE_ARGUMENTS, CUgraph child) {
  CUresult ready = ReadyWithContext();
  return ready != CUDA_SUCCESS ? ready : AddChild(WHERE, child);
}

SLUICE_SIM_CALL cuGraphAddMemAllocNode(NODE_ARGUMENTS, CUDA_MEM_ALLOC_NODE_PARAMS* params) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  return params == nullptr ? CUDA_ERROR_INVALID_VALUE : AddAlloc(WHERE, *params);
}

SLUICE_SIM_CALL cuGraphAddMemFreeNode(NODE_ARGUMENTS, CUdeviceptr address) {
  CUresult ready = ReadyWithContext();
  return ready != CUDA_SUCCESS ? ready : AddFree(WHERE, address);
}

// One call for all kinds, told apart by a field.
SLUICE_SIM_CALL cuGraphAddNode(NODE_ARGUMENTS, CUgraphNodeParams* params) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  switch (params->type) {
    case kNodeEmpty:
      return cuGraphAddEmptyNode(out, graph, after, count);
    case kNodeKernel:
      return AddKernel(WHERE, params->kernel);
    case kNodeHost:
      return AddHost(WHERE, params->host);
    case kNodeMemset:
      return AddMemset(WHERE, params->memset);
    case kNodeMemcpy:
      return AddCopy(WHERE, params->memcpy.copyParams);
    case kNodeEventRecord:
    case kNodeWaitEvent:
      return AddEvent(WHERE, params->type, params->event);
    case kNodeGraph:
      return AddChild(WHERE, params->graph);
    case kNodeMemAlloc:
      return AddAlloc(WHERE, params->alloc);
    case kNodeMemFree:
      return AddFree(WHERE, params->free);
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

SLUICE_SIM_CALL cuGraphAddNode_v2(CUgraphNode* out,
                                  CUgraph graph,
                                  const CUgraphNode* after,
                                  const void* /*edge_data*/,
                                  size_t count,
                                  CUgraphNodeParams* params) {
  return cuGraphAddNode(out, graph, after, count, params);
}
#undef WHERE
#undef NODE_ARGUMENTS

SLUICE_SIM_CALL cuGraphMemAllocNodeGetParams(CUgraphNode handle, CUDA_MEM_ALLOC_NODE_PARAMS* out) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (out == nullptr || !IsNode(handle) || ToNode(handle)->type != kNodeMemAlloc) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUdeviceptr address = ToNode(handle)->address;
  const GraphMemory& memory = CurrentProcess()->graph_memory[address];
  *out = {};
  out->poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  out->poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, memory.device};
  out->bytesize = memory.bytes;
  out->dptr = address;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphMemFreeNodeGetParams(CUgraphNode handle, CUdeviceptr* out) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (out == nullptr || !IsNode(handle) || ToNode(handle)->type != kNodeMemFree) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = ToNode(handle)->address;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphDestroyNode(CUgraphNode handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!IsNode(handle)) return CUDA_ERROR_INVALID_VALUE;
  GraphNode* node = ToNode(handle);
  // Address lifetimes are checked when a graph is made; taking such a node out would break them.
  if (node->address != 0) return CUDA_ERROR_NOT_SUPPORTED;
  Graph& graph = *node->graph;
  for (const auto& other : graph.nodes) std::erase(other->after, node);
  CurrentProcess()->graph_nodes.erase(node);
  std::erase_if(graph.nodes, [&](const auto& entry) { return entry.get() == node; });
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
