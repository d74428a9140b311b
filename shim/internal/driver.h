// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/internal/abi.h"
#include "shim/internal/points.h"

// The driver's own functions, and which of them are answered here instead.
namespace sluice::shim {

// Answered calls first, then those that are only used. NVML's come last in each part.
enum class Call : uint16_t {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) k_##symbol,
#include "shim/calls.def"
#define NVML_CALL(symbol, handler, roles, count, types) k_##symbol,
#include "shim/calls.def"
  kHookCount,
  kBeforeUsed = kHookCount - 1,
#define CUDA_USED(symbol) k_##symbol,
#include "shim/calls.def"
#define NVML_USED(symbol) k_##symbol,
#include "shim/calls.def"
  kCount,
};
inline constexpr int kHookCount = static_cast<int>(Call::kHookCount);
inline constexpr int kCallCount = static_cast<int>(Call::kCount);

enum class StreamMode : uint8_t { kAny, kLegacy, kPerThread };
enum class Category : uint8_t {
  kResolution,
  kInit,
  kLinear,
  kArray,
  kPool,
  kVmm,
  kGraph,
  kLaunch,
  kCopy,
  kCapture,
  kSync,
  kContext,
  kView,
  kNvml,
};

struct HookRow {
  const char* symbol;
  const char* name;  // For cuGetProcAddress; NVML: the symbol.
  int since;
  StreamMode mode;
  Category category;
  const char* roles;
  int arguments;
  void (*hook)();
};

// The answered calls, indexed by Call.
const HookRow& Row(Call call);

// The driver's own function, resolved at first use, nullptr when the driver has none. Thread-safe.
void* Resolve(Call call);
extern constinit std::atomic<void*> real_function[kCallCount];
inline void* Real(Call call) {
  void* const found = real_function[static_cast<int>(call)].load(std::memory_order_acquire);
  return found != nullptr ? found : Resolve(call);
}

// The hook for a name that dlsym was asked for, or nullptr.
void* HookOfName(const char* name);

// The hook for what the driver's cuGetProcAddress answered, or nullptr when the call is not one of
// ours. By the pointer where the driver exports it; else by name, version and stream mode.
struct Request {
  const char* name;
  int version;
  uint64_t flags;
};
void* HookOfPointer(void* real, const Request& request);

// Whether the pointer lies in a driver library (by the file it was loaded from).
bool IsDriverCode(void* pointer);

// Calls the driver's own function. The arguments' types must be exactly the function's.
template <typename... A>
CUresult Cuda(Call call, A... arguments) {
  void* const real = Real(call);
  if (real == nullptr) {
    return kNotSupported;
  }
  SLUICE_POINT("driver");
  const CUresult result = reinterpret_cast<CUresult (*)(A...)>(real)(arguments...);
  SLUICE_POINT("driven");
  return result;
}

template <typename... A>
int Nvml(Call call, A... arguments) {
  void* const real = Real(call);
  if (real == nullptr) {
    return kNvmlFunctionNotFound;
  }
  return reinterpret_cast<int (*)(A...)>(real)(arguments...);
}

// The loader's own functions, found without calling our exported names.
using DlsymFunction = void* (*)(void*, const char*);
using DlopenFunction = void* (*)(const char*, int);
DlsymFunction RealDlsym();

}  // namespace sluice::shim
