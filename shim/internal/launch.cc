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

struct Launches {
  LaunchParams* list;
  unsigned count;
  unsigned flags;
};

// While it lives, the stream's context is the thread's current one.
class InContextOf {
 public:
  explicit InContextOf(CUstream stream) {
    CUcontext context = nullptr;
    pushed_ = Cuda(Call::k_cuStreamGetCtx, stream, &context) == kSuccess &&
              Cuda(Call::k_cuCtxPushCurrent_v2, context) == kSuccess;
  }
  InContextOf(const InContextOf&) = delete;
  InContextOf& operator=(const InContextOf&) = delete;
  ~InContextOf() {
    CUcontext context = nullptr;
    if (pushed_) {
      Cuda(Call::k_cuCtxPopCurrent_v2, &context);
    }
  }

 private:
  bool pushed_ = false;
};

// Passes the gates of the launches from `at` on, one card after the other, and launches behind the
// last. `passed` has a bit for each card whose gate was passed. A share of several cards has its
// turns on all of them together; should they end between two gates, the arbiter sees one card busy
// and a thread at the other's gate, and lets that one launch through.
CUresult PassEach(Call call, const Launches& all, unsigned at, uint32_t passed) {
  Card card = kNotShared;
  for (; at < all.count && card < 0; ++at) {
    const InContextOf context(all.list[at].stream);
    card = CurrentCard();
    card = card >= 0 && (passed >> card & 1) != 0 ? kNotShared : card;
  }
  if (card < 0) {
    return Cuda(call, all.list, all.count, all.flags);
  }
  const LaunchParams& launch = all.list[at - 1];
  // Recorded on the stream by events of its context.
  Turn turn = [&] {
    const InContextOf context(launch.stream);
    return Turn(WorkOf(call, launch));
  }();
  const CUresult result = PassEach(call, all, at, passed | uint32_t{1} << card);
  const InContextOf context(launch.stream);
  return turn.Finish(result);
}

}  // namespace

CUresult LaunchOnCards(Call call, LaunchParams* launches, unsigned count, unsigned flags) {
  if (launches == nullptr || count == 0) {
    return Cuda(call, launches, count, flags);
  }
  return only_grant.load(std::memory_order_relaxed) != nullptr
             ? Gated(WorkOf(call, launches[0]), call, launches, count, flags)
             : PassEach(call, {launches, count, flags}, 0, 0);
}

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
