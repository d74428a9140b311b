// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstring>
#include <vector>

#include "../ask.h"

// The questions that are put to a driver. Each case runs in a process of its own, so that an error
// that stays, or a crash, is that case's alone.
namespace sluice::gpu {

struct Case {
  const char* name;
  void (*run)();
};
const std::vector<Case>& StateCases();
const std::vector<Case>& MemoryCases();
const std::vector<Case>& WorkCases();

// An answer: no text in it needs escaping.
inline void Say(const char* what, long long answer) {
  std::printf("%s\t%lld\n", what, answer);
  std::fflush(stdout);
}

// Says what a call answered; returns whether it succeeded.
template <typename... Args>
bool Try(const char* what, const char* name, Args... args) {
  int answer = Call(name, args...);
  Say(what, answer);
  return answer == 0;
}

inline Handle Context() {
  Handle context = nullptr;
  if (Call("cuInit", 0u) != 0 || Call("cuCtxCreate_v2", &context, 0u, 0) != 0) Say("no context", 1);
  return context;
}

inline long long FreeKib() {
  size_t free_bytes = 0;
  size_t total = 0;
  Call("cuMemGetInfo_v2", &free_bytes, &total);
  return static_cast<long long>(free_bytes / 1024);
}

// A kernel that keeps the card for as long as it is told.
inline constexpr const char* kPtx = R"(
.version 6.0
.target sm_70
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

inline Handle SleepKernel() {
  Handle module = nullptr;
  Handle function = nullptr;
  const void* text = kPtx;
  Call("cuModuleLoadData", &module, text);
  Call("cuModuleGetFunction", &function, module, "sluice_sleep_us");
  return function;
}

inline Handle Stream(unsigned flags) {
  Handle stream = nullptr;
  Call("cuStreamCreate", &stream, flags);
  return stream;
}

inline int Sleep(Handle function, Handle stream, uint64_t us) {
  void* arguments[] = {&us};
  return Start({.function = function, .stream = stream, .arguments = arguments});
}

}  // namespace sluice::gpu
