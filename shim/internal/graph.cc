// SPDX-License-Identifier: Apache-2.0
// Graph memory. A node only says what will be needed; memory is taken when an executable graph is
// instantiated, uploaded or launched, and stays with the card's graph memory until it is trimmed.
#include "shim/internal/handlers.h"
#include "shim/internal/os.h"
#include "shim/internal/pools.h"

namespace sluice::shim {
namespace {

// Executable graphs that need memory; none: a launch costs one load.
constinit std::atomic<int64_t> hungry_execs{0};

constexpr size_t kNodesMax = size_t{1} << 20;

// What can never fit is refused where it is asked for.
bool CanNeverFit(const AllocNodeParams* params) {
  if (params == nullptr || params->pool.location.type != kLocationDevice) {
    return false;
  }
  const Card card = CardOfOrdinal(params->pool.location.id);
  return card == kForeign || (card >= 0 && params->bytes > region::Room(Policy(card)));
}

// Graphs inside graphs deeper than this are left to what the driver says after the launch.
constexpr int kDepthMax = 16;

void AddGraph(CUgraph graph, int depth, GraphNeed& need);

void AddNode(CUgraphNode node, int depth, GraphNeed& need) {
  int type = 0;
  AllocNodeParams params = {};
  CUgraph child = nullptr;
  if (Cuda(Call::k_cuGraphNodeGetType, node, &type) != kSuccess) {
    return;
  }
  if (type == kNodeTypeGraph && depth < kDepthMax &&
      Cuda(Call::k_cuGraphChildGraphNodeGetGraph, node, &child) == kSuccess) {
    AddGraph(child, depth + 1, need);
  }
  if (type != kNodeTypeMemAlloc ||
      Cuda(Call::k_cuGraphMemAllocNodeGetParams, node, &params) != kSuccess) {
    return;
  }
  const Card card = CardOfOrdinal(params.pool.location.id);
  need.card = card == kNotShared ? need.card : card;
  // Each in pieces of its own, at worst.
  constexpr uint64_t kPiece = uint64_t{2} << 20;
  const uint64_t most = region::kBytesMax - kPiece;
  const uint64_t bytes = params.bytes < most ? (params.bytes + kPiece - 1) / kPiece * kPiece : most;
  need.bytes = bytes > UINT64_MAX - need.bytes ? UINT64_MAX : need.bytes + bytes;
}

void AddGraph(CUgraph graph, int depth, GraphNeed& need) {
  size_t count = 0;
  CUgraphNode* const none = nullptr;
  if (Cuda(Call::k_cuGraphGetNodes, graph, none, &count) != kSuccess || count == 0 ||
      count > kNodesMax) {
    return;
  }
  const size_t bytes = count * sizeof(CUgraphNode);
  auto* nodes = static_cast<CUgraphNode*>(TakePages(bytes));
  if (nodes != nullptr && Cuda(Call::k_cuGraphGetNodes, graph, nodes, &count) == kSuccess) {
    for (size_t i = 0; i < count; ++i) {
      AddNode(nodes[i], depth, need);
    }
  }
  if (nodes != nullptr) {
    GivePages(nodes, bytes);
  }
}

}  // namespace

CUresult AddAllocNode(Call call,
                      CUgraphNode* out,
                      CUgraph graph,
                      const CUgraphNode* after,
                      size_t after_count,
                      AllocNodeParams* params) {
  return CanNeverFit(params) ? kOutOfMemory : Cuda(call, out, graph, after, after_count, params);
}

CUresult AddNode(Call call,
                 CUgraphNode* out,
                 CUgraph graph,
                 const CUgraphNode* after,
                 size_t after_count,
                 GraphNodeParams* params) {
  if (params != nullptr && params->type == kNodeTypeMemAlloc && CanNeverFit(&params->alloc)) {
    return kOutOfMemory;
  }
  return Cuda(call, out, graph, after, after_count, params);
}

CUresult AddNodeEdges(Call call,
                      CUgraphNode* out,
                      CUgraph graph,
                      const CUgraphNode* after,
                      const void* edges,
                      size_t after_count,
                      GraphNodeParams* params) {
  if (params != nullptr && params->type == kNodeTypeMemAlloc && CanNeverFit(&params->alloc)) {
    return kOutOfMemory;
  }
  return Cuda(call, out, graph, after, edges, after_count, params);
}

GraphNeed NeedOf(CUgraph graph) {
  GraphNeed need;
  if (InShare()) {
    AddGraph(graph, 0, need);
  }
  return need;
}

CUresult ChargeGraph(const GraphNeed& need, uint64_t& charged) {
  charged = 0;
  if (need.bytes == 0 || need.card == kNotShared) {
    return kSuccess;
  }
  if (need.card == kForeign) {
    return kOutOfMemory;
  }
  if (const CUresult result = ChargeFirstContext(need.card); result != kSuccess) {
    return result;
  }
  LearnGrowth(need.card);
  return ChargeGrowth(GraphPoolOf(need.card), need.bytes, charged);
}

CUresult KeepExec(CUresult result, CUgraphExec* out, const GraphNeed& need, uint64_t charged) {
  if (need.bytes == 0 || need.card < 0) {
    return result;
  }
  // Whether instantiating took memory is the driver's choice; a launch settles again.
  Settle(GraphPoolOf(need.card), charged, 0);
  if (result == kSuccess) {
    Record({Kind::kExec, reinterpret_cast<uint64_t>(*out)}, {need.bytes, 0, need.card});
    hungry_execs.fetch_add(1, std::memory_order_relaxed);
  }
  return result;
}

CUresult InstantiateLogged(
    Call call, CUgraphExec* out, CUgraph graph, CUgraphNode* node, char* log, size_t log_bytes) {
  const GraphNeed need = NeedOf(graph);
  uint64_t charged = 0;
  if (const CUresult result = ChargeGraph(need, charged); result != kSuccess) {
    return result;
  }
  return KeepExec(Cuda(call, out, graph, node, log, log_bytes), out, need, charged);
}

CUresult RunExec(Call call, CUgraphExec exec, CUstream stream) {
  Block block = {};
  const Key key{Kind::kExec, reinterpret_cast<uint64_t>(exec)};
  if (hungry_execs.load(std::memory_order_relaxed) == 0 || !FindBlock(key, block)) {
    return Cuda(call, exec, stream);
  }
  const uint64_t age = graph_age.load(std::memory_order_acquire);
  const PoolIndex memory = GraphPoolOf(block.card);
  if (block.extra == age) {
    const CUresult result = Cuda(call, exec, stream);
    if (graph_age.load(std::memory_order_acquire) != age) {
      Settle(memory, 0, 0);
    }
    return result;
  }
  uint64_t charged = 0;
  if (const CUresult refused = ChargeGraph({block.bytes, block.card}, charged);
      refused != kSuccess) {
    return refused;
  }
  const CUresult result = Cuda(call, exec, stream);
  Settle(memory, charged, 0);
  // Whether an upload takes the memory is the driver's choice.
  const bool launched = call == Call::k_cuGraphLaunch || call == Call::k_cuGraphLaunch_ptsz;
  if (result == kSuccess && launched) {
    SetExtra(key, age);
  }
  return result;
}

CUresult DestroyExec(Call call, CUgraphExec exec) {
  Block block = {};
  if (TakeBlock({Kind::kExec, reinterpret_cast<uint64_t>(exec)}, block)) {
    hungry_execs.fetch_sub(1, std::memory_order_relaxed);
    MarkShrinking(GraphPoolOf(block.card), 0);
  }
  return Cuda(call, exec);
}

CUresult TrimGraphMemory(Call, CUdevice ordinal) {
  const CUresult result = TrimGraphMemory(ordinal);
  if (const Card card = CardOfOrdinal(ordinal); card >= 0) {
    Settle(GraphPoolOf(card), 0, 0);
  }
  return result;
}

}  // namespace sluice::shim
