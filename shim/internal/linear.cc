// SPDX-License-Identifier: Apache-2.0
// Start of a process's use, linear memory, arrays.
#include "shim/internal/handlers.h"
#include "shim/internal/pools.h"

namespace sluice::shim {
namespace {

struct FormatBytes {
  int format;
  unsigned bytes;
};

// Bytes of one channel of CUarray_format; formats that are not here hold at most 16 per element.
constexpr FormatBytes kFormats[] = {
    {0x01, 1},
    {0x02, 2},
    {0x03, 4},
    {0x08, 1},
    {0x09, 2},
    {0x0a, 4},
    {0x10, 2},
    {0x20, 4},
};
constexpr unsigned kElementBytesMax = 16;

uint64_t ElementBytes(const ArrayDescriptor3D& shape) {
  for (const FormatBytes& row : kFormats) {
    if (row.format == shape.format) {
      return uint64_t{row.bytes} * (shape.channels == 0 ? 1 : shape.channels);
    }
  }
  return kElementBytesMax;
}

uint64_t TimesOrMax(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

// Wide enough for every card's pitch alignment.
constexpr uint64_t kPitchBytes = 512;

// As Freeing: the handle may be given out again right after the driver's call.
template <typename Handle>
CUresult Destroy(Call call, Kind kind, Handle handle) {
  const Key key{kind, reinterpret_cast<uint64_t>(handle)};
  Block block = {};
  const bool known = TakeBlock(key, block);
  const CUresult result = Cuda(call, handle);
  if (known && result == kSuccess) {
    Return(block.card, block.bytes);
    ReleaseHolds(key.value);
  } else if (known) {
    Record({key.kind, key.value, reinterpret_cast<uint64_t>(CurrentContext())}, block);
  }
  return result;
}

}  // namespace

CUresult Initialize(Call call, unsigned flags) {
  // Before the driver is ready for this process: one without a slot would go uncounted.
  return Join() ? Cuda(call, flags) : kTooManyClients;
}

CUcontext CurrentContext() {
  CUcontext context = nullptr;
  return Cuda(Call::k_cuCtxGetCurrent, &context) == kSuccess ? context : nullptr;
}

void Record(const Key& key, const Block& block) {
  if (block.card < 0) {
    return;
  }
  Block stale = {};
  if (PutBlock(key, block, stale)) {
    Return(stale.card, stale.bytes);
  }
}

CUresult AllocManaged(Call call, CUdeviceptr* out, size_t bytes, unsigned flags) {
  const Card card = CurrentCard();
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  if (const CUresult result = Charge(card, bytes); result != kSuccess) {
    return result;
  }
  const CUresult result = Cuda(call, out, bytes, flags);
  if (result != kSuccess) {
    Return(card, bytes);
  } else {
    Record({Kind::kMemory, *out, reinterpret_cast<uint64_t>(CurrentContext())}, {bytes, 0, card});
  }
  return result;
}

// The block goes out before the driver's call: right after it, another thread may be given the same
// address.
Freeing::Freeing(CUdeviceptr given) : pointer(given) {
  for (const Kind candidate : {Kind::kMemory, Kind::kPooled}) {
    if (TakeBlock({candidate, pointer}, block)) {
      kind = candidate;
      return;
    }
  }
}

CUresult Freeing::Finish(CUresult result) const {
  if (kind == Kind::kEmpty) {
    return result;
  }
  if (result != kSuccess) {
    Block stale = {};
    PutBlock({kind, pointer, reinterpret_cast<uint64_t>(CurrentContext())}, block, stale);
  } else if (kind == Kind::kPooled) {
    MarkShrinking(static_cast<PoolIndex>(block.extra), block.bytes);
  } else {
    Return(block.card, block.bytes);
  }
  return result;
}

uint64_t PitchedBytes(size_t width, size_t height) {
  if (width > UINT64_MAX - kPitchBytes) {
    return UINT64_MAX;
  }
  return TimesOrMax((width + kPitchBytes - 1) / kPitchBytes * kPitchBytes, height);
}

CUresult KeepPitched(Card card, CUdeviceptr pointer, uint64_t reserved, uint64_t bytes) {
  if (bytes > reserved) {
    if (const CUresult result = Charge(card, bytes - reserved); result != kSuccess) {
      Cuda(Call::k_cuMemFree_v2, pointer);
      Return(card, reserved);
      return result;
    }
  } else {
    Return(card, reserved - bytes);
  }
  Record({Kind::kMemory, pointer, reinterpret_cast<uint64_t>(CurrentContext())}, {bytes, 0, card});
  return kSuccess;
}

uint64_t ArrayBytes(const ArrayDescriptor3D& shape, unsigned levels) {
  if ((shape.flags & (kArraySparse | kArrayDeferredMapping)) != 0) {
    return 0;
  }
  size_t width = shape.width;
  size_t height = shape.height == 0 ? 1 : shape.height;
  size_t depth = shape.depth == 0 ? 1 : shape.depth;
  uint64_t sum = 0;
  for (unsigned level = 0; level < levels && level < 64; ++level) {
    const uint64_t bytes =
        TimesOrMax(TimesOrMax(TimesOrMax(ElementBytes(shape), width), height), depth);
    if (bytes > UINT64_MAX - sum) {
      return UINT64_MAX;
    }
    sum += bytes;
    width = width > 1 ? width / 2 : width;
    height = height > 1 ? height / 2 : height;
    // The faces of a cube map and the layers of a layered array do not shrink; counting them all
    // is on the safe side for a solid one.
  }
  return sum;
}

CUresult DestroyArray(Call call, CUarray array) {
  return Destroy(call, Kind::kArray, array);
}

CUresult CreateMipmapped(Call call,
                         CUmipmappedArray* out,
                         const ArrayDescriptor3D* shape,
                         unsigned levels) {
  const Card card = CurrentCard();
  const uint64_t bytes = shape == nullptr ? 0 : ArrayBytes(*shape, levels);
  if (const CUresult result = ChargeFirstContext(card); result != kSuccess) {
    return result;
  }
  if (const CUresult result = Charge(card, bytes); result != kSuccess) {
    return result;
  }
  const CUresult result = Cuda(call, out, shape, levels);
  if (result != kSuccess) {
    Return(card, bytes);
  } else {
    Record({Kind::kMipmapped,
            reinterpret_cast<uint64_t>(*out),
            reinterpret_cast<uint64_t>(CurrentContext())},
           {bytes, 0, card});
  }
  return result;
}

CUresult DestroyMipmapped(Call call, CUmipmappedArray array) {
  return Destroy(call, Kind::kMipmapped, array);
}

}  // namespace sluice::shim
