// SPDX-License-Identifier: Apache-2.0
// One measurement of the shim bench, in a process of its own: prints one number.
//   worker pair LIVE | info | unhooked | copy    ns per turn
//   worker launch | launchsync BLOCKS WARM_MS    ns per turn, after so long of launching now and
//   then worker huge                            2 TiB at once: the code worker first CPU time of
//   the first use, in ns
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <string>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

namespace {

using Pointer = unsigned long long;

void* Find(const char* name) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  void* const found = library == nullptr ? nullptr : dlsym(library, name);
  if (found == nullptr) {
    fprintf(stderr, "worker: no %s\n", name);
    exit(1);
  }
  return found;
}

template <typename... A>
int Ask(const char* name, A... arguments) {
  return reinterpret_cast<int (*)(A...)>(Find(name))(arguments...);
}

// A launch by name whose grid, block and shared memory have the types of `shape`.
template <typename... Shape>
auto LaunchOf(const char* name, Shape...) {
  return reinterpret_cast<int (*)(void*, Shape..., void*, void**, void**)>(Find(name));
}

int64_t Clock(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

void Start() {
  void* context = nullptr;
  if (Ask("cuInit", 0U) != 0 || Ask("cuDevicePrimaryCtxRetain", &context, 0) != 0 ||
      Ask("cuCtxSetCurrent", context) != 0) {
    exit(2);
  }
}

template <typename Turn>
double PerTurn(Turn turn) {
  constexpr int kTurns = 300'000;
  for (int i = 0; i < kTurns / 10; ++i) {
    turn();
  }
  const int64_t begin = Clock(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < kTurns; ++i) {
    turn();
  }
  return static_cast<double>(Clock(CLOCK_THREAD_CPUTIME_ID) - begin) / kTurns;
}

double Pair(int live) {
  auto alloc = reinterpret_cast<int (*)(Pointer*, size_t)>(Find("cuMemAlloc_v2"));
  auto release = reinterpret_cast<int (*)(Pointer)>(Find("cuMemFree_v2"));
  constexpr size_t kBytes = 4096;
  Pointer block = 0;
  for (int i = 0; i < live; ++i) {
    if (alloc(&block, kBytes) != 0) {
      exit(3);
    }
  }
  return PerTurn([&] {
    if (alloc(&block, kBytes) != 0 || release(block) != 0) {
      exit(3);
    }
  });
}

double First() {
  const int64_t begin = Clock(CLOCK_PROCESS_CPUTIME_ID);
  Start();
  Pointer block = 0;
  if (Ask("cuMemAlloc_v2", &block, size_t{4096}) != 0) {
    exit(3);
  }
  return static_cast<double>(Clock(CLOCK_PROCESS_CPUTIME_ID) - begin);
}

double Info() {
  auto info = reinterpret_cast<int (*)(size_t*, size_t*)>(Find("cuMemGetInfo_v2"));
  size_t free_bytes = 0;
  size_t total = 0;
  return PerTurn([&] { info(&free_bytes, &total); });
}

double Unhooked() {
  auto count = reinterpret_cast<int (*)(int*)>(Find("cuDeviceGetCount"));
  int found = 0;
  return PerTurn([&] { count(&found); });
}

// Small enough to be no work of its own.
double SmallCopy() {
  auto copy =
      reinterpret_cast<int (*)(Pointer, Pointer, size_t, void*)>(Find("cuMemcpyDtoDAsync_v2"));
  return PerTurn([&] { copy(Pointer{1} << 40, Pointer{1} << 41, size_t{4096}, nullptr); });
}

double Launch(bool synchronize, unsigned blocks, int warm_ms) {
  int function = 0;
  void* const at = &function;
  const auto launch = [=, call = LaunchOf("cuLaunchKernel", blocks, 1U, 1U, 256U, 1U, 1U, 0U)] {
    return call(at, blocks, 1, 1, 256, 1, 1, 0, nullptr, nullptr, nullptr);
  };
  const auto wait = reinterpret_cast<int (*)(void*)>(Find("cuStreamSynchronize"));
  // Whoever watches from a thread of its own has begun by then.
  for (int i = 0; i < warm_ms; ++i) {
    launch();
    usleep(1000);
  }
  return PerTurn([&] {
    if (launch() != 0 || (synchronize && wait(nullptr) != 0)) {
      exit(3);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "first") {
    printf("%.1f\n", First());
    return 0;
  }
  Start();
  if (what == "huge") {
    Pointer block = 0;
    printf("%d\n", Ask("cuMemAlloc_v2", &block, size_t{2} << 40));
    return 0;
  }
  const int first = argc > 2 ? atoi(argv[2]) : 0;
  const int second = argc > 3 ? atoi(argv[3]) : 0;
  const bool launches = what.starts_with("launch");
  const double value = what == "pair"   ? Pair(first)
                       : what == "info" ? Info()
                       : launches
                           ? Launch(what == "launchsync", static_cast<unsigned>(first), second)
                       : what == "copy" ? SmallCopy()
                                        : Unhooked();
  printf("%.2f\n", value);
  return 0;
}
