// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "simgpu/internal/cuda/graph.h"

// Making graphs ready and sending them on their way.
namespace sluice::simgpu {
namespace {

constexpr unsigned long long kAutoFree = 1;
constexpr unsigned long long kFlagsKnown = 15;

void Hold(const GraphExec& exec) {
  for (const GraphNode& node : exec.nodes) {
    if (node.address != 0) HoldGraphMemory(node.address);
  }
}

void LetGo(const GraphExec& exec) {
  for (const GraphNode& node : exec.nodes) {
    if (node.address != 0) LetGoGraphMemory(node.address);
  }
}

CUresult Instantiate(CUgraphExec* out, CUgraph handle, unsigned long long flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || (flags & ~kFlagsKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* graph = ToGraph(handle);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto exec = std::make_unique<GraphExec>();
  exec->id = ++CurrentProcess()->last_id;
  exec->flags = flags;
  if (!Flatten(*graph, exec->nodes)) return CUDA_ERROR_INVALID_VALUE;
  Hold(*exec);
  CurrentProcess()->graph_execs.insert(exec.get());
  *out = reinterpret_cast<CUgraphExec>(exec.release());
  return CUDA_SUCCESS;
}

// Finds room for everything that the launch allocates, or for nothing.
CUresult ReserveMemory(const GraphExec& exec) {
  std::vector<CUdeviceptr> taken;
  for (const GraphNode& node : exec.nodes) {
    if (node.type != kNodeMemAlloc) continue;
    const GraphMemory& memory = CurrentProcess()->graph_memory[node.address];
    // A second launch before the first one's memory was freed.
    bool again = memory.used && (exec.flags & kAutoFree) == 0;
    CUresult used = again ? CUDA_ERROR_INVALID_VALUE : UseGraphMemory(node.address);
    if (used != CUDA_SUCCESS) {
      for (CUdeviceptr address : taken) FreeGraphMemory(address);
      return used;
    }
    taken.push_back(node.address);
  }
  return CUDA_SUCCESS;
}

Operation OperationOf(const GraphNode& node) {
  if (node.type != kNodeMemFree) return node.operation;
  Operation operation;
  operation.run = [address = node.address] {
    std::lock_guard lock(CurrentProcess()->mutex);
    return FreeGraphMemory(address);
  };
  return operation;
}

// One node's turn in a launch.
CUresult Send(const GraphNode& node, CUstream stream) {
  if (!node.enabled) return CUDA_SUCCESS;
  if (node.type == kNodeEventRecord) return RecordEvent(node.event, stream);
  if (node.type == kNodeWaitEvent) return WaitForEvent(stream, node.event);
  return SubmitTo(stream, OperationOf(node), node.type);
}

}  // namespace

GraphExec* ToExec(CUgraphExec handle) {
  auto* exec = reinterpret_cast<GraphExec*>(handle);
  return CurrentProcess()->graph_execs.contains(exec) ? exec : nullptr;
}

bool Flatten(const Graph& graph, std::vector<GraphNode>& into) {
  std::vector<const GraphNode*> open;
  for (const auto& node : graph.nodes) open.push_back(node.get());
  std::set<const GraphNode*> done;
  while (!open.empty()) {
    size_t before = open.size();
    for (size_t i = 0; i < open.size();) {
      const GraphNode* node = open[i];
      bool free = std::all_of(node->after.begin(), node->after.end(), [&](const GraphNode* other) {
        return done.contains(other);
      });
      if (!free) {
        ++i;
        continue;
      }
      done.insert(node);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
      if (node->child != nullptr) {
        if (!Flatten(*node->child, into)) return false;
      } else {
        into.push_back(*node);
        into.back().origin = node;
      }
    }
    if (open.size() == before) return false;
  }
  return true;
}

SLUICE_SIM_CALL
cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, unsigned long long flags) {
  return Instantiate(out, graph, flags);
}

// The first two forms write a log of what is wrong with a graph; here the code says it all.
SLUICE_SIM_CALL
cuGraphInstantiate(CUgraphExec* out, CUgraph graph, CUgraphNode* node, char* log, size_t bytes) {
  if (node != nullptr) *node = nullptr;
  if (log != nullptr && bytes > 0) *log = '\0';
  return Instantiate(out, graph, 0);
}
SLUICE_SIM_CALL
cuGraphInstantiate_v2(CUgraphExec* out, CUgraph graph, CUgraphNode* node, char* log, size_t bytes) {
  return cuGraphInstantiate(out, graph, node, log, bytes);
}

SLUICE_SIM_CALL cuGraphInstantiateWithParams(CUgraphExec* out,
                                             CUgraph graph,
                                             CUDA_GRAPH_INSTANTIATE_PARAMS* params) {
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  params->hErrNode_out = nullptr;
  CUresult made = Instantiate(out, graph, params->flags);
  params->result_out = made == CUDA_SUCCESS ? 0 : 1;
  return made;
}

SLUICE_SIM_CALL cuGraphExecGetFlags(CUgraphExec handle, uint64_t* flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const GraphExec* exec = ToExec(handle);
  if (exec == nullptr || flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *flags = exec->flags;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphExecDestroy(CUgraphExec handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  GraphExec* exec = ToExec(handle);
  if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
  LetGo(*exec);
  CurrentProcess()->graph_execs.erase(exec);
  delete exec;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphUpload(CUgraphExec handle, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    if (ToExec(handle) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  }
  return SubmitTo(stream, {}, kNodeEmpty);
}

SLUICE_SIM_CALL cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (ResolveStream(stream) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::vector<GraphNode> nodes;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    const GraphExec* exec = ToExec(handle);
    if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUresult reserved = ReserveMemory(*exec);
    if (reserved != CUDA_SUCCESS) return reserved;
    nodes = exec->nodes;
  }
  for (const GraphNode& node : nodes) {
    CUresult sent = Send(node, stream);
    if (sent != CUDA_SUCCESS) return sent;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuGraphExecUpdate_v2(CUgraphExec handle, CUgraph graph_handle, CUgraphExecUpdateResultInfo* info) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  GraphExec* exec = ToExec(handle);
  const Graph* graph = ToGraph(graph_handle);
  if (exec == nullptr || graph == nullptr || info == nullptr) return CUDA_ERROR_INVALID_VALUE;
  constexpr int kUpdated = 0;
  constexpr int kTopologyChanged = 2;
  constexpr int kTypeChanged = 3;
  *info = {kUpdated, nullptr, nullptr};
  std::vector<GraphNode> fresh;
  bool sound = Flatten(*graph, fresh);
  if (!sound || fresh.size() != exec->nodes.size()) {
    info->result = kTopologyChanged;
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  }
  for (size_t i = 0; i < fresh.size(); ++i) {
    bool same = fresh[i].type == exec->nodes[i].type && fresh[i].address == exec->nodes[i].address;
    if (same) continue;
    info->result = kTypeChanged;
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  }
  // The nodes stay those of the first graph, by which later calls name them.
  for (size_t i = 0; i < fresh.size(); ++i) {
    exec->nodes[i].operation = fresh[i].operation;
    exec->nodes[i].event = fresh[i].event;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node, int* result) {
  CUgraphExecUpdateResultInfo info{};
  CUresult updated = cuGraphExecUpdate_v2(exec, graph, &info);
  if (error_node != nullptr) *error_node = info.errorNode;
  if (result != nullptr) *result = info.result;
  return updated;
}

}  // namespace sluice::simgpu
