// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

// What a driver answers about programs: contexts, code, look-up, being suspended.
namespace sluice::gpu {
namespace {

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
  std::fflush(stdout);
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
  uint64_t us = 1;
  void* arguments[] = {&us};
  Say("no grid", Start({.function = function, .arguments = arguments, .blocks = 0}));
  Say("wide block", Start({.function = function, .arguments = arguments, .threads = 2048}));
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
    Say("is it", same != nullptr ? address == ::dlsym(Driver(), same) : address == nullptr);
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

}  // namespace

const std::vector<Case>& StateCases() {
  static const std::vector<Case> cases = {
      {"before init", BeforeInit},
      {"without context", WithoutContext},
      {"after fork", AfterFork},
      {"destroyed context", DestroyedContext},
      {"images", Images},
      {"look-up", LookUp},
      {"checkpoint", Checkpoint},
  };
  return cases;
}

}  // namespace sluice::gpu
