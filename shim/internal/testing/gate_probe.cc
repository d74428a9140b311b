// SPDX-License-Identifier: Apache-2.0
// A program that puts work on a card when it is told to, for tests of the compute gate. It reads
// one command a line and answers each with one line:
//
//   forms                    the names of all forms of work, with blanks between
//   do FORM COUNT US         work of that form, kernels of so many microseconds: the last code
//   keep FORM US MS SYNC     work of that form for so many milliseconds, waited for after each SYNC
//                            launches (0: never, but at the end): how many were launched
//   capture MODE COUNT US    launches in a capture of that mode (0, 1, 2): the last code
//   sync | syncctx | query   the code
//   thread FORM US           the same as `do` once, in a thread of its own: "started", later "done"
//   die                      ends that thread where it stands: "died"
//   fork FORM                a child does it: the child's code
//   release                  retains and releases the context: the code
//   both US                  one cooperative launch on the first card and the second: the code
//   watch                    whether the gate's thread is there: 0, 1
//   leave                    ends the program: "still" when the gate's thread rests while the
//                            driver would be torn down, "moving" when it goes on, "none" without it
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <dlfcn.h>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "shim/internal/abi.h"

namespace sluice::shim {
namespace {

template <typename... A>
CUresult Ask(const char* symbol, A... arguments) {
  void* const found = dlsym(RTLD_DEFAULT, symbol);
  return found == nullptr ? 500 : reinterpret_cast<CUresult (*)(A...)>(found)(arguments...);
}

constexpr char kPtx[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry sluice_sleep_us(.param .u64 a) { ret; }\n"
    ".visible .entry of_no_known_name() { ret; }\n";
constexpr size_t kCopyBytes = size_t{4} << 20;

CUcontext context = nullptr;
CUfunction sleeper = nullptr;
CUfunction plain = nullptr;
CUstream stream = nullptr;
CUgraphExec exec = nullptr;
CUdeviceptr block = 0;
std::vector<char> host(kCopyBytes);

CUresult Kernel(const char* symbol, CUstream on, uint64_t us, unsigned grid = 1) {
  void* arguments[] = {&us};
  void** const none = nullptr;
  return Ask(
      symbol, sleeper, grid, grid, 1U, 1U, 1U, 1U, 0U, on, static_cast<void**>(arguments), none);
}

CUresult Cooperative(const char* symbol, uint64_t us) {
  void* arguments[] = {&us};
  return Ask(symbol, sleeper, 1U, 1U, 1U, 1U, 1U, 1U, 0U, stream, static_cast<void**>(arguments));
}

CUresult Configured(const char* symbol, uint64_t us) {
  void* arguments[] = {&us};
  void** const none = nullptr;
  const LaunchConfig config = {{1, 1, 1}, {1, 1, 1}, 0, stream, nullptr, 0};
  return Ask(symbol, &config, sleeper, static_cast<void**>(arguments), none);
}

CUresult OnCards(uint64_t us) {
  void* arguments[] = {&us};
  LaunchParams params = {sleeper, {1, 1, 1}, {1, 1, 1}, 0, stream, arguments};
  return Ask("cuLaunchCooperativeKernelMultiDevice", &params, 1U, 0U);
}

struct Form {
  const char* name;
  CUresult (*work)(uint64_t us);
};
const Form kForms[] = {
    {"kernel", [](uint64_t us) { return Kernel("cuLaunchKernel", stream, us); }},
    {"kernel_wide", [](uint64_t us) { return Kernel("cuLaunchKernel", stream, us, 65535); }},
    {"kernel_default", [](uint64_t us) { return Kernel("cuLaunchKernel", nullptr, us); }},
    {"kernel_ptsz", [](uint64_t us) { return Kernel("cuLaunchKernel_ptsz", nullptr, us); }},
    {"ex", [](uint64_t us) { return Configured("cuLaunchKernelEx", us); }},
    {"ex_ptsz", [](uint64_t us) { return Configured("cuLaunchKernelEx_ptsz", us); }},
    {"cooperative", [](uint64_t us) { return Cooperative("cuLaunchCooperativeKernel", us); }},
    {"cooperative_ptsz",
     [](uint64_t us) { return Cooperative("cuLaunchCooperativeKernel_ptsz", us); }},
    {"cards", OnCards},
    {"oldest", [](uint64_t) { return Ask("cuLaunch", plain); }},
    {"old", [](uint64_t) { return Ask("cuLaunchGrid", plain, 1, 1); }},
    {"old_async", [](uint64_t) { return Ask("cuLaunchGridAsync", plain, 1, 1, stream); }},
    {"graph", [](uint64_t) { return Ask("cuGraphLaunch", exec, stream); }},
    {"graph_ptsz", [](uint64_t) { return Ask("cuGraphLaunch_ptsz", exec, stream); }},
    {"copy_in",
     [](uint64_t) {
       return Ask("cuMemcpyHtoD_v2", block, static_cast<const void*>(host.data()), kCopyBytes);
     }},
    {"copy_in_async",
     [](uint64_t) {
       const void* const from = host.data();
       return Ask("cuMemcpyHtoDAsync_v2", block, from, kCopyBytes, stream);
     }},
    {"copy_out",
     [](uint64_t) {
       return Ask("cuMemcpyDtoH_v2", static_cast<void*>(host.data()), block, kCopyBytes);
     }},
    {"copy_within",
     [](uint64_t) {
       return Ask("cuMemcpyDtoDAsync_v2", block, block + kCopyBytes, kCopyBytes, stream);
     }},
    {"copy_any",
     [](uint64_t) {
       return Ask("cuMemcpyAsync_ptsz", block, block + kCopyBytes, kCopyBytes, stream);
     }},
    {"fill", [](uint64_t) { return Ask("cuMemsetD32Async", block, 7U, kCopyBytes / 4, stream); }},
};

CUresult Do(const std::string& form, int count, uint64_t us) {
  CUresult result = 500;
  for (const Form& row : kForms) {
    for (int i = 0; form == row.name && i < count; ++i) {
      result = row.work(us);
    }
  }
  return result;
}

long Keep(const std::string& form, uint64_t us, int64_t ms, int64_t sync) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  long count = 0;
  while (std::chrono::steady_clock::now() < end && Do(form, 1, us) == kSuccess) {
    if (++count; sync > 0 && count % sync == 0) {
      Ask("cuCtxSynchronize");
    }
  }
  return Ask("cuCtxSynchronize") == kSuccess ? count : -1;
}

CUresult Capture(int mode, int count, uint64_t us) {
  CUgraph graph = nullptr;
  CUresult result = Ask("cuStreamBeginCapture_v2", stream, mode);
  for (int i = 0; i < count && result == kSuccess; ++i) {
    result = Kernel("cuLaunchKernel", stream, us);
  }
  const CUresult ended = Ask("cuStreamEndCapture", stream, &graph);
  if (result == kSuccess && ended == kSuccess && exec == nullptr) {
    result = Ask("cuGraphInstantiateWithFlags", &exec, graph, uint64_t{0});
  }
  return result != kSuccess ? result : ended;
}

// Everything that the forms need. Under a closed gate this waits for nothing.
bool Start() {
  CUdevice device = 0;
  void* module = nullptr;
  const void* const text = kPtx;
  return dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) != nullptr && Ask("cuInit", 0U) == 0 &&
         Ask("cuDeviceGet", &device, 0) == 0 &&
         Ask("cuDevicePrimaryCtxRetain", &context, device) == 0 &&
         Ask("cuCtxSetCurrent", context) == 0 && Ask("cuModuleLoadData", &module, text) == 0 &&
         Ask("cuModuleGetFunction", &sleeper, module, "sluice_sleep_us") == 0 &&
         Ask("cuModuleGetFunction", &plain, module, "of_no_known_name") == 0 &&
         Ask("cuStreamCreate", &stream, 1U) == 0 &&
         Ask("cuMemAlloc_v2", &block, 2 * kCopyBytes) == 0 && Capture(2, 3, 100) == 0;
}

std::atomic<pid_t> worker{0};

// A thread that ends without any of its functions returning.
void EndThread(int) {
  syscall(SYS_exit, 0);
}

void StartThread(const std::string& form, uint64_t us) {
  worker = 0;
  std::thread([form, us] {
    Ask("cuCtxSetCurrent", context);
    worker = static_cast<pid_t>(syscall(SYS_gettid));
    printf("done %d\n", Do(form, 1, us));
    fflush(stdout);
  }).detach();
}

bool IsThere(pid_t thread) {
  return access(("/proc/self/task/" + std::to_string(thread)).c_str(), F_OK) == 0;
}

std::string Die() {
  signal(SIGUSR1, EndThread);
  syscall(SYS_tgkill, getpid(), worker.load(), SIGUSR1);
  while (IsThere(worker)) {
    sched_yield();
  }
  return "died";
}

std::string Fork(const std::string& form) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(Do(form, 1, 10) & 0xff);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? std::to_string(WEXITSTATUS(status)) : "killed";
}

// One hold of several is let go of: the context lives on.
CUresult Release() {
  CUcontext same = nullptr;
  const CUresult result = Ask("cuDevicePrimaryCtxRetain", &same, 0);
  return result != kSuccess ? result : Ask("cuDevicePrimaryCtxRelease_v2", 0);
}

// One launch that is on two cards at once.
CUresult Both(uint64_t us) {
  static CUfunction functions[2] = {sleeper, nullptr};
  static CUstream streams[2] = {stream, nullptr};
  CUresult result = kSuccess;
  if (streams[1] == nullptr) {
    CUcontext second = nullptr;
    void* module = nullptr;
    const void* const text = kPtx;
    Ask("cuDevicePrimaryCtxRetain", &second, 1);
    Ask("cuCtxSetCurrent", second);
    Ask("cuModuleLoadData", &module, text);
    Ask("cuModuleGetFunction", &functions[1], module, "sluice_sleep_us");
    result = Ask("cuStreamCreate", &streams[1], 1U);
    Ask("cuCtxSetCurrent", context);
  }
  void* arguments[] = {&us};
  LaunchParams params[2] = {};
  for (int i = 0; i < 2; ++i) {
    params[i] = {functions[i], {1, 1, 1}, {1, 1, 1}, 0, streams[i], arguments};
  }
  LaunchParams* const list = params;
  return result != kSuccess ? result : Ask("cuLaunchCooperativeKernelMultiDevice", list, 2U, 0U);
}

// How often the gate's thread has slept, and 1; 0: there is none.
long GateSleeps() {
  long sleeps = 0;
  DIR* const folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) {
    const std::string path = std::string("/proc/self/task/") + entry->d_name;
    std::string name;
    std::ifstream(path + "/comm") >> name;
    std::ifstream status(path + "/status");
    for (std::string line; name == "sluice-gate" && std::getline(status, line);) {
      std::istringstream words(line);
      std::string key;
      if (words >> key; key == "voluntary_ctxt_switches:") {
        words >> sleeps;
        ++sleeps;
      }
    }
  }
  closedir(folder);
  return sleeps;
}

std::atomic<bool> leaves{false};

// Registered first, so it runs when the driver's own end would.
void SayHowGateRests() {
  if (!leaves) {
    return;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  long before = GateSleeps();
  bool still = before == 0;
  while (!still && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const long now = GateSleeps();
    still = now == before;
    before = now;
  }
  printf("%s\n", before == 0 ? "none" : still ? "still" : "moving");
  fflush(stdout);
}

std::string Answer(std::istringstream& words) {
  std::string verb;
  std::string form;
  words >> verb;
  int mode = 0;
  int count = 1;
  uint64_t us = 10;
  if (verb == "do" && words >> form >> count >> us) {
    return std::to_string(Do(form, count, us));
  }
  int64_t ms = 0;
  int64_t sync = 0;
  if (verb == "keep" && words >> form >> us >> ms >> sync) {
    return std::to_string(Keep(form, us, ms, sync));
  }
  if (verb == "capture" && words >> mode >> count >> us) {
    return std::to_string(Capture(mode, count, us));
  }
  if (verb == "thread" && words >> form >> us) {
    StartThread(form, us);
    return "started";
  }
  if (verb == "die") return Die();
  if (verb == "fork" && words >> form) return Fork(form);
  if (verb == "sync") return std::to_string(Ask("cuStreamSynchronize", stream));
  if (verb == "syncctx") return std::to_string(Ask("cuCtxSynchronize"));
  if (verb == "query") return std::to_string(Ask("cuStreamQuery", stream));
  if (verb == "release") return std::to_string(Release());
  if (verb == "both" && words >> us) return std::to_string(Both(us));
  if (verb == "watch") return std::to_string(GateSleeps() > 0 ? 1 : 0);
  std::string names;
  for (const Form& row : kForms) {
    names += std::string(row.name) + " ";
  }
  return names;
}

}  // namespace
}  // namespace sluice::shim

int main() {
  using namespace sluice::shim;
  atexit(SayHowGateRests);
  printf("%s\n", Start() ? "ready" : "no driver");
  fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "leave") {
      leaves = true;
      break;
    }
    std::istringstream words(line);
    printf("%s\n", Answer(words).c_str());
    fflush(stdout);
  }
  return 0;
}
