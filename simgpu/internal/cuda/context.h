// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "simgpu/internal/cuda/process.h"

namespace sluice::simgpu {

struct Context {
  int device = 0;
  bool primary = false;
  bool active = false;  // A primary context that nobody retains is inactive.
  bool destroyed = false;
  unsigned flags = 0;
  unsigned long long id = 0;
  std::atomic<int> sticky{0};  // An error of asynchronous work; every later call answers it.
  std::map<int, size_t> limits;
  int cache_config = 0;
  unsigned green_sms = 0;  // Multiprocessors of a green context; 0: an ordinary one.
  std::set<int> peers;
  std::shared_ptr<Stream> legacy;                             // Stream 0.
  std::map<const void*, std::shared_ptr<Stream>> per_thread;  // By thread.

  CUresult Health() const {
    if (destroyed) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return static_cast<CUresult>(sticky.load(std::memory_order_relaxed));
  }
};

inline Context* ToContext(CUcontext handle) {
  return reinterpret_cast<Context*>(handle);
}
inline CUcontext ToHandle(Context* context) {
  return reinterpret_cast<CUcontext>(context);
}

// The calling thread's current context; null: none.
Context* CurrentContext();

// A new one, not yet active; needs the mutex.
Context& NewContext(int device, unsigned flags);

// Whether the handle was ever made by this process and not yet forgotten. Takes the mutex.
bool IsContext(CUcontext handle);

}  // namespace sluice::simgpu
