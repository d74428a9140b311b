// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/copy.h"
#include "simgpu/internal/cuda/graph.h"
#include "simgpu/internal/cuda/module.h"

// What nodes do, looked at and changed: in a graph, and in one that was made ready.
namespace sluice::simgpu {
namespace {

// The operation that a node of a type gets from parameters; one overload a type.
CUresult Make(const CUDA_KERNEL_NODE_PARAMS& params, Operation& operation) {
  return LaunchOperation(params.func, ShapeOf(params), params.kernelParams, operation);
}
CUresult Make(const CUDA_MEMCPY3D& params, Operation& operation) {
  BoxCopy copy;
  CUresult resolved = Resolve(params, copy);
  if (resolved == CUDA_SUCCESS) operation = CopyOperation(copy);
  return resolved;
}
CUresult Make(const CUDA_MEMSET_NODE_PARAMS& params, Operation& operation) {
  return MemsetOperation(params, operation);
}
CUresult Make(const CUDA_HOST_NODE_PARAMS& params, Operation& operation) {
  if (params.fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
  operation.calls_host = true;
  operation.run = [params] {
    params.fn(params.userData);
    return CUDA_SUCCESS;
  };
  return CUDA_SUCCESS;
}

// Needs the mutex; null: not a node of that type.
GraphNode* NodeOf(CUgraphNode handle, int type) {
  bool fits = IsNode(handle) && ToNode(handle)->type == type;
  return fits ? ToNode(handle) : nullptr;
}

// The twin of a graph's node in an executable; needs the mutex.
GraphNode* TwinOf(CUgraphExec exec_handle, CUgraphNode handle, int type) {
  GraphExec* exec = ToExec(exec_handle);
  const GraphNode* node = NodeOf(handle, type);
  if (exec == nullptr || node == nullptr) return nullptr;
  auto twin = std::find_if(exec->nodes.begin(), exec->nodes.end(), [&](const GraphNode& each) {
    return each.origin == node;
  });
  return twin == exec->nodes.end() ? nullptr : &*twin;
}

template <typename Params>
CUresult Get(CUgraphNode handle, int type, Params* out) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const GraphNode* node = NodeOf(handle, type);
  if (out == nullptr || node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = {};
  const auto& kept = node->operation.params;
  if (kept != nullptr) std::memcpy(out, kept->data(), std::min(kept->size(), sizeof(*out)));
  return CUDA_SUCCESS;
}

// `find` gives the node to change, under the mutex.
template <typename Params, typename Find>
CUresult Set(const Params* params, Find&& find) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Operation operation;
  CUresult made = Make(*params, operation);
  if (made != CUDA_SUCCESS) return made;
  operation.params = Keep(*params);
  std::lock_guard lock(CurrentProcess()->mutex);
  GraphNode* node = find();
  if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  node->operation = std::move(operation);
  return CUDA_SUCCESS;
}

template <typename Find>
CUresult SetEvent(CUevent event, Find&& find) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (ResolveEvent(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(CurrentProcess()->mutex);
  GraphNode* node = find();
  if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  node->event = event;
  return CUDA_SUCCESS;
}

CUresult GetEvent(CUgraphNode handle, int type, CUevent* out) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const GraphNode* node = NodeOf(handle, type);
  if (out == nullptr || node == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = node->event;
  return CUDA_SUCCESS;
}

}  // namespace

// One row a type of node: the getter, the setter of the graph and that of an executable.
#define NODE_CALLS(name, type, Params)                                                   \
  SLUICE_SIM_CALL cuGraph##name##NodeGetParams(CUgraphNode node, Params* out) {          \
    return Get(node, type, out);                                                         \
  }                                                                                      \
  SLUICE_SIM_CALL cuGraph##name##NodeSetParams(CUgraphNode node, const Params* params) { \
    return Set(params, [&] { return NodeOf(node, type); });                              \
  }
NODE_CALLS(Memcpy, kNodeMemcpy, CUDA_MEMCPY3D)
NODE_CALLS(Memset, kNodeMemset, CUDA_MEMSET_NODE_PARAMS)
NODE_CALLS(Host, kNodeHost, CUDA_HOST_NODE_PARAMS)
#undef NODE_CALLS

#define EVENT_CALLS(name, type)                                                  \
  SLUICE_SIM_CALL cuGraph##name##NodeGetEvent(CUgraphNode node, CUevent* out) {  \
    return GetEvent(node, type, out);                                            \
  }                                                                              \
  SLUICE_SIM_CALL cuGraph##name##NodeSetEvent(CUgraphNode node, CUevent event) { \
    return SetEvent(event, [&] { return NodeOf(node, type); });                  \
  }                                                                              \
  SLUICE_SIM_CALL cuGraphExec##name##NodeSetEvent(                               \
      CUgraphExec exec, CUgraphNode node, CUevent event) {                       \
    return SetEvent(event, [&] { return TwinOf(exec, node, type); });            \
  }
EVENT_CALLS(EventRecord, kNodeEventRecord)
EVENT_CALLS(EventWait, kNodeWaitEvent)
#undef EVENT_CALLS

SLUICE_SIM_CALL cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* out) {
  return Get(node, kNodeKernel, out);
}
SLUICE_SIM_CALL
cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* params) {
  return Set(params, [&] { return NodeOf(node, kNodeKernel); });
}
SLUICE_SIM_CALL cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec,
                                                  CUgraphNode node,
                                                  const CUDA_KERNEL_NODE_PARAMS* params) {
  return Set(params, [&] { return TwinOf(exec, node, kNodeKernel); });
}

// The first form of the parameters is the beginning of the newer one.
constexpr size_t kFirstBytes = offsetof(CUDA_KERNEL_NODE_PARAMS, kern);

SLUICE_SIM_CALL cuGraphKernelNodeGetParams(CUgraphNode node, void* out) {
  CUDA_KERNEL_NODE_PARAMS full{};
  CUresult got = Get(node, kNodeKernel, out == nullptr ? nullptr : &full);
  if (got == CUDA_SUCCESS) std::memcpy(out, &full, kFirstBytes);
  return got;
}
SLUICE_SIM_CALL cuGraphKernelNodeSetParams(CUgraphNode node, const void* params) {
  CUDA_KERNEL_NODE_PARAMS full{};
  if (params != nullptr) std::memcpy(&full, params, kFirstBytes);
  return cuGraphKernelNodeSetParams_v2(node, params == nullptr ? nullptr : &full);
}
SLUICE_SIM_CALL
cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node, const void* params) {
  CUDA_KERNEL_NODE_PARAMS full{};
  if (params != nullptr) std::memcpy(&full, params, kFirstBytes);
  return cuGraphExecKernelNodeSetParams_v2(exec, node, params == nullptr ? nullptr : &full);
}

SLUICE_SIM_CALL cuGraphExecMemcpyNodeSetParams(CUgraphExec exec,
                                               CUgraphNode node,
                                               const CUDA_MEMCPY3D* params,
                                               CUcontext) {
  return Set(params, [&] { return TwinOf(exec, node, kNodeMemcpy); });
}
SLUICE_SIM_CALL cuGraphExecMemsetNodeSetParams(CUgraphExec exec,
                                               CUgraphNode node,
                                               const CUDA_MEMSET_NODE_PARAMS* params,
                                               CUcontext) {
  return Set(params, [&] { return TwinOf(exec, node, kNodeMemset); });
}
SLUICE_SIM_CALL cuGraphExecHostNodeSetParams(CUgraphExec exec,
                                             CUgraphNode node,
                                             const CUDA_HOST_NODE_PARAMS* params) {
  return Set(params, [&] { return TwinOf(exec, node, kNodeHost); });
}

SLUICE_SIM_CALL
cuGraphExecChildGraphNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle, CUgraph child) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  GraphExec* exec = ToExec(exec_handle);
  const GraphNode* node = NodeOf(handle, kNodeGraph);
  const Graph* fresh = ToGraph(child);
  if (exec == nullptr || node == nullptr || fresh == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<GraphNode> old_nodes;
  std::vector<GraphNode> new_nodes;
  bool sound = Flatten(*node->child, old_nodes) && Flatten(*fresh, new_nodes);
  if (!sound || old_nodes.size() != new_nodes.size()) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < old_nodes.size(); ++i) {
    if (old_nodes[i].type != new_nodes[i].type) return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < old_nodes.size(); ++i) {
    for (GraphNode& twin : exec->nodes) {
      if (twin.origin == old_nodes[i].origin) twin.operation = new_nodes[i].operation;
    }
  }
  return CUDA_SUCCESS;
}

// One call for all types, told apart by a field.
template <typename Find>
CUresult SetByType(const CUgraphNodeParams& params, Find&& find) {
  switch (params.type) {
    case kNodeKernel:
      return Set(&params.kernel, find);
    case kNodeMemcpy:
      return Set(&params.memcpy.copyParams, find);
    case kNodeMemset:
      return Set(&params.memset, find);
    case kNodeHost:
      return Set(&params.host, find);
    case kNodeEventRecord:
    case kNodeWaitEvent:
      return SetEvent(params.event, find);
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

SLUICE_SIM_CALL cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams* params) {
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return SetByType(*params, [&] { return NodeOf(node, params->type); });
}
SLUICE_SIM_CALL
cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* params) {
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return SetByType(*params, [&] { return TwinOf(exec, node, params->type); });
}

SLUICE_SIM_CALL cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned enabled) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!IsNode(node)) return CUDA_ERROR_INVALID_VALUE;
  GraphNode* twin = TwinOf(exec, node, ToNode(node)->type);
  bool may = twin != nullptr &&
             (twin->type == kNodeKernel || twin->type == kNodeMemset || twin->type == kNodeMemcpy);
  if (!may) return CUDA_ERROR_INVALID_VALUE;
  twin->enabled = enabled != 0;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned* enabled) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const GraphNode* twin = IsNode(node) ? TwinOf(exec, node, ToNode(node)->type) : nullptr;
  if (twin == nullptr || enabled == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *enabled = twin->enabled ? 1 : 0;
  return CUDA_SUCCESS;
}

namespace {

UserObject* ToObject(void* handle) {
  auto* object = static_cast<UserObject*>(handle);
  return CurrentProcess()->user_objects.contains(object) ? object : nullptr;
}

}  // namespace

void Release(UserObject* object, uint64_t count) {
  object->holders -= std::min(count, object->holders);
  if (object->holders > 0) return;
  CurrentProcess()->user_objects.erase(object);
  // On the engine's thread and not here: the program's function may call anything.
  CurrentProcess()->engine.CallLater(
      [destroy = object->destroy, pointer = object->pointer] { destroy(pointer); });
  delete object;
}

SLUICE_SIM_CALL
cuUserObjectCreate(void** out, void* pointer, CUhostFn destroy, unsigned count, unsigned flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kNoSync = 1;
  bool sound = out != nullptr && destroy != nullptr && count > 0 && flags == kNoSync;
  if (!sound) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* object = new UserObject{pointer, destroy, count};
  CurrentProcess()->user_objects.insert(object);
  *out = object;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuUserObjectRetain(void* handle, unsigned count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  UserObject* object = ToObject(handle);
  if (object == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  object->holders += count;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuUserObjectRelease(void* handle, unsigned count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  UserObject* object = ToObject(handle);
  if (object == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  Release(object, count);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuGraphRetainUserObject(CUgraph handle, void* object_handle, unsigned count, unsigned flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kMove = 1;
  std::lock_guard lock(CurrentProcess()->mutex);
  Graph* graph = ToGraph(handle);
  UserObject* object = ToObject(object_handle);
  if (graph == nullptr || object == nullptr || count == 0 || flags > kMove) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (flags != kMove) object->holders += count;
  graph->objects[object] += count;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphReleaseUserObject(CUgraph handle, void* object_handle, unsigned count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Graph* graph = ToGraph(handle);
  UserObject* object = ToObject(object_handle);
  if (graph == nullptr || object == nullptr || count == 0 || graph->objects[object] < count) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  graph->objects[object] -= count;
  if (graph->objects[object] == 0) graph->objects.erase(object);
  Release(object, count);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
