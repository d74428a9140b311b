// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

// What a driver answers about work and its order.
namespace sluice::gpu {
namespace {

struct MemsetNode {
  Address to;
  size_t pitch;
  unsigned value, element;
  size_t width, height;
};

void Events() {
  Context();
  Handle event = nullptr;
  Try("unknown flags", "cuEventCreate", &event, 64u);
  Try("shared and timed", "cuEventCreate", &event, 4u);
  Try("create", "cuEventCreate", &event, 0u);
  Try("query before record", "cuEventQuery", event);
  float ms = 0;
  Try("elapsed before record", "cuEventElapsedTime", &ms, event, event);
  Handle other = nullptr;
  Call("cuEventCreate", &other, 2u);
  Handle none = nullptr;
  Call("cuEventRecord", event, none);
  Call("cuEventRecord", other, none);
  Call("cuCtxSynchronize");
  Try("elapsed without timing", "cuEventElapsedTime", &ms, event, other);
  Try("destroy", "cuEventDestroy_v2", event);
}

void Times() {
  Context();
  Handle function = SleepKernel();
  Handle stream = Stream(1);
  Handle events[2] = {};
  for (Handle& event : events) Call("cuEventCreate", &event, 0u);
  Say("warm", Sleep(function, stream, 1));
  Call("cuStreamSynchronize", stream);
  Call("cuEventRecord", events[0], stream);
  for (int i = 0; i < 10; ++i) Sleep(function, stream, 2000);
  Call("cuEventRecord", events[1], stream);
  Try("query at once", "cuEventQuery", events[1]);
  float ms = 0;
  Try("elapsed at once", "cuEventElapsedTime", &ms, events[0], events[1]);
  Try("synchronize", "cuStreamSynchronize", stream);
  Try("elapsed", "cuEventElapsedTime", &ms, events[0], events[1]);
  Say("20 ms took 20 to 22", ms >= 19.9f && ms <= 22.0f);
}

void Order() {
  Context();
  Handle function = SleepKernel();
  Handle blocking = Stream(0);
  Handle beside = Stream(1);
  Handle none = nullptr;
  Sleep(function, blocking, 50'000);
  Handle event = nullptr;
  Call("cuEventCreate", &event, 0u);
  Call("cuEventRecord", event, none);
  Try("stream 0 waits", "cuEventQuery", event);
  Call("cuEventRecord", event, beside);
  Try("another synchronizes", "cuStreamSynchronize", beside);
  Try("busy", "cuStreamQuery", blocking);
  Try("context", "cuCtxSynchronize");
  Try("idle", "cuStreamQuery", blocking);
  Try("wrong priority", "cuStreamCreateWithPriority", &beside, 1u, -100);
  int priority = 0;
  Call("cuStreamGetPriority", beside, &priority);
  Say("is clamped", priority);
}

void Capture() {
  Context();
  Handle stream = Stream(0);
  Handle none = nullptr;
  Handle graph = nullptr;
  Address a = 0;
  Call("cuMemAlloc_v2", &a, kMib);
  Try("of stream 0", "cuStreamBeginCapture_v2", none, 0);
  Try("begin", "cuStreamBeginCapture_v2", stream, 0);
  Try("begin again", "cuStreamBeginCapture_v2", stream, 0);
  Address b = 0;
  Try("alloc", "cuMemAlloc_v2", &b, kMib);
  Try("memset", "cuMemsetD8Async", a, static_cast<unsigned char>(1), size_t{16}, stream);
  Try("end", "cuStreamEndCapture", stream, &graph);
  Try("end again", "cuStreamEndCapture", stream, &graph);
  Call("cuStreamBeginCapture_v2", stream, 0);
  Try("synchronize", "cuStreamSynchronize", stream);
  Try("end of it", "cuStreamEndCapture", stream, &graph);
  Call("cuStreamBeginCapture_v2", stream, 0);
  Try("query", "cuStreamQuery", stream);
  Call("cuStreamEndCapture", stream, &graph);
  Call("cuStreamBeginCapture_v2", stream, 2);
  Try("alloc when relaxed", "cuMemAlloc_v2", &b, kMib);
  Try("alloc in stream", "cuMemAllocAsync", &b, kMib, stream);
  Try("end relaxed", "cuStreamEndCapture", stream, &graph);
  size_t nodes = 0;
  Handle* nowhere = nullptr;
  Try("nodes", "cuGraphGetNodes", graph, nowhere, &nodes);
  Say("how many", static_cast<long long>(nodes));
}

void Graphs() {
  Handle context = Context();
  Address a = 0;
  Call("cuMemAlloc_v2", &a, kMib);
  Handle graph = nullptr;
  Try("flags", "cuGraphCreate", &graph, 1u);
  Try("create", "cuGraphCreate", &graph, 0u);
  MemsetNode params{a, 0, 5, 4, 4, 1};
  const Handle* none = nullptr;
  Handle node = nullptr;
  Try("add",
      "cuGraphAddMemsetNode",
      &node,
      graph,
      none,
      size_t{0},
      static_cast<const MemsetNode*>(&params),
      context);
  Handle exec = nullptr;
  Try("instantiate", "cuGraphInstantiateWithFlags", &exec, graph, 0ull);
  params.value = 8;
  Try("set",
      "cuGraphExecMemsetNodeSetParams",
      exec,
      node,
      static_cast<const MemsetNode*>(&params),
      context);
  Handle stream = Stream(1);
  Try("launch", "cuGraphLaunch", exec, stream);
  Call("cuStreamSynchronize", stream);
  uint32_t word = 0;
  Call("cuMemcpyDtoH_v2", static_cast<void*>(&word), a, size_t{4});
  Say("word", word);
  Try("own dependency",
      "cuGraphAddDependencies",
      graph,
      static_cast<const Handle*>(&node),
      static_cast<const Handle*>(&node),
      size_t{1});
  Try("disable", "cuGraphNodeSetEnabled", exec, node, 0u);
  Try("destroy exec", "cuGraphExecDestroy", exec);
  Try("destroy", "cuGraphDestroy", graph);
}

void Sticky() {
  Context();
  Handle module = nullptr;
  Handle function = nullptr;
  const void* text =
      ".version 6.0\n.target sm_70\n.address_size 64\n"
      ".visible .entry sluice_fill(.param .u64 a, .param .u32 v, .param .u64 n) {\n"
      ".reg .u64 %a; .reg .u32 %v;\nld.param.u64 %a, [a]; ld.param.u32 %v, [v];\n"
      "st.global.u32 [%a], %v;\nret;\n}\n";
  Try("load", "cuModuleLoadData", &module, text);
  Call("cuModuleGetFunction", &function, module, "sluice_fill");
  Address wild = 4096;
  uint32_t value = 1;
  uint64_t count = 1;
  void* arguments[] = {&wild, &value, &count};
  Handle stream = nullptr;
  Say("launch", Start({.function = function, .stream = stream, .arguments = arguments}));
  Try("synchronize", "cuCtxSynchronize");
  Try("alloc", "cuMemAlloc_v2", &wild, kMib);
  Try("query", "cuStreamQuery", stream);
}

}  // namespace

const std::vector<Case>& WorkCases() {
  static const std::vector<Case> cases = {
      {"events", Events},
      {"times", Times},
      {"order", Order},
      {"capture", Capture},
      {"graphs", Graphs},
      {"sticky", Sticky},
  };
  return cases;
}

}  // namespace sluice::gpu
