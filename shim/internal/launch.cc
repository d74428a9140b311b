// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/launch.h"

namespace sluice::shim {
namespace {

CUresult Drained(CUresult result, uintptr_t stream) {
  AfterSynchronize();
  if (result == kSuccess && IsGated()) {
    AfterDrain(stream);
  }
  return result;
}

CUresult CountEnd(CUresult result) {
  // Only what ends it, well or not: refused for another reason, it goes on.
  constexpr CUresult kInvalidated = 901;
  constexpr CUresult kUnjoined = 904;
  if (result != kSuccess && result != kInvalidated && result != kUnjoined) {
    return result;
  }
  int count = captures_active.load(std::memory_order_relaxed);
  while (count > 0 && !captures_active.compare_exchange_weak(count, count - 1)) {
  }
  return result;
}

}  // namespace

CUresult EndCapture(Call call, CUstream stream, CUgraph* graph) {
  return CountEnd(Cuda(call, stream, graph));
}

CUresult EndCapture(Call call, CUstream stream) {
  return CountEnd(Cuda(call, stream));
}

CUresult SynchronizeAll(Call call) {
  return Drained(Cuda(call), 0);
}

CUresult SynchronizeContext(Call call, CUcontext context) {
  return Drained(Cuda(call, context), 0);
}

CUresult SynchronizeStream(Call call, CUstream stream) {
  return Drained(Cuda(call, stream), StreamOf(call, stream));
}

CUresult SynchronizeEvent(Call call, CUevent event) {
  const CUresult result = Cuda(call, event);
  AfterSynchronize();
  if (result == kSuccess && IsGated()) {
    AfterQuery();
  }
  return result;
}

CUresult QueryStream(Call call, CUstream stream) {
  const CUresult result = Cuda(call, stream);
  if (result == kSuccess && IsGated()) {
    AfterDrain(StreamOf(call, stream));
  }
  return result;
}

}  // namespace sluice::shim
