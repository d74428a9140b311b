// SPDX-License-Identifier: Apache-2.0
// Contexts cost memory, and take what was allocated in them along when they go.
#include "shim/internal/flight.h"
#include "shim/internal/handlers.h"

namespace sluice::shim {
namespace {

template <typename Create>
CUresult CreateCharged(CUcontext* out, CUdevice ordinal, Create create) {
  const Card card = CardOfOrdinal(ordinal);
  if (const CUresult result = ChargeContext(card); result != kSuccess) {
    return result;
  }
  const CUresult result = create();
  if (result != kSuccess) {
    ReturnContext(card);
  } else {
    Record({Kind::kContext, reinterpret_cast<uint64_t>(*out)}, {0, 0, card});
  }
  return result;
}

// The card's primary context, if it is active.
CUcontext ActivePrimary(CUdevice ordinal) {
  unsigned flags = 0;
  int active = 0;
  CUcontext context = nullptr;
  if (Cuda(Call::k_cuDevicePrimaryCtxGetState, ordinal, &flags, &active) != kSuccess ||
      active == 0 || Cuda(Call::k_cuDevicePrimaryCtxRetain, &context, ordinal) != kSuccess) {
    return nullptr;
  }
  Cuda(Call::k_cuDevicePrimaryCtxRelease_v2, ordinal);
  return context;
}

void Gone(CUcontext context, Card card) {
  if (context != nullptr) {
    ReturnBlocksOf(reinterpret_cast<uint64_t>(context));
    ReturnContext(card);
  }
}

}  // namespace

CUresult CreateContext(Call call, CUcontext* out, unsigned flags, CUdevice ordinal) {
  return CreateCharged(out, ordinal, [&] { return Cuda(call, out, flags, ordinal); });
}

CUresult CreateContextAffinity(
    Call call, CUcontext* out, void* affinity, int count, unsigned flags, CUdevice ordinal) {
  return CreateCharged(
      out, ordinal, [&] { return Cuda(call, out, affinity, count, flags, ordinal); });
}

CUresult CreateContextParams(
    Call call, CUcontext* out, void* params, unsigned flags, CUdevice ordinal) {
  return CreateCharged(out, ordinal, [&] { return Cuda(call, out, params, flags, ordinal); });
}

CUresult DestroyContext(Call call, CUcontext context) {
  const Key key{Kind::kContext, reinterpret_cast<uint64_t>(context)};
  Block block = {0, 0, kNotShared};
  const bool known = TakeBlock(key, block);
  ForgetContextFlight(context);
  const CUresult result = Cuda(call, context);
  if (result == kSuccess) {
    Gone(context, block.card);
  } else if (known) {
    Record(key, block);
  }
  return result;
}

CUresult ReleasePrimary(Call call, CUdevice ordinal) {
  if (!InShare()) {
    return Cuda(call, ordinal);
  }
  const CUcontext before = ActivePrimary(ordinal);
  if (before != nullptr) {
    ForgetContextFlight(before);
  }
  const CUresult result = Cuda(call, ordinal);
  const bool reset =
      call == Call::k_cuDevicePrimaryCtxReset || call == Call::k_cuDevicePrimaryCtxReset_v2;
  if (result == kSuccess && (reset || ActivePrimary(ordinal) == nullptr)) {
    Gone(before, CardOfOrdinal(ordinal));
  }
  return result;
}

}  // namespace sluice::shim
