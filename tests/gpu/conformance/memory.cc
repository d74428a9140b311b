// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

// What a driver answers about memory.
namespace sluice::gpu {
namespace {

struct Prop {
  int type = 1, handle_types = 0, place = 1, device = 0;
  void* reserved = nullptr;
  unsigned char flags[8] = {};
};

struct PoolProps {
  int type = 1, handle_types = 0, place = 1, device = 0;
  void* reserved = nullptr;
  size_t bytes_max = 0;
  unsigned char rest[56] = {};
};

void Sizes() {
  Context();
  Address a = 0;
  Address* nowhere = nullptr;
  Try("zero", "cuMemAlloc_v2", &a, size_t{0});
  Try("null", "cuMemAlloc_v2", nowhere, size_t{4});
  Try("most", "cuMemAlloc_v2", &a, SIZE_MAX);
  Try("tera", "cuMemAlloc_v2", &a, size_t{1} << 43);
  Try("free 0", "cuMemFree_v2", Address{0});
  Try("free wild", "cuMemFree_v2", Address{4096});
  size_t pitch = 0;
  Try("pitch zero", "cuMemAllocPitch_v2", &a, &pitch, size_t{0}, size_t{4}, 4u);
  Try("pitch", "cuMemAllocPitch_v2", &a, &pitch, size_t{100}, size_t{4}, 4u);
  Say("pitch bytes", static_cast<long long>(pitch));
  Try("managed flags", "cuMemAllocManaged", &a, kMib, 3u);
}

void Granules() {
  Context();
  Address first = 0;
  // The first block may bring more with it than itself.
  Call("cuMemAlloc_v2", &first, size_t{1});
  long long before = FreeKib();
  Address a = 0;
  Call("cuMemAlloc_v2", &a, 3 * kMib);
  Say("3 MiB takes KiB", before - FreeKib());
  Say("aligned to 2 MiB", a % (2 * kMib) == 0);
  Address b = 0;
  Call("cuMemAlloc_v2", &b, size_t{1});
  Say("distance of small ones", static_cast<long long>(b - first));
  Address base = 0;
  size_t bytes = 0;
  Try("range", "cuMemGetAddressRange_v2", &base, &bytes, a + 5);
  Say("its bytes", static_cast<long long>(bytes));
  Try("free inside", "cuMemFree_v2", a + 4096);
  Try("free", "cuMemFree_v2", a);
  Try("free again", "cuMemFree_v2", a);
}

void Pools() {
  Context();
  Handle pool = nullptr;
  Handle none = nullptr;
  PoolProps props;
  Try("create", "cuMemPoolCreate", &pool, &props);
  Address a = 0;
  Address b = 0;
  Try("alloc", "cuMemAllocFromPoolAsync", &a, kMib, pool, none);
  uint64_t value = 0;
  void* out = &value;
  Try("reserved", "cuMemPoolGetAttribute", pool, 5, out);
  Say("reserved at least asked", value >= kMib);
  Try("used", "cuMemPoolGetAttribute", pool, 7, out);
  Say("used", static_cast<long long>(value));
  Try("free async", "cuMemFreeAsync", a, none);
  Try("synchronize", "cuStreamSynchronize", none);
  Call("cuMemPoolGetAttribute", pool, 5, out);
  Say("reserved after", static_cast<long long>(value));
  Try("zero", "cuMemAllocFromPoolAsync", &b, size_t{0}, pool, none);
  Try("no pool", "cuMemAllocFromPoolAsync", &b, kMib, none, none);
  Try("set used", "cuMemPoolSetAttribute", pool, 7, out);
  Handle own = nullptr;
  Try("default", "cuDeviceGetDefaultMemPool", &own, 0);
  Try("destroy default", "cuMemPoolDestroy", own);
  Try("destroy", "cuMemPoolDestroy", pool);
}

void Mappings() {
  Context();
  Prop prop;
  size_t granule = 0;
  Try("granule", "cuMemGetAllocationGranularity", &granule, &prop, 0);
  Say("granule bytes", static_cast<long long>(granule));
  Address handle = 0;
  Try("odd size", "cuMemCreate", &handle, size_t{4096}, &prop, 0ull);
  long long before = FreeKib();
  Try("create", "cuMemCreate", &handle, 4 * kMib, &prop, 0ull);
  Say("takes KiB", before - FreeKib());
  Address at = 0;
  Try("reserve", "cuMemAddressReserve", &at, 8 * kMib, size_t{0}, Address{0}, 0ull);
  Try("map", "cuMemMap", at, 4 * kMib, size_t{0}, handle, 0ull);
  Try("map again", "cuMemMap", at, 4 * kMib, size_t{0}, handle, 0ull);
  Try("memset without access", "cuMemsetD8_v2", at, static_cast<unsigned char>(1), size_t{16});
  struct {
    int place = 1, device = 0, flags = 3;
  } access;
  Try("access", "cuMemSetAccess", at, 4 * kMib, static_cast<const void*>(&access), size_t{1});
  Try("memset", "cuMemsetD8_v2", at, static_cast<unsigned char>(1), size_t{16});
  Try("release", "cuMemRelease", handle);
  Say("still taken KiB", before - FreeKib());
  Try("free reserved", "cuMemAddressFree", at, 8 * kMib);
  Try("unmap", "cuMemUnmap", at, 4 * kMib);
  Say("then taken KiB", before - FreeKib());
  Try("free", "cuMemAddressFree", at, 8 * kMib);
  Try("release again", "cuMemRelease", handle);
}

void Arrays() {
  Context();
  struct {
    size_t width = 1024, height = 1024;
    int format = 0x20;
    unsigned channels = 1;
  } shape;
  const void* given = &shape;
  Handle array = nullptr;
  Try("create", "cuArrayCreate_v2", &array, given);
  Try("destroy", "cuArrayDestroy", array);
  shape.channels = 3;
  Try("three channels", "cuArrayCreate_v2", &array, given);
  shape.channels = 1;
  shape.width = 0;
  Try("no width", "cuArrayCreate_v2", &array, given);
}

void Ipc() {
  Context();
  Address a = 0;
  Call("cuMemAlloc_v2", &a, 4 * kMib);
  struct {
    char bytes[64];
  } handle{};
  Try("get", "cuIpcGetMemHandle", &handle, a);
  Address b = 0;
  Try("open in the same process", "cuIpcOpenMemHandle_v2", &b, handle, 1u);
  Try("of host memory", "cuIpcGetMemHandle", &handle, Address{4096});
}

}  // namespace

const std::vector<Case>& MemoryCases() {
  static const std::vector<Case> cases = {
      {"sizes", Sizes},
      {"granules", Granules},
      {"pools", Pools},
      {"mappings", Mappings},
      {"arrays", Arrays},
      {"ipc", Ipc},
  };
  return cases;
}

}  // namespace sluice::gpu
