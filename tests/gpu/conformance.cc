// SPDX-License-Identifier: Apache-2.0
// What a CUDA driver answers to a list of calls, one JSON line a case: conformance LIBCUDA. Every
// case runs in a process of its own, so that an error that stays, or a crash, is that case's alone.
// Needs nothing of the project and nothing of the vendor's: it is carried to bare machines.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

using Address = unsigned long long;
using Handle = void*;

void* g_driver = nullptr;
FILE* g_out = nullptr;

constexpr int kMissing = -1;

// Calls by name; arguments must have exactly the types of the call.
template <typename... Args>
int Call(const char* name, Args... args) {
  void* address = ::dlsym(g_driver, name);
  return address == nullptr ? kMissing : reinterpret_cast<int (*)(Args...)>(address)(args...);
}

void Say(const char* what, long long answer) {
  std::fprintf(g_out, "%s\t%lld\n", what, answer);
  std::fflush(g_out);
}

// Says what a call answered; returns whether it succeeded.
template <typename... Args>
bool Try(const char* what, const char* name, Args... args) {
  int answer = Call(name, args...);
  Say(what, answer);
  return answer == 0;
}

constexpr size_t kMib = size_t{1} << 20;

Handle Context() {
  Handle context = nullptr;
  if (Call("cuInit", 0u) != 0 || Call("cuCtxCreate_v2", &context, 0u, 0) != 0) Say("no context", 1);
  return context;
}

long long FreeKib() {
  size_t free_bytes = 0;
  size_t total = 0;
  Call("cuMemGetInfo_v2", &free_bytes, &total);
  return static_cast<long long>(free_bytes / 1024);
}

// A kernel that keeps the card for as long as it is told.
constexpr const char* kPtx = R"(
.version 6.0
.target sm_52
.address_size 64
.visible .entry sluice_sleep_us(.param .u64 us) {
  .reg .pred %p;
  .reg .u64 %t<3>;
  ld.param.u64 %t0, [us];
  mul.lo.u64 %t0, %t0, 1000;
  mov.u64 %t1, %globaltimer;
  add.u64 %t1, %t1, %t0;
again:
  mov.u64 %t2, %globaltimer;
  setp.lt.u64 %p, %t2, %t1;
  @%p bra again;
  ret;
}
)";

Handle SleepKernel() {
  Handle module = nullptr;
  Handle function = nullptr;
  const void* text = kPtx;
  Call("cuModuleLoadData", &module, text);
  Call("cuModuleGetFunction", &function, module, "sluice_sleep_us");
  return function;
}

int Sleep(Handle function, Handle stream, uint64_t us) {
  void* arguments[] = {&us};
  void** none = nullptr;
  return Call("cuLaunchKernel", function, 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream, &arguments[0], none);
}

Handle Stream(unsigned flags) {
  Handle stream = nullptr;
  Call("cuStreamCreate", &stream, flags);
  return stream;
}

struct Prop {
  int type = 1, handle_types = 0, place = 1, device = 0;
  void* reserved = nullptr;
  unsigned char flags[8] = {};
};

struct PoolProps {
  int type = 1, handle_types = 0, place = 1, device = 0;
  void* reserved = nullptr;
  size_t bytes_max = 0;
  unsigned char rest[56] = {};
};

void BeforeInit() {
  int count = 0;
  Try("count", "cuDeviceGetCount", &count);
  Try("flags", "cuInit", 1u);
  Address a = 0;
  Try("alloc", "cuMemAlloc_v2", &a, size_t{4});
  int version = 0;
  Try("version", "cuDriverGetVersion", &version);
}

void WithoutContext() {
  Call("cuInit", 0u);
  Address a = 0;
  size_t bytes = 0;
  Try("alloc", "cuMemAlloc_v2", &a, size_t{4});
  Try("info", "cuMemGetInfo_v2", &bytes, &bytes);
  Try("synchronize", "cuCtxSynchronize");
  Handle stream = nullptr;
  Try("stream", "cuStreamCreate", &stream, 0u);
  Try("total of no device", "cuDeviceTotalMem_v2", &bytes, 99);
}

void AfterFork() {
  Context();
  std::fflush(g_out);
  pid_t child = ::fork();
  if (child == 0) {
    int count = 0;
    Try("count", "cuDeviceGetCount", &count);
    Try("init", "cuInit", 0u);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  Say("ended", status);
}

void DestroyedContext() {
  Handle context = Context();
  Try("destroy", "cuCtxDestroy_v2", context);
  Handle current = &context;
  Try("current", "cuCtxGetCurrent", &current);
  Say("none is current", current == nullptr);
  Address a = 0;
  Try("alloc", "cuMemAlloc_v2", &a, size_t{4});
}

void Sizes() {
  Context();
  Address a = 0;
  Address* nowhere = nullptr;
  Try("zero", "cuMemAlloc_v2", &a, size_t{0});
  Try("null", "cuMemAlloc_v2", nowhere, size_t{4});
  Try("most", "cuMemAlloc_v2", &a, SIZE_MAX);
  Try("tera", "cuMemAlloc_v2", &a, size_t{1} << 43);
  Try("free 0", "cuMemFree_v2", Address{0});
  Try("free wild", "cuMemFree_v2", Address{4096});
  size_t pitch = 0;
  Try("pitch zero", "cuMemAllocPitch_v2", &a, &pitch, size_t{0}, size_t{4}, 4u);
  Try("pitch", "cuMemAllocPitch_v2", &a, &pitch, size_t{100}, size_t{4}, 4u);
  Say("pitch bytes", static_cast<long long>(pitch));
  Try("managed flags", "cuMemAllocManaged", &a, kMib, 3u);
}

void Granules() {
  Context();
  Address first = 0;
  // The first block may bring more with it than itself.
  Call("cuMemAlloc_v2", &first, size_t{1});
  long long before = FreeKib();
  Address a = 0;
  Call("cuMemAlloc_v2", &a, 3 * kMib);
  Say("3 MiB takes KiB", before - FreeKib());
  Say("aligned to 2 MiB", a % (2 * kMib) == 0);
  Address b = 0;
  Call("cuMemAlloc_v2", &b, size_t{1});
  Say("distance of small ones", static_cast<long long>(b - first));
  Address base = 0;
  size_t bytes = 0;
  Try("range", "cuMemGetAddressRange_v2", &base, &bytes, a + 5);
  Say("its bytes", static_cast<long long>(bytes));
  Try("free inside", "cuMemFree_v2", a + 4096);
  Try("free", "cuMemFree_v2", a);
  Try("free again", "cuMemFree_v2", a);
}

void Pools() {
  Context();
  Handle pool = nullptr;
  Handle none = nullptr;
  PoolProps props;
  Try("create", "cuMemPoolCreate", &pool, &props);
  Address a = 0;
  Address b = 0;
  Try("alloc", "cuMemAllocFromPoolAsync", &a, kMib, pool, none);
  uint64_t value = 0;
  void* out = &value;
  Try("reserved", "cuMemPoolGetAttribute", pool, 5, out);
  Say("reserved at least asked", value >= kMib);
  Try("used", "cuMemPoolGetAttribute", pool, 7, out);
  Say("used", static_cast<long long>(value));
  Try("free async", "cuMemFreeAsync", a, none);
  Try("synchronize", "cuStreamSynchronize", none);
  Call("cuMemPoolGetAttribute", pool, 5, out);
  Say("reserved after", static_cast<long long>(value));
  Try("zero", "cuMemAllocFromPoolAsync", &b, size_t{0}, pool, none);
  Try("no pool", "cuMemAllocFromPoolAsync", &b, kMib, none, none);
  Try("set used", "cuMemPoolSetAttribute", pool, 7, out);
  Handle own = nullptr;
  Try("default", "cuDeviceGetDefaultMemPool", &own, 0);
  Try("destroy default", "cuMemPoolDestroy", own);
  Try("destroy", "cuMemPoolDestroy", pool);
}

void Mappings() {
  Context();
  Prop prop;
  size_t granule = 0;
  Try("granule", "cuMemGetAllocationGranularity", &granule, &prop, 0);
  Say("granule bytes", static_cast<long long>(granule));
  Address handle = 0;
  Try("odd size", "cuMemCreate", &handle, size_t{4096}, &prop, 0ull);
  long long before = FreeKib();
  Try("create", "cuMemCreate", &handle, 4 * kMib, &prop, 0ull);
  Say("takes KiB", before - FreeKib());
  Address at = 0;
  Try("reserve", "cuMemAddressReserve", &at, 8 * kMib, size_t{0}, Address{0}, 0ull);
  Try("map", "cuMemMap", at, 4 * kMib, size_t{0}, handle, 0ull);
  Try("map again", "cuMemMap", at, 4 * kMib, size_t{0}, handle, 0ull);
  Try("memset without access", "cuMemsetD8_v2", at, static_cast<unsigned char>(1), size_t{16});
  struct {
    int place = 1, device = 0, flags = 3;
  } access;
  Try("access", "cuMemSetAccess", at, 4 * kMib, static_cast<const void*>(&access), size_t{1});
  Try("memset", "cuMemsetD8_v2", at, static_cast<unsigned char>(1), size_t{16});
  Try("release", "cuMemRelease", handle);
  Say("still taken KiB", before - FreeKib());
  Try("free reserved", "cuMemAddressFree", at, 8 * kMib);
  Try("unmap", "cuMemUnmap", at, 4 * kMib);
  Say("then taken KiB", before - FreeKib());
  Try("free", "cuMemAddressFree", at, 8 * kMib);
  Try("release again", "cuMemRelease", handle);
}

void Arrays() {
  Context();
  struct {
    size_t width = 1024, height = 1024;
    int format = 0x20;
    unsigned channels = 1;
  } shape;
  const void* given = &shape;
  Handle array = nullptr;
  Try("create", "cuArrayCreate_v2", &array, given);
  Try("destroy", "cuArrayDestroy", array);
  shape.channels = 3;
  Try("three channels", "cuArrayCreate_v2", &array, given);
  shape.channels = 1;
  shape.width = 0;
  Try("no width", "cuArrayCreate_v2", &array, given);
}

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

struct MemsetNode {
  Address to;
  size_t pitch;
  unsigned value, element;
  size_t width, height;
};

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

void Images() {
  Context();
  Handle module = nullptr;
  const void* noise = "this is not a program, but it is long enough to be read as one";
  Try("noise", "cuModuleLoadData", &module, noise);
  const void* nothing = nullptr;
  Try("null", "cuModuleLoadData", &module, nothing);
  Try("no file", "cuModuleLoad", &module, "/nonexistent");
  Handle function = nullptr;
  const void* text = kPtx;
  Try("load", "cuModuleLoadData", &module, text);
  Try("no such name", "cuModuleGetFunction", &function, module, "absent");
  Try("name", "cuModuleGetFunction", &function, module, "sluice_sleep_us");
  void** none = nullptr;
  Handle stream = nullptr;
  uint64_t us = 1;
  void* arguments[] = {&us};
  Try("no grid",
      "cuLaunchKernel",
      function,
      0u,
      1u,
      1u,
      1u,
      1u,
      1u,
      0u,
      stream,
      &arguments[0],
      none);
  Try("wide block",
      "cuLaunchKernel",
      function,
      1u,
      1u,
      1u,
      2048u,
      1u,
      1u,
      0u,
      stream,
      &arguments[0],
      none);
}

void LookUp() {
  Call("cuInit", 0u);
  void* address = nullptr;
  int status = -1;
  uint64_t flags = 0;
  auto ask = [&](const char* what, const char* name, int version, uint64_t how, const char* same) {
    address = nullptr;
    status = -1;
    Try(what, "cuGetProcAddress_v2", name, &address, version, how, &status);
    Say("status", status);
    Say("is it", same != nullptr ? address == ::dlsym(g_driver, same) : address == nullptr);
  };
  ask("old alloc", "cuMemAlloc", 2000, flags, "cuMemAlloc");
  ask("alloc", "cuMemAlloc", 12000, flags, "cuMemAlloc_v2");
  ask("unknown", "cuOfNoDriver", 12000, flags, nullptr);
  ask("too old", "cuMemAllocAsync", 10000, flags, nullptr);
  ask("per thread", "cuMemAllocAsync", 12000, 2, "cuMemAllocAsync_ptsz");
  ask("legacy", "cuMemAllocAsync", 12000, 1, "cuMemAllocAsync");
  ask("no per-thread form", "cuMemAlloc", 12000, 2, "cuMemAlloc_v2");
  ask("empty", "", 0, flags, nullptr);
  ask("itself", "cuGetProcAddress", 11030, flags, "cuGetProcAddress");
  ask("itself newer", "cuGetProcAddress", 12000, flags, "cuGetProcAddress_v2");
}

void Ipc() {
  Context();
  Address a = 0;
  Call("cuMemAlloc_v2", &a, 4 * kMib);
  struct {
    char bytes[64];
  } handle{};
  Try("get", "cuIpcGetMemHandle", &handle, a);
  Address b = 0;
  Try("open in the same process", "cuIpcOpenMemHandle_v2", &b, handle, 1u);
  Try("of host memory", "cuIpcGetMemHandle", &handle, Address{4096});
}

void Checkpoint() {
  Context();
  int state = -1;
  int pid = ::getpid();
  void* none = nullptr;
  if (!Try("state", "cuCheckpointProcessGetState", pid, &state)) return;
  Say("is", state);
  Try("unlock unlocked", "cuCheckpointProcessUnlock", pid, none);
  Try("checkpoint unlocked", "cuCheckpointProcessCheckpoint", pid, none);
  Try("restore unlocked", "cuCheckpointProcessRestore", pid, none);
  Try("of no such process", "cuCheckpointProcessGetState", 999'999'999, &state);
}

void Sticky() {
  Context();
  Handle module = nullptr;
  Handle function = nullptr;
  const void* text =
      ".version 6.0\n.target sm_52\n.address_size 64\n"
      ".visible .entry sluice_fill(.param .u64 a, .param .u32 v, .param .u64 n) {\n"
      ".reg .u64 %a; .reg .u32 %v;\nld.param.u64 %a, [a]; ld.param.u32 %v, [v];\n"
      "st.global.u32 [%a], %v;\nret;\n}\n";
  Try("load", "cuModuleLoadData", &module, text);
  Call("cuModuleGetFunction", &function, module, "sluice_fill");
  Address wild = 4096;
  uint32_t value = 1;
  uint64_t count = 1;
  void* arguments[] = {&wild, &value, &count};
  void** none = nullptr;
  Handle stream = nullptr;
  Try("launch",
      "cuLaunchKernel",
      function,
      1u,
      1u,
      1u,
      1u,
      1u,
      1u,
      0u,
      stream,
      &arguments[0],
      none);
  Try("synchronize", "cuCtxSynchronize");
  Try("alloc", "cuMemAlloc_v2", &wild, kMib);
  Try("query", "cuStreamQuery", stream);
}

struct Case {
  const char* name;
  void (*run)();
};

constexpr Case kCases[] = {
    {"before init", BeforeInit},
    {"without context", WithoutContext},
    {"after fork", AfterFork},
    {"destroyed context", DestroyedContext},
    {"sizes", Sizes},
    {"granules", Granules},
    {"pools", Pools},
    {"mappings", Mappings},
    {"arrays", Arrays},
    {"events", Events},
    {"times", Times},
    {"order", Order},
    {"capture", Capture},
    {"graphs", Graphs},
    {"images", Images},
    {"look-up", LookUp},
    {"ipc", Ipc},
    {"checkpoint", Checkpoint},
    {"sticky", Sticky},
};

std::string RunCase(const Case& each, const char* path) {
  int ends[2];
  if (::pipe(ends) != 0) return "pipe\t1\n";
  pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    ::alarm(60);
    g_out = ::fdopen(ends[1], "w");
    g_driver = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (g_driver == nullptr) {
      Say("cannot be loaded", 1);
    } else {
      each.run();
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(ends[0], buffer, sizeof(buffer))) > 0) {
    said.append(buffer, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) said += "ended by signal\t" + std::to_string(WTERMSIG(status)) + "\n";
  return said;
}

// {"case": …, "answers": [["what", number], …]}. No text in it needs escaping.
void Print(const char* name, const std::string& said) {
  std::printf("{\"case\": \"%s\", \"answers\": [", name);
  const char* separator = "";
  for (size_t at = 0; at < said.size();) {
    size_t end = said.find('\n', at);
    size_t tab = said.find('\t', at);
    if (end == std::string::npos || tab == std::string::npos) break;
    std::printf("%s[\"%s\", %s]",
                separator,
                said.substr(at, tab - at).c_str(),
                said.substr(tab + 1, end - tab - 1).c_str());
    separator = ", ";
    at = end + 1;
  }
  std::printf("]}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: conformance LIBCUDA\n");
    return 2;
  }
  for (const Case& each : kCases) Print(each.name, RunCase(each, arguments[1]));
  return 0;
}
