// SPDX-License-Identifier: Apache-2.0
// What holds on to a handle's memory beside mappings: tiles of sparse arrays, multicast objects,
// logical endpoints. The memory stays charged until the last of them has let go.
#include "shim/internal/handlers.h"

namespace sluice::shim {

struct ArrayMapInfo {
  int resource_type;
  uint64_t resource;  // The array or mipmapped array.
  int subresource_type;
  // Of a tile: level, layer, offsets, extents. Of the tail: layer, then offset and size.
  alignas(8) uint32_t subresource[8];
  int operation;
  int handle_type;
  CUmemHandle memory;
  uint64_t offset;
  unsigned device_mask;
  unsigned flags;
  unsigned reserved[2];
};
static_assert(offsetof(ArrayMapInfo, subresource_type) == 16);
static_assert(offsetof(ArrayMapInfo, operation) == 56);
static_assert(offsetof(ArrayMapInfo, memory) == 64);
static_assert(sizeof(ArrayMapInfo) == 96);

namespace {

constexpr int kMapTile = 1;
// Bindings begin at multiples of at least this.
constexpr uint64_t kGranularity = uint64_t{1} << 16;

// None: an object that goes need not be looked for among the blocks.
constinit std::atomic<int64_t> hold_count{0};

// A place of an object, as one number. Two places that share one keep a little too much charged.
uint64_t PlaceOf(uint64_t object, uint64_t where) {
  const uint64_t hash = (object ^ (where * 0x9e3779b97f4a7c15)) * 0xff51afd7ed558ccd;
  return hash ^ (hash >> 32);
}

// Before the driver's call, so that the memory cannot go in between. False: a handle that is not
// this process's own.
bool Take(CUmemHandle memory, Block& block) {
  return AddExtra({Kind::kHandle, memory}, 1, block);
}

void Forget(const Block& hold) {
  hold_count.fetch_sub(1, std::memory_order_relaxed);
  DropHandle(hold.extra);
}

void Keep(uint64_t object, uint64_t place, CUmemHandle memory, Card card) {
  hold_count.fetch_add(1, std::memory_order_relaxed);
  Block before = {};
  if (PutBlock({Kind::kHold, place, object}, {0, memory, card}, before)) {
    Forget(before);  // The place held other memory until now.
  }
}

void LetGo(uint64_t place) {
  Block hold = {};
  if (TakeBlock({Kind::kHold, place}, hold)) {
    Forget(hold);
  }
}

// Multicast objects and endpoints have the same places on every card.
uint64_t PlaceOn(uint64_t object, Card card, uint64_t at) {
  return PlaceOf(object, at / kGranularity * 64 + static_cast<uint64_t>(card + 3));
}

void LetGoRange(uint64_t object, CUdevice device, uint64_t at, uint64_t bytes) {
  const Card card = CardOfOrdinal(device);
  if (hold_count.load(std::memory_order_relaxed) == 0 || bytes > region::kBytesMax) {
    return;
  }
  for (uint64_t done = 0; done < bytes; done += kGranularity) {
    LetGo(PlaceOn(object, card, at + done));
  }
}

struct Binding {
  uint64_t object;
  uint64_t at;
  CUmemHandle memory;
};

template <typename Bind>
CUresult BindHeld(const Binding& binding, Bind bind) {
  Block block = {};
  const bool known = Take(binding.memory, block);
  const CUresult result = bind();
  if (known && result == kSuccess) {
    Keep(binding.object,
         PlaceOn(binding.object, block.card, binding.at),
         binding.memory,
         block.card);
  } else if (known) {
    DropHandle(binding.memory);
  }
  return result;
}

uint64_t TileOf(const ArrayMapInfo& info) {
  uint64_t where = static_cast<uint64_t>(info.subresource_type);
  // A tail is told by its layer and where it begins; a tile by level, layer and offsets.
  const int words = info.subresource_type == 0 ? 5 : 4;
  for (int i = 0; i < words; ++i) {
    where = where * 0x100000001b3 + info.subresource[i];
  }
  return PlaceOf(info.resource, where);
}

}  // namespace

// The driver maps and unmaps in the order of the stream. What is mapped is held at once; what is
// unmapped is given back at once, too: its handle can be released no later than the program says.
CUresult MapArrays(Call call, const ArrayMapInfo* list, unsigned count, CUstream stream) {
  if (!InShare() || list == nullptr) {
    return Cuda(call, list, count, stream);
  }
  for (unsigned i = 0; i < count; ++i) {
    Block block = {};
    if (list[i].operation == kMapTile) {
      Take(list[i].memory, block);
    }
  }
  const CUresult result = Cuda(call, list, count, stream);
  for (unsigned i = 0; i < count; ++i) {
    const ArrayMapInfo& info = list[i];
    Block block = {};
    if (info.operation != kMapTile) {
      if (result == kSuccess) {
        LetGo(TileOf(info));
      }
    } else if (result != kSuccess) {
      DropHandle(info.memory);
    } else if (FindBlock({Kind::kHandle, info.memory}, block)) {
      Keep(info.resource, TileOf(info), info.memory, block.card);
    }
  }
  return result;
}

CUresult BindMulticast(Call call,
                       CUmemHandle object,
                       size_t at,
                       CUmemHandle memory,
                       size_t offset,
                       size_t bytes,
                       unsigned long long flags) {
  return BindHeld({object, at, memory},
                  [&] { return Cuda(call, object, at, memory, offset, bytes, flags); });
}

CUresult BindMulticastOn(Call call,
                         CUmemHandle object,
                         CUdevice device,
                         size_t at,
                         CUmemHandle memory,
                         size_t offset,
                         size_t bytes,
                         unsigned long long flags) {
  return BindHeld({object, at, memory},
                  [&] { return Cuda(call, object, device, at, memory, offset, bytes, flags); });
}

CUresult UnbindMulticast(Call call, CUmemHandle object, CUdevice device, size_t at, size_t bytes) {
  const CUresult result = Cuda(call, object, device, at, bytes);
  if (result == kSuccess) {
    LetGoRange(object, device, at, bytes);
  }
  return result;
}

CUresult BindEndpoint(Call call,
                      unsigned endpoint,
                      CUdevice device,
                      uint64_t at,
                      CUmemHandle memory,
                      uint64_t offset,
                      uint64_t bytes,
                      unsigned long long flags) {
  return BindHeld({endpoint, at, memory},
                  [&] { return Cuda(call, endpoint, device, at, memory, offset, bytes, flags); });
}

CUresult UnbindEndpoint(
    Call call, unsigned endpoint, CUdevice device, uint64_t at, uint64_t bytes) {
  const CUresult result = Cuda(call, endpoint, device, at, bytes);
  if (result == kSuccess) {
    LetGoRange(endpoint, device, at, bytes);
  }
  return result;
}

CUresult DestroyEndpoint(Call call, unsigned endpoint) {
  const CUresult result = Cuda(call, endpoint);
  if (result == kSuccess) {
    ReleaseHolds(endpoint);
  }
  return result;
}

void ReleaseHolds(uint64_t object) {
  Block hold = {};
  while (hold_count.load(std::memory_order_relaxed) > 0 && TakeBlockOf(Kind::kHold, object, hold)) {
    Forget(hold);
  }
}

}  // namespace sluice::shim
