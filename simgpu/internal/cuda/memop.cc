// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include "simgpu/internal/cuda/graph.h"

// Streams that wait for and write words of memory.
namespace sluice::simgpu {
namespace {

enum WaitKind : unsigned { kAtLeast = 0, kEqual = 1, kAnd = 2, kNor = 3 };

template <typename T>
bool Holds(CUdeviceptr address, T value, unsigned kind) {
  T now = std::atomic_ref<T>(*reinterpret_cast<T*>(address)).load();
  using Signed = std::make_signed_t<T>;
  switch (kind) {
    case kAtLeast:
      return static_cast<Signed>(now - value) >= 0;
    case kEqual:
      return now == value;
    case kAnd:
      return (now & value) != 0;
    default:
      return static_cast<T>(~(now | value)) != 0;
  }
}

template <typename T>
CUresult Wait(CUstream stream, CUdeviceptr address, T value, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr unsigned kFlush = 1u << 30;
  unsigned kind = flags & ~kFlush;
  if (kind > kNor || address % sizeof(T) != 0 || !OnCard(address, sizeof(T))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Operation operation;
  operation.ready = [address, value, kind] { return Holds(address, value, kind); };
  return SubmitTo(stream, std::move(operation), kNodeBatchMemOp);
}

template <typename T>
CUresult Write(CUstream stream, CUdeviceptr address, T value, unsigned flags) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (flags > 1 || address % sizeof(T) != 0 || !OnCard(address, sizeof(T))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Operation operation;
  operation.run = [address, value] {
    std::atomic_ref<T>(*reinterpret_cast<T*>(address)).store(value);
    return CUDA_SUCCESS;
  };
  return SubmitTo(stream, std::move(operation), kNodeBatchMemOp);
}

}  // namespace

// The forms without a number are the first ones, which a program of then had to switch on.
#define MEMORY_OPERATION(name, Does, Word)                                                 \
  SLUICE_SIM_CALL name(CUstream stream, CUdeviceptr address, Word value, unsigned flags) { \
    return Does(stream, address, value, flags);                                            \
  }
MEMORY_OPERATION(cuStreamWaitValue32, Wait, uint32_t)
MEMORY_OPERATION(cuStreamWaitValue32_v2, Wait, uint32_t)
MEMORY_OPERATION(cuStreamWaitValue64, Wait, uint64_t)
MEMORY_OPERATION(cuStreamWaitValue64_v2, Wait, uint64_t)
MEMORY_OPERATION(cuStreamWriteValue32, Write, uint32_t)
MEMORY_OPERATION(cuStreamWriteValue32_v2, Write, uint32_t)
MEMORY_OPERATION(cuStreamWriteValue64, Write, uint64_t)
MEMORY_OPERATION(cuStreamWriteValue64_v2, Write, uint64_t)
#undef MEMORY_OPERATION

// Several of these at once; barriers and flushes take no time here.
union BatchMemOp {
  struct {
    int operation;
    CUdeviceptr address;
    uint64_t value;
    unsigned flags;
    CUdeviceptr alias;
  } value;
  uint64_t pad[6];
};

SLUICE_SIM_CALL
cuStreamBatchMemOp_v2(CUstream stream, unsigned count, const BatchMemOp* list, unsigned flags) {
  enum : int { kWait32 = 1, kWrite32 = 2, kFlush = 3, kWait64 = 4, kWrite64 = 5, kBarrier = 6 };
  constexpr unsigned kCountMax = 256;
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (list == nullptr || count == 0 || count > kCountMax || flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto& row = list[i].value;
    auto low = static_cast<uint32_t>(row.value);
    bool nothing = row.operation == kFlush || row.operation == kBarrier;
    CUresult sent = nothing                     ? CUDA_SUCCESS
                    : row.operation == kWait32  ? Wait(stream, row.address, low, row.flags)
                    : row.operation == kWrite32 ? Write(stream, row.address, low, row.flags)
                    : row.operation == kWait64  ? Wait(stream, row.address, row.value, row.flags)
                    : row.operation == kWrite64 ? Write(stream, row.address, row.value, row.flags)
                                                : CUDA_ERROR_INVALID_VALUE;
    if (sent != CUDA_SUCCESS) return sent;
  }
  return CUDA_SUCCESS;
}
SLUICE_SIM_CALL
cuStreamBatchMemOp(CUstream stream, unsigned count, const BatchMemOp* list, unsigned flags) {
  return cuStreamBatchMemOp_v2(stream, count, list, flags);
}

}  // namespace sluice::simgpu
