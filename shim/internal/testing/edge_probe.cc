// SPDX-License-Identifier: Apache-2.0
// A program that asks the driver for what it should not, and looks at what that does to itself.
// clang-format off
//
//   zeroes         every answered call with zeroes for all arguments: how many there were
//   sizes          allocations of sizes that no card has: the names of those that were granted, "end"
//   many COUNT     so many small blocks at once, then none: the first code that is not 0, or 0
//   errno          calls that succeed, are refused and fail: what has changed errno, "end"
//   host           the same: what has changed of the process that it runs in, "end"
//   signals        allocations under a timer's signals: codes that are not 0, and whether any came
//   dying          a thread ends inside an allocation; another allocates: the code; waits
//   lookups        looked up by name, version and stream: what differs, "end"
//   peers          whether cards reach each other, as the driver says, and as the look-up does
//   on-second SIZE memory of the second card while the first is in use: the code; waits
//   no-card        memory of a card that there is not: the code
//   capture-info   free memory before, in and after a capture that allocates
//   begin          cuInit, and an allocation: the codes
//   pools          four threads fill pools, give half of it back and fill them again: "filled"; waits
//   nulls          cuMemGetInfo without places for its answers: the codes
// clang-format on
#include <atomic>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <errno.h>
#include <functional>
#include <sched.h>
#include <signal.h>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "shim/internal/testing/routes.h"

namespace sluice::shim {
namespace {

constexpr const char* kAnswered[] = {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) #symbol,
#define NVML_CALL(symbol, handler, roles, count, types) #symbol,
#include "shim/calls.def"
};

void Say(const std::string& line) {
  printf("%s\n", line.c_str());
  fflush(stdout);
}

void AwaitEnd() {
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

void Zeroes() {
  void* const nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW);
  reinterpret_cast<int (*)()>(dlsym(nvml, "nvmlInit_v2"))();
  using Call = int64_t (*)(int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t,
                           int64_t);
  int count = 0;
  for (const char* symbol : kAnswered) {
    Start();
    void* const found = symbol[0] == 'n' ? dlsym(nvml, symbol) : Find(symbol, symbol, 0);
    if (found != nullptr) {
      reinterpret_cast<Call>(found)(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
      ++count;
    }
  }
  Say(std::to_string(count));
}

struct Attempt {
  const char* name;
  CUresult (*ask)();
};

CUresult Array3D(Size width, Size height, Size depth, unsigned levels) {
  CUarray array = nullptr;
  CUmipmappedArray mipmapped = nullptr;
  const ArrayDescriptor3D shape = {width, height, depth, 0x20, 4, 0};
  const ArrayDescriptor3D* const pointer = &shape;
  return levels == 0 ? Ask("cuArray3DCreate_v2", &array, pointer)
                     : Ask("cuMipmappedArrayCreate", &mipmapped, pointer, levels);
}

CUresult Pitch(Size width, Size height) {
  CUdeviceptr block = 0;
  Size pitch = 0;
  return Ask("cuMemAllocPitch_v2", &block, &pitch, width, height, 4U);
}

template <typename... A>
CUresult Take(const char* symbol, A... arguments) {
  CUdeviceptr block = 0;
  return Ask(symbol, &block, arguments...);
}

constexpr Size kMost = SIZE_MAX;
const Attempt kAttempts[] = {
    {"alloc 0", [] { return Take("cuMemAlloc_v2", Size{0}); }},
    {"alloc most", [] { return Take("cuMemAlloc_v2", kMost); }},
    {"alloc signed", [] { return Take("cuMemAlloc_v2", kMost / 2 + 1); }},
    {"historic 0", [] { return Take("cuMemAlloc", 0U); }},
    {"managed 0", [] { return Take("cuMemAllocManaged", Size{0}, 1U); }},
    {"managed most", [] { return Take("cuMemAllocManaged", kMost, 1U); }},
    {"async 0", [] { return Take("cuMemAllocAsync", Size{0}, CUstream{}); }},
    {"async most", [] { return Take("cuMemAllocAsync", kMost, CUstream{}); }},
    {"pitch 0", [] { return Pitch(0, 0); }},
    {"pitch of most width", [] { return Pitch(kMost, 1); }},
    {"pitch of most height", [] { return Pitch(1, kMost); }},
    {"pitch that wraps to little", [] { return Pitch(Size{1} << 32, (Size{1} << 32) + 1); }},
    {"pitch whose row wraps", [] { return Pitch(kMost - 100, 2); }},
    {"array of most", [] { return Array3D(kMost, kMost, kMost, 0); }},
    {"array that wraps to little",
     [] { return Array3D(Size{1} << 30, Size{1} << 30, (Size{1} << 30) + 1, 0); }},
    {"mipmapped of most", [] { return Array3D(kMost, kMost, kMost, UINT32_MAX); }},
    {"handle of most",
     [] {
       AllocationProperties properties = {};
       properties.type = 1;
       properties.location = {kLocationDevice, 0};
       const AllocationProperties* const pointer = &properties;
       return Take("cuMemCreate", kMost, pointer, uint64_t{0});
     }},
};

void Sizes() {
  Start();
  for (const Attempt& attempt : kAttempts) {
    if (attempt.ask() == kSuccess) {
      Say(attempt.name);
    }
  }
  Say("end");
}

void Many(Size count) {
  Start();
  std::vector<CUdeviceptr> blocks(count);
  CUresult result = kSuccess;
  for (CUdeviceptr& block : blocks) {
    const CUresult one = Ask("cuMemAlloc_v2", &block, Size{512});
    result = result == kSuccess ? one : result;
  }
  for (const CUdeviceptr block : blocks) {
    const CUresult one = Ask("cuMemFree_v2", block);
    result = result == kSuccess ? one : result;
  }
  Say(std::to_string(result));
  AwaitEnd();
}

// Each call in a program's life, well and badly.
const Attempt kLife[] = {
    {"start", [] { return Start() == nullptr ? 1 : kSuccess; }},
    {"alloc", [] { return Ask("cuMemAlloc_v2", &held.block, kMib); }},
    {"free", [] { return Ask("cuMemFree_v2", held.block); }},
    {"refused", [] { return Take("cuMemAlloc_v2", Size{10} << 30); }},
    {"failed", [] { return Ask("cuMemFree_v2", CUdeviceptr{0x1234567}); }},
    {"pooled", [] { return Ask("cuMemAllocAsync", &held.block, kMib, CUstream{}); }},
    {"given back", [] { return Ask("cuMemFreeAsync", held.block, CUstream{}); }},
    {"refused by the pool", [] { return Take("cuMemAllocAsync", Size{10} << 30, CUstream{}); }},
    {"waited", [] { return Ask("cuCtxSynchronize"); }},
    {"looked",
     [] {
       Size free_bytes = 0;
       Size total = 0;
       return Ask("cuMemGetInfo_v2", &free_bytes, &total);
     }},
};

void Errno() {
  constexpr int kMine = 4242;
  Start();  // What the driver does first is its own affair.
  for (const Attempt& step : kLife) {
    errno = kMine;
    step.ask();
    if (errno != kMine) {
      Say(std::string(step.name) + " " + std::to_string(errno));
    }
  }
  Say("end");
}

struct HostState {
  mode_t mask;
  struct sigaction actions[NSIG];
  struct rlimit limits[RLIM_NLIMITS];
  sigset_t blocked;
  std::string locale;
  std::string folder;
};

HostState LookAtHost() {
  HostState state = {};
  state.mask = umask(0);
  umask(state.mask);
  for (int i = 1; i < NSIG; ++i) {
    sigaction(i, nullptr, &state.actions[i]);
  }
  for (int i = 0; i < RLIM_NLIMITS; ++i) {
    getrlimit(static_cast<__rlimit_resource_t>(i), &state.limits[i]);
  }
  sigprocmask(SIG_SETMASK, nullptr, &state.blocked);
  state.locale = setlocale(LC_ALL, nullptr);
  char path[4096] = {};
  state.folder = getcwd(path, sizeof(path));
  return state;
}

void Host() {
  umask(027);
  const HostState before = LookAtHost();
  for (const Attempt& step : kLife) {
    step.ask();
  }
  const HostState after = LookAtHost();
  if (before.mask != after.mask) Say("umask");
  for (int i = 1; i < NSIG; ++i) {
    if (before.actions[i].sa_handler != after.actions[i].sa_handler) Say("handler");
  }
  if (memcmp(before.limits, after.limits, sizeof(before.limits)) != 0) Say("limits");
  if (memcmp(&before.blocked, &after.blocked, sizeof(before.blocked)) != 0) Say("blocked signals");
  if (before.locale != after.locale) Say("locale");
  if (before.folder != after.folder) Say("folder");
  Say("end");
}

std::atomic<int> alarms{0};

void Signals() {
  Start();
  struct sigaction action = {};
  action.sa_handler = [](int) { alarms.fetch_add(1); };  // Without SA_RESTART.
  sigaction(SIGALRM, &action, nullptr);
  const itimerval often = {{0, 200}, {0, 200}};
  setitimer(ITIMER_REAL, &often, nullptr);
  int bad = 0;
  for (int i = 0; i < 2000 || alarms == 0; ++i) {
    CUdeviceptr block = 0;
    const bool pooled = i % 2 == 0;
    bad += (pooled ? Ask("cuMemAllocAsync", &block, 2 * kMib, CUstream{})
                   : Ask("cuMemAlloc_v2", &block, 2 * kMib)) != kSuccess;
    bad += Ask("cuMemFree_v2", block) != kSuccess;
    bad += i % 100 == 0 && Take("cuMemAlloc_v2", Size{10} << 30) != kOutOfMemory;
  }
  Say(std::to_string(bad));
}

// In front of the tiny driver: once it is charged, the thread is inside the driver's call.
void Dying() {
  signal(SIGUSR1, [](int) { syscall(SYS_exit, 0); });
  std::atomic<pid_t> number{0};
  auto allocate = reinterpret_cast<CUresult (*)(CUdeviceptr*, Size)>(
      Find("cuMemAlloc_v2", "cuMemAlloc", 13000));
  Ask("cuInit", 0U);
  std::thread([&number, allocate] {
    CUdeviceptr block = 0;
    number = static_cast<pid_t>(syscall(SYS_gettid));
    allocate(&block, kEndless);
  }).detach();
  // Not before: a thread that is ended while it holds a lock of the interposer keeps it.
  const auto waits =
      reinterpret_cast<int (*)()>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "TinyDriverWaits"));
  while (waits() == 0) {
    sched_yield();
  }
  const std::string task = "/proc/self/task/" + std::to_string(number.load());
  syscall(SYS_tgkill, getpid(), number.load(), SIGUSR1);
  while (access(task.c_str(), F_OK) == 0) {
    sched_yield();
  }
  CUdeviceptr block = 0;
  const CUresult taken = allocate(&block, 2 * kMib);
  Say(std::to_string(taken != kSuccess ? taken : Ask("cuMemFree_v2", block)));
  AwaitEnd();
}

// Blocks of 1 KiB to 48 MiB, until one is refused; what is given back leaves holes everywhere.
void FillPool(unsigned seed) {
  Start();
  CUmemoryPool pool = nullptr;
  uint64_t threshold = UINT64_MAX;
  Ask("cuDeviceGetDefaultMemPool", &pool, card);
  Ask("cuMemPoolSetAttribute", pool, 4, static_cast<void*>(&threshold));
  std::vector<CUdeviceptr> blocks;
  for (int round = 0; round < 4; ++round) {
    CUresult result = kSuccess;
    for (int i = 0; i < 400 && result == kSuccess; ++i) {
      seed = seed * 1103515245 + 12345;
      const Size bytes = seed % 4 == 0 ? (seed >> 8) % (48 * kMib) + 1 : (seed >> 8) % kMib + 1024;
      CUdeviceptr block = 0;
      result = Ask("cuMemAllocAsync", &block, bytes, CUstream{});
      if (result == kSuccess) {
        blocks.push_back(block);
      }
    }
    for (Size i = 0; i < blocks.size(); ++i) {
      Ask("cuMemFreeAsync", blocks[i], CUstream{});
      blocks[i] = blocks.back();
      blocks.pop_back();
    }
    Ask("cuStreamSynchronize", CUstream{});
  }
}

void Begin() {
  const CUresult begun = Ask("cuInit", 0U);
  CUcontext context = nullptr;
  CUdeviceptr block = 0;
  if (Ask("cuDevicePrimaryCtxRetain", &context, 0) == kSuccess) {
    Ask("cuCtxSetCurrent", context);
  }
  Say(std::to_string(begun) + " " + std::to_string(Ask("cuMemAlloc_v2", &block, 2 * kMib)));
}

void Pools() {
  Start();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back(FillPool, i);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  Say("filled");
  AwaitEnd();
}

// The version asked for is the version given, and the stream mode, too.
void Lookups() {
  struct Row {
    const char* symbol;
    const char* name;
    int version;
    uint64_t flags;
  };
  constexpr Row kRows[] = {
      {"cuMemAlloc", "cuMemAlloc", 2000, 0},
      {"cuMemAlloc_v2", "cuMemAlloc", 3020, 0},
      {"cuMemAlloc_v2", "cuMemAlloc", 13000, 0},
      {"cuMemGetInfo", "cuMemGetInfo", 2000, 0},
      {"cuMemGetInfo_v2", "cuMemGetInfo", 12000, 0},
      {"cuGraphInstantiate", "cuGraphInstantiate", 10000, 0},
      {"cuLaunchKernel", "cuLaunchKernel", 7000, 0},
      {"cuLaunchKernel_ptsz", "cuLaunchKernel", 7000, 2},
      {"cuMemAllocAsync_ptsz", "cuMemAllocAsync", 11020, 2},
  };
  Start();
  for (const Row& row : kRows) {
    void* found = nullptr;
    int status = -1;
    Ask("cuGetProcAddress_v2", row.name, &found, row.version, row.flags, &status);
    if (found == nullptr || found != Find(row.symbol, row.name, row.version) || status != 0) {
      Say(std::string(row.symbol) + " " + std::to_string(row.version));
    }
  }
  Say("end");
}

void Peers() {
  Start();
  int reach = -1;
  void* found = nullptr;
  int status = -1;
  const CUresult result = Ask("cuDeviceCanAccessPeer", &reach, 0, 1);
  Ask("cuGetProcAddress_v2", "cuDeviceCanAccessPeer", &found, 13000, uint64_t{0}, &status);
  Dl_info where = {};
  dladdr(found, &where);
  const bool drivers = strstr(where.dli_fname, "libcuda.so") != nullptr;
  Say(std::to_string(result) + " " + std::to_string(reach) + (drivers ? " driver" : " other"));
}

void OnSecond(Size bytes) {
  Start();
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, 1};
  const AllocationProperties* const pointer = &properties;
  Say(std::to_string(Ask("cuMemCreate", &held.handle, bytes, pointer, uint64_t{0})));
  AwaitEnd();
}

void NoCard() {
  Start();
  card = 99;
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, card};
  const AllocationProperties* const pointer = &properties;
  Say(std::to_string(Ask("cuMemCreate", &held.handle, 2 * kMib, pointer, uint64_t{0})));
}

void CaptureInfo() {
  Start();
  CUstream stream = nullptr;
  CUgraph graph = nullptr;
  CUdeviceptr block = 0;
  std::string line;
  auto look = [&line] {
    Size free_bytes = 0;
    Size total = 0;
    Ask("cuMemGetInfo_v2", &free_bytes, &total);
    line += std::to_string(free_bytes / kMib) + " ";
  };
  look();
  Ask("cuStreamCreate", &stream, 1U);
  Ask("cuStreamBeginCapture_v2", stream, 2);
  const CUresult taken = Ask("cuMemAllocAsync", &block, 100 * kMib, stream);
  look();
  Ask("cuMemFreeAsync", block, stream);
  const CUresult ended = Ask("cuStreamEndCapture", stream, &graph);
  look();
  Say(line + std::to_string(taken) + " " + std::to_string(ended));
}

void Nulls() {
  Start();
  Size free_bytes = 0;
  Size* const none = nullptr;
  Say(std::to_string(Ask("cuMemGetInfo_v2", none, none)) + " " +
      std::to_string(Ask("cuMemGetInfo_v2", &free_bytes, none)) + " " +
      std::to_string(Ask("cuMemGetInfo_v2", none, &free_bytes)));
}

}  // namespace
}  // namespace sluice::shim

int main(int argc, char** argv) {
  using namespace sluice::shim;
  struct Verb {
    const char* name;
    void (*act)(Size);
  };
  static constexpr Verb kVerbs[] = {
      {"zeroes", [](Size) { Zeroes(); }},
      {"sizes", [](Size) { Sizes(); }},
      {"many", Many},
      {"errno", [](Size) { Errno(); }},
      {"host", [](Size) { Host(); }},
      {"signals", [](Size) { Signals(); }},
      {"dying", [](Size) { Dying(); }},
      {"lookups", [](Size) { Lookups(); }},
      {"peers", [](Size) { Peers(); }},
      {"on-second", OnSecond},
      {"no-card", [](Size) { NoCard(); }},
      {"capture-info", [](Size) { CaptureInfo(); }},
      {"begin", [](Size) { Begin(); }},
      {"pools", [](Size) { Pools(); }},
      {"nulls", [](Size) { Nulls(); }},
  };
  for (const Verb& verb : kVerbs) {
    if (argc > 1 && strcmp(verb.name, argv[1]) == 0) {
      verb.act(argc > 2 ? strtoull(argv[2], nullptr, 10) : 0);
      return 0;
    }
  }
  return 64;
}
