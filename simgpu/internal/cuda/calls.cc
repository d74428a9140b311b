// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/calls.h"

// Only addresses are wanted here, so the calls are declared without their arguments, in a file that
// sees no other declaration of them.
#define CALL(symbol, name, version) extern "C" void symbol();
#define PER_THREAD(symbol, name, version) extern "C" void symbol();
#include "simgpu/internal/cuda/calls.def"
#undef CALL
#undef PER_THREAD

namespace sluice::simgpu {
namespace {

constexpr CallRow kCalls[] = {
#define CALL(symbol, name, version) {#name, version, false, #symbol, &symbol},
#define PER_THREAD(symbol, name, version) {#name, version, true, #symbol, &symbol},
#include "simgpu/internal/cuda/calls.def"
#undef CALL
#undef PER_THREAD
};

}  // namespace

std::span<const CallRow> Calls() {
  return kCalls;
}

}  // namespace sluice::simgpu
