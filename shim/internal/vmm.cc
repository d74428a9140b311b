// SPDX-License-Identifier: Apache-2.0
// Virtual memory management: a handle's memory is there until it was released and every mapping of
// it is gone.
#include "shim/internal/handlers.h"

namespace sluice::shim {
namespace {

Card CardOfProperties(const AllocationProperties* properties) {
  if (properties == nullptr || properties->location.type != kLocationDevice) {
    return kNotShared;  // In host memory, or nonsense that the driver refuses.
  }
  return CardOfOrdinal(properties->location.id);
}

}  // namespace

void DropHandle(CUmemHandle handle) {
  Block block = {};
  if (AddExtra({Kind::kHandle, handle}, -1, block) && block.extra == 0) {
    Return(block.card, block.bytes);
  }
}

CUresult CreateHandle(Call call,
                      CUmemHandle* out,
                      size_t bytes,
                      const AllocationProperties* properties,
                      uint64_t flags) {
  const Card card = CardOfProperties(properties);
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  if (const CUresult result = Charge(card, bytes); result != kSuccess) {
    return result;
  }
  const CUresult result = Cuda(call, out, bytes, properties, flags);
  if (result != kSuccess) {
    Return(card, bytes);
  } else {
    Record({Kind::kHandle, *out}, {bytes, 1, card});
  }
  return result;
}

// The reference is dropped after the driver's call: until then the handle's number is not given out
// again, because the memory is still held.
CUresult ReleaseHandle(Call call, CUmemHandle handle) {
  Block block = {};
  const bool last = FindBlock({Kind::kHandle, handle}, block) && block.extra == 1;
  if (last) {
    TakeBlock({Kind::kHandle, handle}, block);
  }
  const CUresult result = Cuda(call, handle);
  if (last && result == kSuccess) {
    Return(block.card, block.bytes);
  } else if (last) {
    Record({Kind::kHandle, handle}, block);
  } else if (result == kSuccess) {
    DropHandle(handle);
  }
  return result;
}

CUresult MapHandle(
    Call call, CUdeviceptr at, size_t bytes, size_t offset, CUmemHandle handle, uint64_t flags) {
  Block block = {};
  const bool known = AddExtra({Kind::kHandle, handle}, 1, block);
  const CUresult result = Cuda(call, at, bytes, offset, handle, flags);
  if (result == kSuccess && known) {
    Record({Kind::kMapping, at}, {bytes, handle, block.card});
  } else if (known) {
    DropHandle(handle);
  }
  return result;
}

CUresult UnmapHandle(Call call, CUdeviceptr at, size_t bytes) {
  const CUresult result = Cuda(call, at, bytes);
  if (result != kSuccess) {
    return result;
  }
  // The range may hold several mappings, each of them whole.
  constexpr uint64_t kGranularity = uint64_t{1} << 16;
  for (uint64_t done = 0; done < bytes;) {
    Block mapping = {};
    if (!TakeBlock({Kind::kMapping, at + done}, mapping)) {
      done += kGranularity;
      continue;
    }
    DropHandle(mapping.extra);
    done += mapping.bytes > 0 ? mapping.bytes : kGranularity;
  }
  return result;
}

CUresult RetainHandle(Call call, CUmemHandle* out, void* at) {
  const CUresult result = Cuda(call, out, at);
  if (result == kSuccess && out != nullptr) {
    Block block = {};
    AddExtra({Kind::kHandle, *out}, 1, block);
  }
  return result;
}

}  // namespace sluice::shim
