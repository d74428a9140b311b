// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "shim/internal/gate.h"
#include "shim/internal/handlers.h"

// The handlers of calls that put work on a card, wait for it, or record it. What is launched passes
// the gate; the driver's call is made in any case, and its answer is the caller's.
namespace sluice::shim {

// A part of the exported function itself: what passes at once costs no second call.
#define SLUICE_IN_HOOK [[gnu::always_inline]]

constexpr bool kIsPerThread[] = {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) \
  StreamMode::mode == StreamMode::kPerThread,
#include "shim/calls.def"
};

inline uintptr_t StreamOf(Call call, CUstream stream) {
  return stream != nullptr                      ? reinterpret_cast<uintptr_t>(stream)
         : kIsPerThread[static_cast<int>(call)] ? kPerThreadDefault
                                                : kLegacyStream;
}

// The last argument of calls that have one.
inline CUstream OptionalStream() {
  return nullptr;
}
inline CUstream OptionalStream(CUstream stream) {
  return stream;
}

// A function's cost depends on how much of it is launched: by the number of blocks, in steps of a
// quarter of each power of two, so that shapes which never come again are not all unknown.
inline uint64_t KeyOf(const void* function, uint64_t x, uint64_t y, uint64_t z) {
  const uint64_t blocks = x * y * z;
  const int shift = 61 - __builtin_clzll(blocks | 4);
  return reinterpret_cast<uint64_t>(function) ^
         (static_cast<uint64_t>(shift) << 3 | blocks >> shift) * 0xc4ceb9fe1a85ec53;
}

// Kernels and cooperative ones: what comes after the stream is passed on.
template <typename... Last>
SLUICE_IN_HOOK inline CUresult LaunchGrid(Call call,
                                          CUfunction function,
                                          unsigned x,
                                          unsigned y,
                                          unsigned z,
                                          unsigned block_x,
                                          unsigned block_y,
                                          unsigned block_z,
                                          unsigned shared_bytes,
                                          CUstream stream,
                                          Last... last) {
  const Work work = {.stream = StreamOf(call, stream), .key = KeyOf(function, x, y, z)};
  return Gated(
      work, call, function, x, y, z, block_x, block_y, block_z, shared_bytes, stream, last...);
}

SLUICE_IN_HOOK inline CUresult LaunchConfigured(
    Call call, const LaunchConfig* config, CUfunction function, void** arguments, void** extra) {
  if (config == nullptr) {
    return Cuda(call, config, function, arguments, extra);
  }
  const Work work = {.stream = StreamOf(call, config->stream),
                     .key = KeyOf(function, config->grid[0], config->grid[1], config->grid[2])};
  return Gated(work, call, config, function, arguments, extra);
}

// Several cards at once: the gate of each card named is passed.
CUresult LaunchOnCards(Call call, LaunchParams* launches, unsigned count, unsigned flags);
inline Work WorkOf(Call call, const LaunchParams& launch) {
  return {.stream = StreamOf(call, launch.stream),
          .key = KeyOf(launch.function, launch.grid[0], launch.grid[1], launch.grid[2])};
}

// The oldest forms, whose arguments were set one by one before.
inline CUresult LaunchOldest(Call call, CUfunction function) {
  return Gated({.stream = kLegacyStream, .key = KeyOf(function, 1, 1, 1)}, call, function);
}
template <typename... Stream>
CUresult LaunchOld(Call call, CUfunction function, int x, int y, Stream... stream) {
  const Work work = {.stream = StreamOf(call, OptionalStream(stream...)),
                     .key = KeyOf(function, static_cast<unsigned>(x), static_cast<unsigned>(y), 1)};
  return Gated(work, call, function, x, y, stream...);
}

struct CallGraph {
  static CUresult Do(Call call, CUgraphExec exec, CUstream stream) {
    return RunExec(call, exec, stream);
  }
};
SLUICE_IN_HOOK inline CUresult LaunchGraph(Call call, CUgraphExec exec, CUstream stream) {
  const Work work = {.stream = StreamOf(call, stream), .key = KeyOf(exec, 0, 0, 0)};
  return Gated<CallGraph>(work, call, exec, stream);
}

// Copies and fills from this size on are work of their own kind, by the MiB; smaller ones pass.
inline constexpr uint64_t kCopyBytesMin = uint64_t{1} << 20;
// More than any card holds: a size that the driver will refuse.
inline constexpr uint64_t kCopyUnitsMax = uint64_t{1} << 24;
enum class CopyKind : uint64_t { kIn = 1, kOut, kWithin, kAny, kFill };
// Of one MiB, before any was timed.
inline constexpr uint64_t kHostCopyGuessNs = 80'000;
inline constexpr uint64_t kCardCopyGuessNs = 5'000;

template <CopyKind kind, typename To, typename From, typename... Stream>
SLUICE_IN_HOOK inline CUresult Copy(Call call, To to, From from, size_t count, Stream... stream) {
  constexpr bool kFills = kind == CopyKind::kFill;
  constexpr uint64_t kElement = kFills ? sizeof(From) : 1;
  if (count < kCopyBytesMin / kElement) [[likely]] {
    return Cuda(call, to, from, count, stream...);
  }
  constexpr bool kOnCard = kind == CopyKind::kWithin || kFills;
  const Work work = {.stream = StreamOf(call, OptionalStream(stream...)),
                     .key = static_cast<uint64_t>(kind),
                     .units = (count >> 20) % kCopyUnitsMax * kElement + 1,
                     .guess_ns = kOnCard ? kCardCopyGuessNs : kHostCopyGuessNs,
                     .returns_done = sizeof...(Stream) == 0 && !kOnCard};
  return Gated(work, call, to, from, count, stream...);
}

// Captures: counted, so that a launch knows when it is worth asking.
template <typename... A>
CUresult BeginCapture(Call call, A... a) {
  captures_active.fetch_add(1, std::memory_order_relaxed);
  const CUresult result = Cuda(call, a...);
  if (result != kSuccess) {
    captures_active.fetch_sub(1, std::memory_order_relaxed);
  }
  return result;
}
CUresult EndCapture(Call call, CUstream stream, CUgraph* graph);
CUresult EndCapture(Call call, CUstream stream);

// Points where work is known to be done: freed pool memory has come back, too.
CUresult SynchronizeAll(Call call);
CUresult SynchronizeContext(Call call, CUcontext context);
CUresult SynchronizeStream(Call call, CUstream stream);
CUresult SynchronizeEvent(Call call, CUevent event);
CUresult QueryStream(Call call, CUstream stream);

}  // namespace sluice::shim
