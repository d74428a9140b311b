// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thread>

#include "simgpu/internal/cuda/stream.h"

// Graphs: recorded operations that are sent on their way together.
namespace sluice::simgpu {

enum NodeType : int {
  kNodeKernel = 0,
  kNodeMemcpy = 1,
  kNodeMemset = 2,
  kNodeHost = 3,
  kNodeGraph = 4,
  kNodeEmpty = 5,
  kNodeWaitEvent = 6,
  kNodeEventRecord = 7,
  kNodeMemAlloc = 10,
  kNodeMemFree = 11,
  kNodeBatchMemOp = 12,
};

struct Graph;

struct GraphNode {
  Graph* graph = nullptr;
  int type = kNodeEmpty;
  Operation operation;
  std::vector<GraphNode*> after;
  Graph* child = nullptr;             // kNodeGraph: a copy of its own.
  CUdeviceptr address = 0;            // kNodeMemAlloc and kNodeMemFree.
  CUevent event = nullptr;            // kNodeEventRecord and kNodeWaitEvent.
  const GraphNode* origin = nullptr;  // In an executable, and in a clone: what it was made from.
  bool enabled = true;                // In an executable.
};

// Something of the program's that lives as long as graphs need it.
struct UserObject {
  void* pointer = nullptr;
  CUhostFn destroy = nullptr;
  uint64_t holders = 0;
};

struct Graph {
  unsigned long long id = 0;
  std::map<UserObject*, uint64_t> objects;  // How often it holds each.
  std::vector<std::unique_ptr<GraphNode>> nodes;
};

// A graph made ready: its nodes in an order that respects every edge.
struct GraphExec {
  unsigned long long id = 0;
  unsigned long long flags = 0;
  std::vector<GraphNode> nodes;  // Copies; `after` is not used any more.
};

struct Capture {
  unsigned long long id = 0;
  int mode = 0;  // 0 global, 1 thread-local, 2 relaxed.
  std::thread::id thread;
  std::shared_ptr<Stream> origin;
  Graph* graph = nullptr;
  bool graph_is_ours = true;  // False: begun into a graph of the program's.
  bool spoiled = false;
};

inline GraphNode* ToNode(CUgraphNode handle) {
  return reinterpret_cast<GraphNode*>(handle);
}
inline CUgraphNode ToHandle(GraphNode* node) {
  return reinterpret_cast<CUgraphNode>(node);
}

// All need the process's mutex.
GraphNode& AddNode(Graph& graph, int type, const std::vector<GraphNode*>& after);
// Adds a node to the stream's capture.
CUresult CaptureNode(Stream& stream, int type, Operation operation, CUdeviceptr address);

bool IsNode(CUgraphNode handle);
GraphExec* ToExec(CUgraphExec handle);
// Appends the nodes in an order that respects every edge; false: there is a circle.
bool Flatten(const Graph& graph, std::vector<GraphNode>& into);
// Lets go of an object; its destructor is called when nobody holds it.
void Release(UserObject* object, uint64_t count);

// Gives the memory behind a graph's address a place on the card, or marks it free.
CUresult UseGraphMemory(CUdeviceptr address);
CUresult FreeGraphMemory(CUdeviceptr address);
// A new address for an allocation node; not charged before the graph is launched.
CUresult NewGraphMemory(int device, size_t bytes, Context& context, CUdeviceptr* address);
void HoldGraphMemory(CUdeviceptr address);
void LetGoGraphMemory(CUdeviceptr address);

Graph* ToGraph(CUgraph handle);
Graph& NewGraph();
void DestroyGraph(Graph* graph);
// A copy with its own nodes. `twins`, if not null, receives old → new.
Graph& CloneGraph(const Graph& graph, std::map<const GraphNode*, GraphNode*>* twins);

}  // namespace sluice::simgpu
