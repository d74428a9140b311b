// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "simgpu/internal/cuda/graph.h"

// What is in a graph and what follows what.
namespace sluice::simgpu {
namespace {

// Fills a list that the caller may ask the length of first.
template <typename T>
CUresult Report(const std::vector<T>& found, T* out, size_t* count) {
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (out == nullptr) {
    *count = found.size();
    return CUDA_SUCCESS;
  }
  for (size_t i = 0; i < *count; ++i) out[i] = i < found.size() ? found[i] : T{};
  *count = std::min(*count, found.size());
  return CUDA_SUCCESS;
}

template <typename Keep>
CUresult ReportNodes(CUgraph handle, CUgraphNode* out, size_t* count, Keep&& keep) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* graph = ToGraph(handle);
  if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> found;
  for (const auto& node : graph->nodes) {
    if (keep(*node)) found.push_back(ToHandle(node.get()));
  }
  return Report(found, out, count);
}

struct Edge {
  GraphNode* from;
  GraphNode* to;
};

std::vector<Edge> EdgesOf(const Graph& graph) {
  std::vector<Edge> edges;
  for (const auto& node : graph.nodes) {
    for (GraphNode* before : node->after) edges.push_back({before, node.get()});
  }
  return edges;
}

// The newer forms say of each edge what kind it is; there is one kind here, the plain one: zeroes.
constexpr size_t kEdgeBytes = 8;
CUresult MarkPlain(CUresult got, const CUgraphNode* out, char* edges, const size_t* count) {
  if (got == CUDA_SUCCESS && edges != nullptr && out != nullptr) {
    std::memset(edges, 0, *count * kEdgeBytes);
  }
  return got;
}

}  // namespace

SLUICE_SIM_CALL cuGraphNodeGetType(CUgraphNode handle, int* type) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (type == nullptr || !IsNode(handle)) return CUDA_ERROR_INVALID_VALUE;
  *type = ToNode(handle)->type;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphGetNodes(CUgraph graph, CUgraphNode* out, size_t* count) {
  return ReportNodes(graph, out, count, [](const GraphNode&) { return true; });
}

SLUICE_SIM_CALL cuGraphGetRootNodes(CUgraph graph, CUgraphNode* out, size_t* count) {
  return ReportNodes(graph, out, count, [](const GraphNode& node) { return node.after.empty(); });
}

SLUICE_SIM_CALL cuGraphNodeGetDependencies(CUgraphNode handle, CUgraphNode* out, size_t* count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!IsNode(handle)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> found;
  for (GraphNode* before : ToNode(handle)->after) found.push_back(ToHandle(before));
  return Report(found, out, count);
}

SLUICE_SIM_CALL cuGraphAddDependencies(CUgraph handle,
                                       const CUgraphNode* from,
                                       const CUgraphNode* to,
                                       size_t count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* graph = ToGraph(handle);
  if (graph == nullptr || (count > 0 && (from == nullptr || to == nullptr))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    bool ours = IsNode(from[i]) && IsNode(to[i]) && ToNode(from[i])->graph == graph &&
                ToNode(to[i])->graph == graph && from[i] != to[i];
    if (!ours) return CUDA_ERROR_INVALID_VALUE;
    ToNode(to[i])->after.push_back(ToNode(from[i]));
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphNodeGetDependencies_v2(CUgraphNode node,
                                              CUgraphNode* out,
                                              char* edges,
                                              size_t* count) {
  return MarkPlain(cuGraphNodeGetDependencies(node, out, count), out, edges, count);
}

SLUICE_SIM_CALL cuGraphAddDependencies_v2(CUgraph graph,
                                          const CUgraphNode* from,
                                          const CUgraphNode* to,
                                          const void* /*edges*/,
                                          size_t count) {
  return cuGraphAddDependencies(graph, from, to, count);
}

SLUICE_SIM_CALL cuGraphNodeGetDependentNodes(CUgraphNode handle, CUgraphNode* out, size_t* count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!IsNode(handle)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUgraphNode> found;
  for (const Edge& edge : EdgesOf(*ToNode(handle)->graph)) {
    if (edge.from == ToNode(handle)) found.push_back(ToHandle(edge.to));
  }
  return Report(found, out, count);
}

SLUICE_SIM_CALL cuGraphNodeGetDependentNodes_v2(CUgraphNode node,
                                                CUgraphNode* out,
                                                char* edges,
                                                size_t* count) {
  return MarkPlain(cuGraphNodeGetDependentNodes(node, out, count), out, edges, count);
}

SLUICE_SIM_CALL
cuGraphGetEdges_v2(CUgraph handle, CUgraphNode* from, CUgraphNode* to, char* data, size_t* count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* graph = ToGraph(handle);
  if (graph == nullptr || count == nullptr || (from == nullptr) != (to == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<Edge> edges = EdgesOf(*graph);
  if (from == nullptr) {
    *count = edges.size();
    return CUDA_SUCCESS;
  }
  *count = std::min(*count, edges.size());
  for (size_t i = 0; i < *count; ++i) {
    from[i] = ToHandle(edges[i].from);
    to[i] = ToHandle(edges[i].to);
  }
  if (data != nullptr) std::memset(data, 0, *count * kEdgeBytes);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return cuGraphGetEdges_v2(graph, from, to, nullptr, count);
}

SLUICE_SIM_CALL cuGraphRemoveDependencies(CUgraph handle,
                                          const CUgraphNode* from,
                                          const CUgraphNode* to,
                                          size_t count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (ToGraph(handle) == nullptr || (count > 0 && (from == nullptr || to == nullptr))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    if (!IsNode(from[i]) || !IsNode(to[i])) return CUDA_ERROR_INVALID_VALUE;
    if (std::erase(ToNode(to[i])->after, ToNode(from[i])) == 0) return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphRemoveDependencies_v2(CUgraph graph,
                                             const CUgraphNode* from,
                                             const CUgraphNode* to,
                                             const void* /*edges*/,
                                             size_t count) {
  return cuGraphRemoveDependencies(graph, from, to, count);
}

SLUICE_SIM_CALL cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* clone = ToGraph(handle);
  if (out == nullptr || clone == nullptr || !IsNode(original)) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& node : clone->nodes) {
    if (node->origin != ToNode(original)) continue;
    *out = ToHandle(node.get());
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

SLUICE_SIM_CALL cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph* out) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (out == nullptr || !IsNode(handle) || ToNode(handle)->child == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = reinterpret_cast<CUgraph>(ToNode(handle)->child);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGraphDebugDotPrint(CUgraph handle, const char* path, unsigned /*flags*/) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Graph* graph = ToGraph(handle);
  if (graph == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
  FILE* file = std::fopen(path, "we");
  if (file == nullptr) return CUDA_ERROR_OPERATING_SYSTEM;
  std::fprintf(file, "digraph {\n");
  for (const auto& node : graph->nodes) {
    std::fprintf(file, "  \"%p\" [label=\"%d\"]\n", static_cast<void*>(node.get()), node->type);
  }
  for (const Edge& edge : EdgesOf(*graph)) {
    std::fprintf(
        file, "  \"%p\" -> \"%p\"\n", static_cast<void*>(edge.from), static_cast<void*>(edge.to));
  }
  std::fprintf(file, "}\n");
  return std::fclose(file) == 0 ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

}  // namespace sluice::simgpu
