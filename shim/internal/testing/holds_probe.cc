// SPDX-License-Identifier: Apache-2.0
// A program that lets something else hold on to a handle's memory and releases the handle, in front
// of the tiny driver. One line for each way: its name, MiB in use then, the code of asking for more
// than is left, and MiB in use after it has let go.
//
//   holds_probe holds | imports
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

#include "shim/internal/abi.h"

namespace sluice::shim {
namespace {

constexpr size_t kMib = size_t{1} << 20;
constexpr size_t kBytes = 512 * kMib;
constexpr size_t kAt = 4 * kMib;

template <typename... A>
CUresult Ask(const char* name, A... arguments) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  void* const found = dlsym(library, name);
  if (found == nullptr) {
    printf("no %s\n", name);
    exit(3);
  }
  return reinterpret_cast<CUresult (*)(A...)>(found)(arguments...);
}

CUresult Create(CUmemHandle* out, size_t bytes) {
  AllocationProperties properties = {};
  properties.type = 1;
  properties.location = {kLocationDevice, 0};
  const AllocationProperties* const pointer = &properties;
  return Ask("cuMemCreate", out, bytes, pointer, uint64_t{0});
}

size_t UsedMib() {
  size_t free = 0;
  size_t total = 0;
  Ask("cuMemGetInfo_v2", &free, &total);
  return (total - free) / kMib;
}

// As cuda.h lays out one entry of cuMemMapArrayAsync, in words of four bytes.
struct MapEntry {
  alignas(8) uint32_t words[24] = {};
  void Set(int at, uint64_t value) { memcpy(&words[at], &value, sizeof(value)); }
};

constexpr int kUnmap = 2;
CUarray array = nullptr;

CUresult MapTile(const char* call, int operation, CUmemHandle memory) {
  MapEntry entry;
  entry.Set(2, reinterpret_cast<uint64_t>(array));
  entry.words[8] = 64;  // X offset of the tile.
  entry.words[14] = static_cast<uint32_t>(operation);
  entry.Set(16, memory);
  const MapEntry* const list = &entry;
  return Ask(call, static_cast<const void*>(list), 1U, CUstream{});
}

CUresult MakeArray() {
  ArrayDescriptor3D shape = {16384, 16384, 0, 0x20, 4, kArraySparse};
  const ArrayDescriptor3D* const pointer = &shape;
  return Ask("cuArray3DCreate_v2", &array, pointer);
}

struct Way {
  const char* name;
  CUresult (*hold)(CUmemHandle memory);
  CUresult (*let_go)();
};
const Way kWays[] = {
    {"cuMulticastBindMem",
     [](CUmemHandle memory) {
       return Ask("cuMulticastBindMem", CUmemHandle{77}, kAt, memory, size_t{0}, kBytes, 0ULL);
     },
     [] { return Ask("cuMulticastUnbind", CUmemHandle{77}, 0, kAt, kBytes); }},
    {"cuMulticastBindMem_v2",
     [](CUmemHandle memory) {
       return Ask(
           "cuMulticastBindMem_v2", CUmemHandle{77}, 0, kAt, memory, size_t{0}, kBytes, 0ULL);
     },
     [] { return Ask("cuMulticastUnbind", CUmemHandle{77}, 0, size_t{0}, kAt + kBytes); }},
    {"cuMemMapArrayAsync",
     [](CUmemHandle memory) {
       MakeArray();
       return MapTile("cuMemMapArrayAsync", 1, memory);
     },
     [] { return MapTile("cuMemMapArrayAsync", kUnmap, 0); }},
    {"cuMemMapArrayAsync_ptsz",
     [](CUmemHandle memory) {
       MakeArray();
       return MapTile("cuMemMapArrayAsync_ptsz", 1, memory);
     },
     [] { return Ask("cuArrayDestroy", array); }},
    {"cuLogicalEndpointBindMem",
     [](CUmemHandle memory) {
       return Ask("cuLogicalEndpointBindMem",
                  5U,
                  0,
                  uint64_t{kAt},
                  memory,
                  uint64_t{0},
                  uint64_t{kBytes},
                  0ULL);
     },
     [] { return Ask("cuLogicalEndpointUnbind", 5U, 0, uint64_t{kAt}, uint64_t{kBytes}); }},
    {"cuLogicalEndpointDestroy",
     [](CUmemHandle memory) {
       return Ask("cuLogicalEndpointBindMem",
                  6U,
                  0,
                  uint64_t{kAt},
                  memory,
                  uint64_t{0},
                  uint64_t{kBytes},
                  0ULL);
     },
     [] { return Ask("cuLogicalEndpointDestroy", 6U); }},
};

void DoHolds() {
  for (const Way& way : kWays) {
    CUmemHandle memory = 0;
    CUmemHandle more = 0;
    if (Create(&memory, kBytes) != kSuccess || way.hold(memory) != kSuccess ||
        Ask("cuMemRelease", memory) != kSuccess) {
      printf("%s failed\n", way.name);
      return;
    }
    const size_t held = UsedMib();
    const CUresult refused = Create(&more, 600 * kMib);
    way.let_go();
    printf("%s %zu %d %zu\n", way.name, held, refused, UsedMib());
  }
}

// What others have allocated is not charged a second time.
void DoImports() {
  CUmemHandle memory = 0;
  CUmemoryPool pool = nullptr;
  CUdeviceptr pointer = 0;
  void* object = nullptr;
  void* const none = nullptr;
  const void* const nothing = nullptr;
  const CUresult results[] = {
      Ask("cuMemImportFromShareableHandle", &memory, none, 1),
      Ask("cuMulticastBindMem", CUmemHandle{7}, kAt, memory, size_t{0}, kBytes, 0ULL),
      Ask("cuMemRelease", memory),
      Ask("cuImportExternalMemory", &object, nothing),
      Ask("cuMemPoolImportFromShareableHandle", &pool, none, 1, 0ULL),
      Ask("cuMemPoolImportPointer", &pointer, pool, none),
      Ask("cuMemFree_v2", pointer),
      Ask("cuGreenCtxCreate", &object, none, 0, 1U),
  };
  for (const CUresult result : results) {
    printf("%d ", result);
  }
  printf("%zu\n", UsedMib());
}

}  // namespace
}  // namespace sluice::shim

int main(int argc, char** argv) {
  using namespace sluice::shim;
  if (argc != 2 || Ask("cuInit", 0U) != kSuccess) {
    return 1;
  }
  strcmp(argv[1], "holds") == 0 ? DoHolds() : DoImports();
  return 0;
}
