// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "simgpu/tests/machine.h"

// Every way to take memory of a card: what it charges, and that it comes back.
namespace sluice::simgpu {
namespace {

class MemoryRoute : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("1x1GiB");
  }
};

constexpr int64_t kMib = 1 << 20;

// A process with a context on the first card.
struct Program {
  Library cuda{"libcuda.so.1"};
  CUcontext context = nullptr;

  Program() {
    EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
    EXPECT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
  }
  // MiB in use beyond the context's own 400.
  int64_t Used() const {
    size_t free = 0;
    size_t total = 0;
    EXPECT_EQ(cuda.Call("cuMemGetInfo_v2", &free, &total), CUDA_SUCCESS);
    return static_cast<int64_t>(total - free) / kMib - 400;
  }
};

constexpr size_t Mib(size_t count) {
  return count << 20;
}
CUstream kNoStream = nullptr;

TEST_F(MemoryRoute, ChargesPitchedManagedAndOldestForms) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUdeviceptr a = 0;
              size_t pitch = 0;
              EXPECT_EQ(
                  p.cuda.Call("cuMemAllocPitch_v2", &a, &pitch, size_t{100}, size_t{20000}, 4u),
                  CUDA_SUCCESS);
              EXPECT_EQ(pitch, 512u);
              EXPECT_EQ(p.Used(), 10);
              CUdeviceptr managed = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAllocManaged", &managed, Mib(6), 1u), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 16);
              unsigned low = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAlloc", &low, 5u << 20), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 22);
              EXPECT_EQ(p.cuda.Call("cuMemFree", low), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemFree_v2", managed), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemFree_v2", a), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 0);
            }),
            0);
}

TEST_F(MemoryRoute, OversubscribesWithManagedMemoryOnly) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAllocManaged", &a, Mib(4096), 1u), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 0);
              EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(4096)), CUDA_ERROR_OUT_OF_MEMORY);
            }),
            0);
}

TEST_F(MemoryRoute, KeepsPoolMemoryUntilASynchronisation) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUdeviceptr a = 0;
              CUdeviceptr b = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAllocAsync", &a, Mib(8), kNoStream), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemAllocAsync_ptsz", &b, Mib(8), kNoStream), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 16);
              EXPECT_EQ(p.cuda.Call("cuMemFreeAsync", a, kNoStream), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemFreeAsync_ptsz", b, kNoStream), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 16);
              CUmemoryPool pool = nullptr;
              EXPECT_EQ(p.cuda.Call("cuDeviceGetDefaultMemPool", &pool, 0), CUDA_SUCCESS);
              uint64_t reserved = 0;
              EXPECT_EQ(
                  p.cuda.Call("cuMemPoolGetAttribute", pool, 5, static_cast<void*>(&reserved)),
                  CUDA_SUCCESS);
              EXPECT_EQ(reserved, Mib(16));
              uint64_t keep = Mib(8);
              EXPECT_EQ(p.cuda.Call("cuMemPoolSetAttribute", pool, 4, static_cast<void*>(&keep)),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuCtxSynchronize"), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 8);
              EXPECT_EQ(p.cuda.Call("cuMemPoolTrimTo", pool, size_t{0}), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 0);
            }),
            0);
}

TEST_F(MemoryRoute, EndsAPoolWithItsLastBlock) {
  EXPECT_EQ(InChild([] {
              Program p;
              CUmemPoolProps props{};
              props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
              props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
              CUmemoryPool pool = nullptr;
              EXPECT_EQ(p.cuda.Call("cuMemPoolCreate", &pool, &props), CUDA_SUCCESS);
              CUdeviceptr a = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAllocFromPoolAsync", &a, Mib(4), pool, kNoStream),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemPoolDestroy", pool), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 4);
              EXPECT_EQ(p.cuda.Call("cuMemFree_v2", a), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 0);
              EXPECT_EQ(p.cuda.Call("cuMemPoolDestroy", pool), CUDA_ERROR_INVALID_VALUE);
            }),
            0);
}

TEST_F(MemoryRoute, FreesMappedMemoryWhenHandleAndMappingAreGone) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUmemAllocationProp prop{};
        prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
        prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
        CUmemGenericAllocationHandle handle = 0;
        EXPECT_EQ(p.cuda.Call("cuMemCreate", &handle, size_t{4096}, &prop, 0ull),
                  CUDA_ERROR_INVALID_VALUE);
        EXPECT_EQ(p.cuda.Call("cuMemCreate", &handle, Mib(4), &prop, 0ull), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 4);
        CUdeviceptr at = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAddressReserve", &at, Mib(16), size_t{0}, CUdeviceptr{0}, 0ull),
                  CUDA_SUCCESS);
        CUdeviceptr second = at + Mib(8);
        EXPECT_EQ(p.cuda.Call("cuMemMap", at, Mib(4), size_t{0}, handle, 0ull), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemMap", second, Mib(4), size_t{0}, handle, 0ull), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemMap", at, Mib(2), size_t{0}, handle, 0ull),
                  CUDA_ERROR_INVALID_VALUE);
        CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, 3};
        EXPECT_EQ(p.cuda.Call("cuMemSetAccess", at, Mib(4), &access, size_t{1}), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemSetAccess", second, Mib(4), &access, size_t{1}), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemRelease", handle), CUDA_SUCCESS);
        // Two addresses, one memory.
        EXPECT_EQ(p.cuda.Call("cuMemsetD32_v2", at, 7u, size_t{1024}), CUDA_SUCCESS);
        unsigned word = 0;
        EXPECT_EQ(p.cuda.Call("cuMemcpyDtoH_v2", static_cast<void*>(&word), second, size_t{4}),
                  CUDA_SUCCESS);
        EXPECT_EQ(word, 7u);
        EXPECT_EQ(p.Used(), 4);
        EXPECT_EQ(p.cuda.Call("cuMemAddressFree", at, Mib(16)), CUDA_ERROR_INVALID_VALUE);
        EXPECT_EQ(p.cuda.Call("cuMemUnmap", at, Mib(4)), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 4);
        EXPECT_EQ(p.cuda.Call("cuMemUnmap", second, Mib(4)), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 0);
        EXPECT_EQ(p.cuda.Call("cuMemAddressFree", at, Mib(16)), CUDA_SUCCESS);
      }),
      0);
}

TEST_F(MemoryRoute, ChargesArraysOfEveryShape) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUDA_ARRAY_DESCRIPTOR flat{1024, 1024, 0x20, 1};
        CUarray array = nullptr;
        EXPECT_EQ(p.cuda.Call("cuArrayCreate_v2", &array, &flat), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 4);
        CUDA_ARRAY3D_DESCRIPTOR deep{512, 512, 8, 0x20, 4, 0};
        CUarray volume = nullptr;
        EXPECT_EQ(p.cuda.Call("cuArray3DCreate_v2", &volume, &deep), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 36);
        CUmipmappedArray mipmapped = nullptr;
        CUDA_ARRAY3D_DESCRIPTOR base{1024, 1024, 0, 0x20, 1, 0};
        EXPECT_EQ(p.cuda.Call("cuMipmappedArrayCreate", &mipmapped, &base, 3u), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 42);
        CUDA_ARRAY_DESCRIPTOR huge{65536, 65536, 0x20, 1};
        CUarray none = nullptr;
        EXPECT_EQ(p.cuda.Call("cuArrayCreate_v2", &none, &huge), CUDA_ERROR_OUT_OF_MEMORY);
        std::vector<float> row(1024, 2.5f);
        EXPECT_EQ(p.cuda.Call("cuMemcpyHtoA_v2",
                              array,
                              size_t{0},
                              static_cast<const void*>(row.data()),
                              size_t{4096}),
                  CUDA_SUCCESS);
        std::vector<float> back(1024);
        EXPECT_EQ(
            p.cuda.Call(
                "cuMemcpyAtoH_v2", static_cast<void*>(back.data()), array, size_t{0}, size_t{4096}),
            CUDA_SUCCESS);
        EXPECT_EQ(back, row);
        EXPECT_EQ(p.cuda.Call("cuArrayDestroy", array), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuArrayDestroy", array), CUDA_ERROR_INVALID_HANDLE);
        EXPECT_EQ(p.cuda.Call("cuArrayDestroy", volume), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMipmappedArrayDestroy", mipmapped), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 0);
      }),
      0);
}

TEST_F(MemoryRoute, ChargesNothingForTheMachinesOwnMemory) {
  EXPECT_EQ(InChild([] {
              Program p;
              void* host = nullptr;
              EXPECT_EQ(p.cuda.Call("cuMemAllocHost_v2", &host, Mib(64)), CUDA_SUCCESS);
              EXPECT_EQ(p.Used(), 0);
              CUdeviceptr seen = 0;
              EXPECT_EQ(p.cuda.Call("cuMemHostGetDevicePointer_v2", &seen, host, 0u), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemFreeHost", host), CUDA_SUCCESS);
              std::vector<char> own(8192);
              void* address = own.data();
              EXPECT_EQ(p.cuda.Call("cuMemHostRegister_v2", address, size_t{8192}, 0u),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemHostRegister_v2", address, size_t{8192}, 0u),
                        CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
              EXPECT_EQ(p.cuda.Call("cuMemHostUnregister", address), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemHostUnregister", address),
                        CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
            }),
            0);
}

TEST_F(MemoryRoute, CarriesDataBetweenProcesses) {
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  HeldChild exporter([&] {
    Program p;
    CUdeviceptr a = 0;
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{8192}), CUDA_SUCCESS);
    EXPECT_EQ(p.cuda.Call("cuMemsetD8_v2", a, static_cast<unsigned char>(9), size_t{8192}),
              CUDA_SUCCESS);
    CUipcMemHandle handle{};
    EXPECT_EQ(p.cuda.Call("cuIpcGetMemHandle", &handle, a), CUDA_SUCCESS);
    CUdeviceptr self = 0;
    EXPECT_EQ(p.cuda.Call("cuIpcOpenMemHandle_v2", &self, handle, 1u), CUDA_ERROR_INVALID_CONTEXT);
    EXPECT_EQ(::write(pipes[1], &handle, sizeof(handle)), static_cast<ssize_t>(sizeof(handle)));
  });
  ASSERT_TRUE(exporter.ready());
  CUipcMemHandle handle{};
  ASSERT_EQ(::read(pipes[0], &handle, sizeof(handle)), static_cast<ssize_t>(sizeof(handle)));
  EXPECT_EQ(
      InChild([&] {
        Program p;
        int64_t before = p.Used();
        CUdeviceptr a = 0;
        ASSERT_EQ(p.cuda.Call("cuIpcOpenMemHandle_v2", &a, handle, 1u), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), before);
        unsigned char byte = 0;
        EXPECT_EQ(p.cuda.Call("cuMemcpyDtoH_v2", static_cast<void*>(&byte), a + 8191, size_t{1}),
                  CUDA_SUCCESS);
        EXPECT_EQ(byte, 9);
        EXPECT_EQ(p.cuda.Call("cuIpcCloseMemHandle", a), CUDA_SUCCESS);
        CUipcMemHandle forged = handle;
        std::memset(forged.reserved + 16, 0xff, 32);
        EXPECT_EQ(p.cuda.Call("cuIpcOpenMemHandle_v2", &a, forged, 1u), CUDA_ERROR_INVALID_HANDLE);
      }),
      0);
}

TEST_F(MemoryRoute, ChargesGraphMemoryAtLaunchAndGivesItBackWhenTrimmed) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUgraph graph = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphCreate", &graph, 0u), CUDA_SUCCESS);
        CUDA_MEM_ALLOC_NODE_PARAMS params{};
        params.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
        params.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
        params.bytesize = Mib(10);
        CUgraphNode allocate = nullptr;
        const CUgraphNode* none = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphAddMemAllocNode", &allocate, graph, none, size_t{0}, &params),
                  CUDA_SUCCESS);
        CUgraphNode release = nullptr;
        const CUgraphNode* after = &allocate;
        EXPECT_EQ(
            p.cuda.Call("cuGraphAddMemFreeNode", &release, graph, after, size_t{1}, params.dptr),
            CUDA_SUCCESS);
        CUgraphExec exec = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphInstantiateWithFlags", &exec, graph, 0ull), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 0);
        EXPECT_EQ(p.cuda.Call("cuGraphLaunch", exec, kNoStream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGraphLaunch_ptsz", exec, kNoStream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuCtxSynchronize"), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 10);
        uint64_t reserved = 0;
        EXPECT_EQ(p.cuda.Call("cuDeviceGetGraphMemAttribute", 0, 2, static_cast<void*>(&reserved)),
                  CUDA_SUCCESS);
        EXPECT_EQ(reserved, Mib(10));
        EXPECT_EQ(p.cuda.Call("cuDeviceGraphMemTrim", 0), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 0);
        CUdeviceptr most = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &most, Mib(620)), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGraphLaunch", exec, kNoStream), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQ(p.cuda.Call("cuGraphExecDestroy", exec), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGraphDestroy", graph), CUDA_SUCCESS);
      }),
      0);
}

TEST_F(MemoryRoute, TurnsACapturedAllocationIntoANode) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUstream stream = nullptr;
        EXPECT_EQ(p.cuda.Call("cuStreamCreate", &stream, 1u), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuStreamBeginCapture_v2", stream, 0), CUDA_SUCCESS);
        CUdeviceptr a = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAllocAsync", &a, Mib(4), stream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call(
                      "cuMemsetD8Async", a, static_cast<unsigned char>(1), size_t{Mib(4)}, stream),
                  CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemFreeAsync", a, stream), CUDA_SUCCESS);
        CUgraph graph = nullptr;
        EXPECT_EQ(p.cuda.Call("cuStreamEndCapture", stream, &graph), CUDA_SUCCESS);
        size_t nodes = 0;
        CUgraphNode* nowhere = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphGetNodes", graph, nowhere, &nodes), CUDA_SUCCESS);
        EXPECT_EQ(nodes, 3u);
        EXPECT_EQ(p.Used(), 0);
        CUgraphExec exec = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphInstantiateWithFlags", &exec, graph, 0ull), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGraphLaunch", exec, stream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 4);
      }),
      0);
}

TEST_F(MemoryRoute, GivesEverythingBackWithTheContext) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUdeviceptr a = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(100)), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{100}), CUDA_SUCCESS);
        CUDA_ARRAY_DESCRIPTOR flat{1024, 1024, 0x20, 1};
        CUarray array = nullptr;
        EXPECT_EQ(p.cuda.Call("cuArrayCreate_v2", &array, &flat), CUDA_SUCCESS);
        CUcontext other = nullptr;
        EXPECT_EQ(p.cuda.Call("cuDevicePrimaryCtxRetain", &other, 0), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 506);
        EXPECT_EQ(p.cuda.Call("cuCtxSetCurrent", other), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuCtxDestroy_v2", p.context), CUDA_SUCCESS);
        EXPECT_EQ(p.Used(), 0);  // The primary context's 400.
        EXPECT_EQ(p.cuda.Call("cuCtxPushCurrent_v2", p.context), CUDA_ERROR_CONTEXT_IS_DESTROYED);
        EXPECT_EQ(p.cuda.Call("cuDevicePrimaryCtxRelease_v2", 0), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1}), CUDA_ERROR_CONTEXT_IS_DESTROYED);
      }),
      0);
}

}  // namespace
}  // namespace sluice::simgpu
