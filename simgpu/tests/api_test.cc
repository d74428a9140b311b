// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "simgpu/tests/program.h"
#include "simgpu/truth.h"

// The younger parts of the interface, each by what a program would do with it.
namespace sluice::simgpu {
namespace {

class Api : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("2x1GiB");
  }
};

size_t Mib(size_t count) {
  return count << 20;
}

uint32_t WordAt(const Program& p, CUdeviceptr address) {
  uint32_t word = 0;
  void* to = &word;
  EXPECT_EQ(p.cuda.Call("cuMemcpyDtoH_v2", to, address, sizeof(word)), CUDA_SUCCESS);
  return word;
}

TEST_F(Api, ChangesWhatAReadyGraphDoes) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUdeviceptr a = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{8}), CUDA_SUCCESS);
        CUgraph graph = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphCreate", &graph, 0u), CUDA_SUCCESS);
        CUDA_MEMSET_NODE_PARAMS params{a, 0, 5, 4, 1, 1};
        CUgraphNode first = nullptr;
        CUgraphNode second = nullptr;
        const CUgraphNode* none = nullptr;
        EXPECT_EQ(
            p.cuda.Call("cuGraphAddMemsetNode", &first, graph, none, size_t{0}, &params, p.context),
            CUDA_SUCCESS);
        params.dst = a + 4;
        const CUgraphNode* after = &first;
        EXPECT_EQ(p.cuda.Call(
                      "cuGraphAddMemsetNode", &second, graph, after, size_t{1}, &params, p.context),
                  CUDA_SUCCESS);
        CUDA_MEMSET_NODE_PARAMS got{};
        EXPECT_EQ(p.cuda.Call("cuGraphMemsetNodeGetParams", second, &got), CUDA_SUCCESS);
        EXPECT_EQ(got.dst, a + 4);
        CUgraphNode dependent = nullptr;
        size_t count = 1;
        EXPECT_EQ(p.cuda.Call("cuGraphNodeGetDependentNodes", first, &dependent, &count),
                  CUDA_SUCCESS);
        EXPECT_EQ(dependent, second);
        CUgraphExec exec = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGraphInstantiateWithFlags", &exec, graph, 0ull), CUDA_SUCCESS);
        params.value = 9;
        EXPECT_EQ(p.cuda.Call("cuGraphExecMemsetNodeSetParams", exec, second, &params, p.context),
                  CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGraphNodeSetEnabled", exec, first, 0u), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemsetD32_v2", a, 1u, size_t{2}), CUDA_SUCCESS);
        CUstream stream = p.Stream(1);
        EXPECT_EQ(p.cuda.Call("cuGraphLaunch", exec, stream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
        EXPECT_EQ(WordAt(p, a), 1u);
        EXPECT_EQ(WordAt(p, a + 4), 9u);
        // The graph itself stayed as it was; its update brings the old value back.
        CUgraphExecUpdateResultInfo info{};
        EXPECT_EQ(p.cuda.Call("cuGraphExecUpdate_v2", exec, graph, &info), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGraphLaunch", exec, stream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
        EXPECT_EQ(WordAt(p, a + 4), 5u);
        EXPECT_EQ(p.cuda.Call("cuGraphExecMemsetNodeSetParams",
                              exec,
                              static_cast<CUgraphNode>(nullptr),
                              &params,
                              p.context),
                  CUDA_ERROR_INVALID_VALUE);
      }),
      0);
}

TEST_F(Api, LaunchesKernelsOfLibrariesAndFindsTheirVariables) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        const void* text =
            ".version 7.0\n.target sm_80\n.global .align 4 .u32 table[16];\n"
            ".visible .entry first() { ret; }\n.visible .entry second() { ret; }\n";
        CUlibrary library = nullptr;
        int* none = nullptr;
        void** nothing = nullptr;
        EXPECT_EQ(
            p.cuda.Call("cuLibraryLoadData", &library, text, none, nothing, 0u, none, nothing, 0u),
            CUDA_SUCCESS);
        unsigned count = 0;
        EXPECT_EQ(p.cuda.Call("cuLibraryGetKernelCount", &count, library), CUDA_SUCCESS);
        EXPECT_EQ(count, 2u);
        CUkernel kernel = nullptr;
        EXPECT_EQ(p.cuda.Call("cuLibraryGetKernel", &kernel, library, "second"), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuLibraryGetKernel", &kernel, library, "third"),
                  CUDA_ERROR_NOT_FOUND);
        CUdeviceptr table = 0;
        size_t bytes = 0;
        EXPECT_EQ(p.cuda.Call("cuLibraryGetGlobal", &table, &bytes, library, "table"),
                  CUDA_SUCCESS);
        EXPECT_EQ(bytes, 64u);
        EXPECT_EQ(p.cuda.Call("cuMemsetD32_v2", table, 3u, size_t{16}), CUDA_SUCCESS);
        EXPECT_EQ(WordAt(p, table + 60), 3u);
        EXPECT_EQ(p.cuda.Call("cuLibraryUnload", library), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuLibraryUnload", library), CUDA_ERROR_INVALID_HANDLE);
      }),
      0);
}

TEST_F(Api, LinksTextsToAModule) {
  EXPECT_EQ(InChild([] {
              Program p;
              unsigned none = 0;
              void* linker = nullptr;
              int* options = nullptr;
              void** values = nullptr;
              ASSERT_EQ(p.cuda.Call("cuLinkCreate_v2", none, options, values, &linker),
                        CUDA_SUCCESS);
              std::string text = kPtx;
              constexpr int kPtxInput = 1;
              ASSERT_EQ(p.cuda.Call("cuLinkAddData_v2",
                                    linker,
                                    kPtxInput,
                                    static_cast<void*>(text.data()),
                                    text.size() + 1,
                                    "text",
                                    none,
                                    options,
                                    values),
                        CUDA_SUCCESS);
              void* image = nullptr;
              size_t bytes = 0;
              ASSERT_EQ(p.cuda.Call("cuLinkComplete", linker, &image, &bytes), CUDA_SUCCESS);
              CUmodule module = nullptr;
              CUfunction function = nullptr;
              EXPECT_EQ(p.cuda.Call("cuModuleLoadData", &module, static_cast<const void*>(image)),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuModuleGetFunction", &function, module, "sluice_fill"),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuLinkDestroy", linker), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(Api, SplitsACardIntoGreenContextsThatTakeNoMemory) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        struct Resource {
          int type;
          unsigned char padding[92];
          unsigned count, least, step;
          unsigned char rest[36];
        } all{}, parts[2]{}, rest{};
        CUcontext primary = nullptr;
        EXPECT_EQ(p.cuda.Call("cuDevicePrimaryCtxRetain", &primary, CUdevice{0}), CUDA_SUCCESS);
        size_t before = 0;
        size_t total = 0;
        EXPECT_EQ(p.cuda.Call("cuMemGetInfo_v2", &before, &total), CUDA_SUCCESS);
        void* whole = &all;
        EXPECT_EQ(p.cuda.Call("cuDeviceGetDevResource", CUdevice{0}, whole, 1), CUDA_SUCCESS);
        unsigned groups = 2;
        EXPECT_EQ(p.cuda.Call("cuDevSmResourceSplitByCount",
                              &parts[0],
                              &groups,
                              whole,
                              static_cast<void*>(&rest),
                              0u,
                              15u),
                  CUDA_SUCCESS);
        EXPECT_EQ(groups, 2u);
        EXPECT_EQ(parts[0].count, 16u);
        EXPECT_EQ(rest.count, all.count - 32);
        void* desc = nullptr;
        EXPECT_EQ(p.cuda.Call("cuDevResourceGenerateDesc", &desc, &parts[0], 1u), CUDA_SUCCESS);
        void* green = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGreenCtxCreate", &green, desc, CUdevice{0}, 1u), CUDA_SUCCESS);
        size_t after = 0;
        EXPECT_EQ(p.cuda.Call("cuMemGetInfo_v2", &after, &total), CUDA_SUCCESS);
        EXPECT_EQ(before, after);
        CUstream stream = nullptr;
        EXPECT_EQ(p.cuda.Call("cuGreenCtxStreamCreate", &stream, green, 1u, 0), CUDA_SUCCESS);
        EXPECT_EQ(p.Sleep(stream, 10), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGreenCtxDestroy", green), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuGreenCtxDestroy", green), CUDA_ERROR_INVALID_CONTEXT);
      }),
      0);
}

TEST_F(Api, SharesEventsBetweenProcesses) {
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  HeldChild recorder([&] {
    static Program p;
    CUevent event = nullptr;
    CUipcMemHandle handle{};
    EXPECT_EQ(p.cuda.Call("cuEventCreate", &event, 2u), CUDA_SUCCESS);
    EXPECT_EQ(p.cuda.Call("cuIpcGetEventHandle", &handle, event), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(p.cuda.Call("cuEventCreate", &event, 6u), CUDA_SUCCESS);
    EXPECT_EQ(p.cuda.Call("cuIpcGetEventHandle", &handle, event), CUDA_SUCCESS);
    CUstream stream = p.Stream(1);
    EXPECT_EQ(p.Sleep(stream, 20'000), CUDA_SUCCESS);
    EXPECT_EQ(p.cuda.Call("cuEventRecord", event, stream), CUDA_SUCCESS);
    EXPECT_EQ(::write(pipes[1], &handle, sizeof(handle)), static_cast<ssize_t>(sizeof(handle)));
  });
  ASSERT_TRUE(recorder.ready());
  CUipcMemHandle handle{};
  ASSERT_EQ(::read(pipes[0], &handle, sizeof(handle)), static_cast<ssize_t>(sizeof(handle)));
  EXPECT_EQ(InChild([&] {
              Program p;
              CUevent event = nullptr;
              EXPECT_EQ(p.cuda.Call("cuIpcOpenEventHandle", &event, handle), CUDA_SUCCESS);
              CUstream stream = p.Stream(1);
              EXPECT_EQ(p.cuda.Call("cuStreamWaitEvent", stream, event, 0u), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuStreamSynchronize", stream), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuEventQuery", event), CUDA_SUCCESS);
              CUipcMemHandle forged{};
              EXPECT_EQ(p.cuda.Call("cuIpcOpenEventHandle", &event, forged),
                        CUDA_ERROR_INVALID_HANDLE);
            }),
            0);
}

TEST_F(Api, TakesAProcessOffTheCardAndPutsItBack) {
  HeldChild idle([] {
    static Program p;
    CUdeviceptr a = 0;
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, Mib(100)), CUDA_SUCCESS);
  });
  ASSERT_TRUE(idle.ready());
  int pid = idle.pid();
  EXPECT_EQ(
      InChild([pid] {
        Library cuda("libcuda.so.1");
        EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
        CUcontext context = nullptr;
        EXPECT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
        const void* none = nullptr;
        int state = -1;
        EXPECT_EQ(cuda.Call("cuCheckpointProcessCheckpoint", pid, none), CUDA_ERROR_ILLEGAL_STATE);
        EXPECT_EQ(cuda.Call("cuCheckpointProcessLock", pid, none), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuCheckpointProcessCheckpoint", pid, none), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuCheckpointProcessGetState", pid, &state), CUDA_SUCCESS);
        EXPECT_EQ(state, 2);
        size_t free_bytes = 0;
        size_t total = 0;
        EXPECT_EQ(cuda.Call("cuMemGetInfo_v2", &free_bytes, &total), CUDA_SUCCESS);
        EXPECT_EQ(free_bytes, Mib(624));
        // No room: it stays where it is.
        CUdeviceptr most = 0;
        EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &most, Mib(500)), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuCheckpointProcessRestore", pid, none), CUDA_ERROR_OUT_OF_MEMORY);
        EXPECT_EQ(cuda.Call("cuMemFree_v2", most), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuCheckpointProcessRestore", pid, none), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuCheckpointProcessUnlock", pid, none), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuMemGetInfo_v2", &free_bytes, &total), CUDA_SUCCESS);
        EXPECT_EQ(free_bytes, Mib(124));
        EXPECT_EQ(cuda.Call("cuCheckpointProcessGetState", 1, &state), CUDA_ERROR_INVALID_VALUE);
      }),
      0);
}

TEST_F(Api, RefusesToCheckpointManagedMemory) {
  HeldChild managed([] {
    static Program p;
    CUdeviceptr a = 0;
    EXPECT_EQ(p.cuda.Call("cuMemAllocManaged", &a, Mib(4), 1u), CUDA_SUCCESS);
  });
  ASSERT_TRUE(managed.ready());
  int pid = managed.pid();
  EXPECT_EQ(InChild([pid] {
              Program p;
              const void* none = nullptr;
              EXPECT_EQ(p.cuda.Call("cuCheckpointProcessLock", pid, none), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuCheckpointProcessCheckpoint", pid, none),
                        CUDA_ERROR_NOT_SUPPORTED);
              EXPECT_EQ(p.cuda.Call("cuCheckpointProcessUnlock", pid, none), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(Api, MapsMemoryOfAnotherMaker) {
  EXPECT_EQ(InChild([] {
              Program p;
              struct {
                int type = 1;
                union {
                  int fd;
                  void* two[2];
                } handle{};
                unsigned long long size = 8192;
                unsigned flags = 0;
                unsigned reserved[16] = {};
              } desc;
              desc.handle.fd = ::memfd_create("other", 0);
              EXPECT_EQ(::ftruncate(desc.handle.fd, 8192), 0);
              void* memory = nullptr;
              const void* given = &desc;
              EXPECT_EQ(p.cuda.Call("cuImportExternalMemory", &memory, given), CUDA_SUCCESS);
              struct {
                unsigned long long offset = 4096, size = 4096;
                unsigned flags = 0;
                unsigned reserved[16] = {};
              } range;
              CUdeviceptr a = 0;
              const void* part = &range;
              EXPECT_EQ(p.cuda.Call("cuExternalMemoryGetMappedBuffer", &a, memory, part),
                        CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemsetD32_v2", a, 6u, size_t{1024}), CUDA_SUCCESS);
              uint32_t word = 0;
              EXPECT_EQ(::pread(desc.handle.fd, &word, 4, 4096), 4);
              EXPECT_EQ(word, 6u);
              EXPECT_EQ(p.cuda.Call("cuMemFree_v2", a), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuDestroyExternalMemory", memory), CUDA_SUCCESS);
              range.size = 8192;
              EXPECT_EQ(p.cuda.Call("cuExternalMemoryGetMappedBuffer", &a, memory, part),
                        CUDA_ERROR_INVALID_HANDLE);
            }),
            0);
}

TEST_F(Api, BindsMulticastOnlyWhenAllCardsJoined) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        struct {
          unsigned devices = 2;
          size_t size = size_t{4} << 20;
          unsigned long long types = 0, flags = 0;
        } prop;
        const void* given = &prop;
        CUmemGenericAllocationHandle object = 0;
        EXPECT_EQ(p.cuda.Call("cuMulticastCreate", &object, given), CUDA_SUCCESS);
        CUmemAllocationProp memory_prop{};
        memory_prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
        memory_prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
        CUmemGenericAllocationHandle memory = 0;
        EXPECT_EQ(p.cuda.Call("cuMemCreate", &memory, Mib(4), &memory_prop, 0ull), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMulticastAddDevice", object, CUdevice{0}), CUDA_SUCCESS);
        EXPECT_EQ(
            p.cuda.Call("cuMulticastBindMem", object, size_t{0}, memory, size_t{0}, Mib(4), 0ull),
            CUDA_ERROR_ILLEGAL_STATE);
        EXPECT_EQ(p.cuda.Call("cuMulticastAddDevice", object, CUdevice{1}), CUDA_SUCCESS);
        EXPECT_EQ(
            p.cuda.Call("cuMulticastBindMem", object, size_t{0}, memory, size_t{0}, Mib(4), 0ull),
            CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemRelease", object), CUDA_SUCCESS);
      }),
      0);
}

TEST_F(Api, CarriesPoolMemoryBetweenProcesses) {
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  HeldChild exporter([&] {
    static Program p;
    CUmemPoolProps props{};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(p.cuda.Call("cuMemPoolCreate", &pool, &props), CUDA_SUCCESS);
    CUdeviceptr a = 0;
    CUstream none = nullptr;
    EXPECT_EQ(p.cuda.Call("cuMemAllocFromPoolAsync", &a, Mib(1), pool, none), CUDA_SUCCESS);
    EXPECT_EQ(p.cuda.Call("cuMemsetD32_v2", a, 77u, size_t{4}), CUDA_SUCCESS);
    CUipcMemHandle pointer{};
    EXPECT_EQ(p.cuda.Call("cuMemPoolExportPointer", &pointer, a), CUDA_SUCCESS);
    EXPECT_EQ(::write(pipes[1], &pointer, sizeof(pointer)), static_cast<ssize_t>(sizeof(pointer)));
  });
  ASSERT_TRUE(exporter.ready());
  CUipcMemHandle pointer{};
  ASSERT_EQ(::read(pipes[0], &pointer, sizeof(pointer)), static_cast<ssize_t>(sizeof(pointer)));
  EXPECT_EQ(InChild([&] {
              Program p;
              CUmemoryPool pool = nullptr;
              auto fd = static_cast<intptr_t>(::memfd_create("pool", 0));
              void* handle = nullptr;
              std::memcpy(&handle, &fd, sizeof(fd));
              EXPECT_EQ(p.cuda.Call("cuMemPoolImportFromShareableHandle", &pool, handle, 1, 0ull),
                        CUDA_SUCCESS);
              CUdeviceptr a = 0;
              const CUipcMemHandle* given = &pointer;
              EXPECT_EQ(p.cuda.Call("cuMemPoolImportPointer", &a, pool, given), CUDA_SUCCESS);
              EXPECT_EQ(WordAt(p, a), 77u);
              CUstream none = nullptr;
              CUdeviceptr b = 0;
              EXPECT_EQ(p.cuda.Call("cuMemAllocFromPoolAsync", &b, Mib(1), pool, none),
                        CUDA_ERROR_INVALID_VALUE);
              EXPECT_EQ(p.cuda.Call("cuMemFreeAsync", a, none), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuCtxSynchronize"), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(Api, MapsMemoryToTilesOfASparseArray) {
  EXPECT_EQ(InChild([] {
              Program p;
              auto used = [&p] {
                size_t free_bytes = 0;
                size_t total = 0;
                p.cuda.Call("cuMemGetInfo_v2", &free_bytes, &total);
                return (total - free_bytes) >> 20;
              };
              size_t before = used();
              CUDA_ARRAY3D_DESCRIPTOR shape{4096, 4096, 0, 0x20, 1, 0x40};
              CUarray array = nullptr;
              EXPECT_EQ(p.cuda.Call("cuArray3DCreate_v2", &array, &shape), CUDA_SUCCESS);
              EXPECT_EQ(used(), before);
              CUmemAllocationProp prop{};
              prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
              prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
              CUmemGenericAllocationHandle memory = 0;
              EXPECT_EQ(p.cuda.Call("cuMemCreate", &memory, Mib(2), &prop, 0ull), CUDA_SUCCESS);
              struct {
                int resource_type = 0;
                CUarray array = nullptr;
                int subresource_type = 0;
                unsigned tile[8] = {0, 0, 0, 0, 0, 128, 128, 1};
                int operation = 1;
                int handle_type = 0;
                CUmemGenericAllocationHandle memory = 0;
                unsigned long long offset = 0;
                unsigned rest[4] = {1, 0, 0, 0};
              } info;
              info.array = array;
              info.memory = memory;
              const void* list = &info;
              CUstream stream = p.Stream(1);
              EXPECT_EQ(p.cuda.Call("cuMemMapArrayAsync", list, 1u, stream), CUDA_SUCCESS);
              EXPECT_EQ(p.cuda.Call("cuMemRelease", memory), CUDA_SUCCESS);
              // The tile keeps it.
              EXPECT_EQ(used(), before + 2);
              info.operation = 2;
              EXPECT_EQ(p.cuda.Call("cuMemMapArrayAsync", list, 1u, stream), CUDA_SUCCESS);
              EXPECT_EQ(used(), before);
              info.operation = 1;
              EXPECT_EQ(p.cuda.Call("cuMemMapArrayAsync", list, 1u, stream),
                        CUDA_ERROR_INVALID_VALUE);
              EXPECT_EQ(p.cuda.Call("cuArrayDestroy", array), CUDA_SUCCESS);
            }),
            0);
}

TEST_F(Api, RemembersWhereManagedMemoryShouldBe) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUdeviceptr a = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAllocManaged", &a, Mib(4), 1u), CUDA_SUCCESS);
        CUmemLocation host{CU_MEM_LOCATION_TYPE_HOST, 0};
        EXPECT_EQ(p.cuda.Call("cuMemAdvise_v2", a, Mib(4), 3, host), CUDA_SUCCESS);
        CUstream stream = p.Stream(1);
        EXPECT_EQ(p.cuda.Call("cuMemPrefetchAsync", a, Mib(4), CUdevice{1}, stream), CUDA_SUCCESS);
        int preferred = 0;
        int prefetched = 0;
        EXPECT_EQ(
            p.cuda.Call(
                "cuMemRangeGetAttribute", static_cast<void*>(&preferred), size_t{4}, 2, a, Mib(4)),
            CUDA_SUCCESS);
        EXPECT_EQ(
            p.cuda.Call(
                "cuMemRangeGetAttribute", static_cast<void*>(&prefetched), size_t{4}, 4, a, Mib(4)),
            CUDA_SUCCESS);
        EXPECT_EQ(preferred, -1);
        EXPECT_EQ(prefetched, 1);
        CUdeviceptr linear = 0;
        EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &linear, Mib(4)), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuMemPrefetchAsync", linear, Mib(4), CUdevice{0}, stream),
                  CUDA_ERROR_INVALID_VALUE);
      }),
      0);
}

TEST_F(Api, EnablesPeersOnce) {
  EXPECT_EQ(
      InChild([] {
        Program p;
        CUcontext other = nullptr;
        EXPECT_EQ(p.cuda.Call("cuDevicePrimaryCtxRetain", &other, CUdevice{1}), CUDA_SUCCESS);
        int can = 0;
        EXPECT_EQ(p.cuda.Call("cuDeviceCanAccessPeer", &can, CUdevice{0}, CUdevice{1}),
                  CUDA_SUCCESS);
        EXPECT_EQ(can, 1);
        EXPECT_EQ(p.cuda.Call("cuCtxDisablePeerAccess", other), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
        EXPECT_EQ(p.cuda.Call("cuCtxEnablePeerAccess", other, 0u), CUDA_SUCCESS);
        EXPECT_EQ(p.cuda.Call("cuCtxEnablePeerAccess", other, 0u),
                  CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
        EXPECT_EQ(p.cuda.Call("cuCtxEnablePeerAccess", p.context, 0u), CUDA_ERROR_INVALID_CONTEXT);
      }),
      0);
}

}  // namespace
}  // namespace sluice::simgpu
