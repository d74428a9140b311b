// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <dlfcn.h>

// Calls of a CUDA driver by name, for programs that are carried to bare machines: needs nothing of
// the project and nothing of the vendor's.
namespace sluice::gpu {

using Address = unsigned long long;
using Handle = void*;

inline constexpr size_t kMib = size_t{1} << 20;
inline constexpr int kMissing = -1;  // The driver has no such call.

// The driver's library, null if there is none. The first call says which file it is.
inline void* Driver(const char* file = "libcuda.so.1") {
  struct Library {
    void* handle;
  };
  static const Library library{::dlopen(file, RTLD_NOW | RTLD_LOCAL)};
  return library.handle;
}

// Arguments must have exactly the types of the call.
template <typename... Args>
int Call(const char* name, Args... args) {
  void* address = ::dlsym(Driver(), name);
  return address == nullptr ? kMissing : reinterpret_cast<int (*)(Args...)>(address)(args...);
}

// cuLaunchKernel with one block of one thread, unless told otherwise.
struct Launch {
  Handle function = nullptr;
  Handle stream = nullptr;
  void** arguments = nullptr;
  unsigned blocks = 1;
  unsigned threads = 1;
};
inline int Start(const Launch& it) {
  void** none = nullptr;
  return Call("cuLaunchKernel",
              it.function,
              it.blocks,
              1u,
              1u,
              it.threads,
              1u,
              1u,
              0u,
              it.stream,
              it.arguments,
              none);
}

}  // namespace sluice::gpu
