// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "simgpu/internal/cuda/graph.h"

// Recording what is sent to streams as a graph.
namespace sluice::simgpu {
namespace {

enum CaptureStatus : int { kNone = 0, kActive = 1, kInvalidated = 2 };

std::vector<GraphNode*> NodesOf(const std::vector<CUgraphNode>& handles) {
  std::vector<GraphNode*> nodes;
  for (CUgraphNode handle : handles) nodes.push_back(ToNode(handle));
  return nodes;
}

// Calls `visit` for every stream of the process.
template <typename Visit>
void EachStream(Visit&& visit) {
  for (const auto& [handle, stream] : CurrentProcess()->streams) visit(*stream);
  for (const auto& context : CurrentProcess()->contexts) {
    for (const auto& [thread, stream] : context->per_thread) visit(*stream);
  }
}

// Whether every node that some other stream ended with leads into the origin's last nodes.
bool Joined(const Capture& capture) {
  std::set<const GraphNode*> reached;
  std::vector<GraphNode*> open = NodesOf(capture.origin->capture_after);
  while (!open.empty()) {
    GraphNode* node = open.back();
    open.pop_back();
    if (!reached.insert(node).second) continue;
    open.insert(open.end(), node->after.begin(), node->after.end());
  }
  bool joined = true;
  EachStream([&](const Stream& stream) {
    if (stream.capture.get() != &capture) return;
    for (CUgraphNode node : stream.capture_after) joined = joined && reached.contains(ToNode(node));
  });
  return joined;
}

void EndFor(const Capture& capture) {
  EachStream([&](Stream& stream) {
    if (stream.capture.get() != &capture) return;
    stream.capture_after.clear();
    stream.capture = nullptr;
  });
  for (const auto& [handle, event] : CurrentProcess()->events) {
    if (event->captured.get() == &capture) event->captured_after.clear();
  }
  std::erase_if(CurrentProcess()->captures,
                [&](const auto& entry) { return entry.get() == &capture; });
}

CUresult Begin(CUstream handle, int mode, Graph* into, const std::vector<CUgraphNode>& after) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (mode < 0 || mode > 2) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  auto capture = std::make_shared<Capture>();
  capture->id = ++process.last_id;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream;
  capture->graph_is_ours = into == nullptr;
  capture->graph = into == nullptr ? &NewGraph() : into;
  stream->capture = capture;
  stream->capture_after = after;
  process.captures.push_back(capture);
  return CUDA_SUCCESS;
}

struct Info {
  int status = kNone;
  unsigned long long id = 0;
  CUgraph graph = nullptr;
  const std::vector<CUgraphNode>* after = nullptr;
};

// Needs the mutex for as long as the answer is used.
Info Look(const Stream& stream) {
  Info info;
  if (stream.capture == nullptr) return info;
  info.status = stream.capture->spoiled ? kInvalidated : kActive;
  info.id = stream.capture->id;
  info.graph = reinterpret_cast<CUgraph>(stream.capture->graph);
  info.after = &stream.capture_after;
  return info;
}

}  // namespace

CUresult CaptureNode(Stream& stream, int type, Operation operation, CUdeviceptr address) {
  Capture& capture = *stream.capture;
  if (capture.spoiled) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  GraphNode& node = AddNode(*capture.graph, type, NodesOf(stream.capture_after));
  node.operation = std::move(operation);
  node.address = address;
  if (address != 0) HoldGraphMemory(address);
  stream.capture_after = {ToHandle(&node)};
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamBeginCapture(CUstream stream) {
  return Begin(stream, 0, nullptr, {});
}
SLUICE_SIM_CALL cuStreamBeginCapture_v2(CUstream stream, int mode) {
  return Begin(stream, mode, nullptr, {});
}

SLUICE_SIM_CALL cuStreamBeginCaptureToGraph(CUstream stream,
                                            CUgraph graph_handle,
                                            const CUgraphNode* after,
                                            const void* /*edge_data*/,
                                            size_t count,
                                            int mode) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  Graph* graph = nullptr;
  std::vector<CUgraphNode> nodes;
  {
    std::lock_guard lock(CurrentProcess()->mutex);
    graph = ToGraph(graph_handle);
    if (graph == nullptr || (count > 0 && after == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      if (!CurrentProcess()->graph_nodes.contains(ToNode(after[i]))) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      nodes.push_back(after[i]);
    }
  }
  return Begin(stream, mode, graph, nodes);
}

SLUICE_SIM_CALL cuStreamEndCapture(CUstream handle, CUgraph* out) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(CurrentProcess()->mutex);
  std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->origin != stream) {
    capture->spoiled = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  constexpr int kRelaxed = 2;
  if (capture->mode != kRelaxed && capture->thread != std::this_thread::get_id()) {
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  }
  CUresult result = capture->spoiled   ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                    : Joined(*capture) ? CUDA_SUCCESS
                                       : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  EndFor(*capture);
  if (result != CUDA_SUCCESS) {
    if (capture->graph_is_ours) DestroyGraph(capture->graph);
    if (out != nullptr) *out = nullptr;
    return result;
  }
  if (out != nullptr) *out = reinterpret_cast<CUgraph>(capture->graph);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamGetCaptureInfo_v3(CUstream handle,
                                          int* status,
                                          uint64_t* id,
                                          CUgraph* graph,
                                          const CUgraphNode** after,
                                          const void** edges,
                                          size_t* count) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Info info = Look(*stream);
  *status = info.status;
  if (edges != nullptr) *edges = nullptr;
  if (info.status == kNone) return CUDA_SUCCESS;
  if (id != nullptr) *id = info.id;
  if (graph != nullptr) *graph = info.graph;
  // Stays valid until the next call that touches the stream, as the driver's does.
  if (after != nullptr) *after = info.after->data();
  if (count != nullptr) *count = info.after->size();
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamGetCaptureInfo_v2(CUstream handle,
                                          int* status,
                                          uint64_t* id,
                                          CUgraph* graph,
                                          const CUgraphNode** after,
                                          size_t* count) {
  return cuStreamGetCaptureInfo_v3(handle, status, id, graph, after, nullptr, count);
}

SLUICE_SIM_CALL cuStreamIsCapturing(CUstream handle, int* status) {
  return cuStreamGetCaptureInfo_v3(handle, status, nullptr, nullptr, nullptr, nullptr, nullptr);
}

SLUICE_SIM_CALL cuStreamGetCaptureInfo(CUstream handle, int* status, uint64_t* id) {
  return cuStreamGetCaptureInfo_v3(handle, status, id, nullptr, nullptr, nullptr, nullptr);
}

SLUICE_SIM_CALL cuStreamUpdateCaptureDependencies_v2(
    CUstream handle, CUgraphNode* nodes, const void* /*edge_data*/, size_t count, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Stream> stream = ResolveStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (flags > 1 || (count > 0 && nodes == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (stream->capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  constexpr unsigned kReplace = 1;
  std::vector<CUgraphNode> next;
  if (flags != kReplace) next = stream->capture_after;
  for (size_t i = 0; i < count; ++i) {
    if (!CurrentProcess()->graph_nodes.contains(ToNode(nodes[i]))) return CUDA_ERROR_INVALID_VALUE;
    next.push_back(nodes[i]);
  }
  stream->capture_after = std::move(next);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuStreamUpdateCaptureDependencies(CUstream stream,
                                                  CUgraphNode* nodes,
                                                  size_t count,
                                                  unsigned flags) {
  return cuStreamUpdateCaptureDependencies_v2(stream, nodes, nullptr, count, flags);
}

}  // namespace sluice::simgpu
