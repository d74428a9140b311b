// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "simgpu/tests/machine.h"

// How programs find calls, and what the libraries say when there is nothing to find.
namespace sluice::simgpu {
namespace {

class Resolution : public SimulatedMachine {};

enum Status : int { kFound = 0, kNotFound = 1, kTooOld = 2 };

struct Answer {
  int result = -1;
  void* address = nullptr;
  int status = -1;
};

Answer Ask(const Library& cuda, const char* name, int version, uint64_t flags) {
  Answer answer;
  answer.result =
      cuda.Call("cuGetProcAddress_v2", name, &answer.address, version, flags, &answer.status);
  return answer;
}

struct TableRow {
  const char* symbol;
  const char* name;
  int version;
  bool per_thread;
};

constexpr TableRow kRows[] = {
#define CALL(symbol, name, version) {#symbol, #name, version, false},
#define PER_THREAD(symbol, name, version) {#symbol, #name, version, true},
#include "simgpu/internal/cuda/calls.def"
#undef CALL
#undef PER_THREAD
};

TEST_F(Resolution, FindsEveryRowOfTheTableByNameAndVersion) {
  Library cuda("libcuda.so.1");
  std::string before;
  std::set<std::string> seen;
  for (const TableRow& row : kRows) {
    ASSERT_LE(before, std::string(row.name)) << "the table must be sorted";
    before = row.name;
    void* exported = cuda.Find(row.symbol);
    ASSERT_NE(exported, nullptr) << row.symbol;
    std::string key =
        std::string(row.name) + std::to_string(row.version) + (row.per_thread ? "per thread" : "");
    EXPECT_TRUE(seen.insert(key).second) << key;
    if (row.version > Scene{}.cuda_version) continue;
    Answer answer = Ask(cuda, row.name, row.version, row.per_thread ? 2 : 1);
    EXPECT_EQ(answer.result, CUDA_SUCCESS) << row.symbol;
    EXPECT_EQ(answer.status, kFound) << row.symbol;
    EXPECT_EQ(answer.address, exported) << row.symbol;
  }
}

TEST_F(Resolution, GivesTheNewestFormThatTheVersionKnows) {
  Library cuda("libcuda.so.1");
  EXPECT_EQ(Ask(cuda, "cuMemAlloc", 2000, 0).address, cuda.Find("cuMemAlloc"));
  EXPECT_EQ(Ask(cuda, "cuMemAlloc", 3010, 0).address, cuda.Find("cuMemAlloc"));
  EXPECT_EQ(Ask(cuda, "cuMemAlloc", 3020, 0).address, cuda.Find("cuMemAlloc_v2"));
  EXPECT_EQ(Ask(cuda, "cuMemAlloc", 13000, 0).address, cuda.Find("cuMemAlloc_v2"));
  EXPECT_EQ(Ask(cuda, "cuCtxCreate", 11039, 0).address, cuda.Find("cuCtxCreate_v2"));
  EXPECT_EQ(Ask(cuda, "cuGraphInstantiate", 12000, 0).address,
            cuda.Find("cuGraphInstantiateWithFlags"));
}

TEST_F(Resolution, GivesThePerThreadFormOnlyWhenAsked) {
  Library cuda("libcuda.so.1");
  EXPECT_EQ(Ask(cuda, "cuMemAllocAsync", 13000, 0).address, cuda.Find("cuMemAllocAsync"));
  EXPECT_EQ(Ask(cuda, "cuMemAllocAsync", 13000, 1).address, cuda.Find("cuMemAllocAsync"));
  EXPECT_EQ(Ask(cuda, "cuMemAllocAsync", 13000, 2).address, cuda.Find("cuMemAllocAsync_ptsz"));
  EXPECT_EQ(Ask(cuda, "cuMemcpy", 13000, 2).address, cuda.Find("cuMemcpy_ptds"));
  // No such form: the plain one.
  EXPECT_EQ(Ask(cuda, "cuMemAlloc", 13000, 2).address, cuda.Find("cuMemAlloc_v2"));
}

TEST_F(Resolution, SaysWhyACallIsNotGiven) {
  Library cuda("libcuda.so.1");
  Answer unknown = Ask(cuda, "cuOfNoDriver", 13000, 0);
  EXPECT_EQ(unknown.result, CUDA_SUCCESS);
  EXPECT_EQ(unknown.address, nullptr);
  EXPECT_EQ(unknown.status, kNotFound);
  Answer early = Ask(cuda, "cuMemAllocAsync", 11010, 0);
  EXPECT_EQ(early.address, nullptr);
  EXPECT_EQ(early.status, kTooOld);
  EXPECT_EQ(Ask(cuda, "cuInit", 99000, 0).result, CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Ask(cuda, "cuInit", 13000, 64).result, CUDA_ERROR_INVALID_VALUE);
  void* address = nullptr;
  EXPECT_EQ(cuda.Call("cuGetProcAddress", "cuOfNoDriver", &address, 13000, uint64_t{0}),
            CUDA_ERROR_NOT_FOUND);
}

TEST_F(Resolution, KnowsNothingNewerThanTheDriver) {
  UseFleet("1x1GiB");
  scene_.cuda_version = 11020;
  UseScene();
  EXPECT_EQ(InChild([] {
              Library cuda("libcuda.so.1");
              ASSERT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
              EXPECT_EQ(Ask(cuda, "cuCtxCreate", 11020, 0).address, cuda.Find("cuCtxCreate_v2"));
              EXPECT_EQ(Ask(cuda, "cuCtxCreate", 11040, 0).result, CUDA_ERROR_INVALID_VALUE);
              int version = 0;
              EXPECT_EQ(cuda.Call("cuDriverGetVersion", &version), CUDA_SUCCESS);
              EXPECT_EQ(version, 11020);
            }),
            0);
}

class Branch : public SimulatedMachine, public ::testing::WithParamInterface<int> {};

// By dlsym and by cuGetProcAddress.
TEST_P(Branch, HasWhatItsVersionKnowsAndNothingNewer) {
  scene_.driver_version = std::to_string(GetParam()) + ".1-simulated";
  scene_.cuda_version = CudaVersionOf(scene_.driver_version);
  auto fleet = ParseFleet("1x1GiB");
  ASSERT_TRUE(fleet);
  scene_.cards = fleet->cards;
  UseScene();
  EXPECT_EQ(
      InChild([&] {
        const Library cuda = Library::Anew("libcuda.so.1", folder_);
        ASSERT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
        int lacking = 0;
        std::set<std::string> known;  // Some have two rows.
        for (const TableRow& row : kRows) {
          bool there = row.version <= scene_.cuda_version;
          lacking += there ? 0 : 1;
          if (there) known.insert(row.symbol);
          if (!there) continue;
          void* address = nullptr;
          uint64_t flags = row.per_thread ? 2 : 1;
          EXPECT_EQ(cuda.Call("cuGetProcAddress", row.name, &address, int{row.version}, flags),
                    CUDA_SUCCESS);
          EXPECT_EQ(address, cuda.Find(row.symbol)) << row.symbol;
        }
        for (const TableRow& row : kRows) {
          EXPECT_EQ(cuda.Find(row.symbol) != nullptr, known.contains(row.symbol)) << row.symbol;
        }
        EXPECT_EQ(lacking > 0, scene_.cuda_version < Scene{}.cuda_version);
      }),
      0);
}

INSTANTIATE_TEST_SUITE_P(OfTheDriver,
                         Branch,
                         ::testing::Values(470, 510, 525, 535, 550, 570, 575, 580, 590, 610));

TEST_F(Resolution, NamesEveryErrorThatItGives) {
  Library cuda("libcuda.so.1");
  const char* text = nullptr;
  EXPECT_EQ(cuda.Call("cuGetErrorName", 2, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_OUT_OF_MEMORY");
  EXPECT_EQ(cuda.Call("cuGetErrorString", 2, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "out of memory");
  EXPECT_EQ(cuda.Call("cuGetErrorName", 12345, &text), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(text, nullptr);
}

class Driver : public SimulatedMachine {};

int InitHere() {
  Library cuda("libcuda.so.1");
  return cuda.Call("cuInit", 0u);
}
int NvmlInitHere() {
  Library nvml("libnvidia-ml.so.1");
  return nvml.Call("nvmlInit_v2");
}

TEST_F(Driver, IsNotThereWithoutAScene) {
  EXPECT_EQ(InChild([] { EXPECT_EQ(InitHere(), CUDA_ERROR_NO_DEVICE); }), 0);
  EXPECT_EQ(InChild([] { EXPECT_EQ(NvmlInitHere(), NVML_ERROR_DRIVER_NOT_LOADED); }), 0);
}

TEST_F(Driver, IsNotReadyWithABrokenScene) {
  UseFleet("1x1GiB");
  std::ofstream(folder_ + "/scene.json") << "{ not JSON";
  EXPECT_EQ(InChild([] {
              ::testing::internal::CaptureStderr();
              EXPECT_EQ(InitHere(), CUDA_ERROR_SYSTEM_NOT_READY);
              EXPECT_EQ(NvmlInitHere(), NVML_ERROR_UNKNOWN);
              std::string said = ::testing::internal::GetCapturedStderr();
              EXPECT_NE(said.find("scene.json"), std::string::npos);
              EXPECT_NE(said.find("not JSON"), std::string::npos);
            }),
            0);
}

TEST_F(Driver, ShowsOnlyTheCardsInReach) {
  UseFleet("1x1GiB,1x2GiB,1x3GiB");
  std::ofstream(folder_ + "/visible") << scene_.cards[2].uuid << "\n" << scene_.cards[1].uuid;
  EXPECT_EQ(InChild([] {
              ::setenv("CUDA_VISIBLE_DEVICES", "1", 1);
              Library cuda("libcuda.so.1");
              ASSERT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
              int count = 0;
              EXPECT_EQ(cuda.Call("cuDeviceGetCount", &count), CUDA_SUCCESS);
              EXPECT_EQ(count, 1);
              size_t bytes = 0;
              EXPECT_EQ(cuda.Call("cuDeviceTotalMem_v2", &bytes, 0), CUDA_SUCCESS);
              EXPECT_EQ(bytes, size_t{2} << 30);
              EXPECT_EQ(cuda.Call("cuDeviceTotalMem_v2", &bytes, 1), CUDA_ERROR_INVALID_DEVICE);
              Library nvml("libnvidia-ml.so.1");
              ASSERT_EQ(nvml.Call("nvmlInit_v2"), NVML_SUCCESS);
              unsigned cards = 0;
              EXPECT_EQ(nvml.Call("nvmlDeviceGetCount_v2", &cards), NVML_SUCCESS);
              EXPECT_EQ(cards, 2u);
              nvmlDevice_t first = nullptr;
              EXPECT_EQ(nvml.Call("nvmlDeviceGetHandleByIndex_v2", 0u, &first), NVML_SUCCESS);
              nvmlMemory_t memory{};
              EXPECT_EQ(nvml.Call("nvmlDeviceGetMemoryInfo", first, &memory), NVML_SUCCESS);
              EXPECT_EQ(memory.total, 3ull << 30);
            }),
            0);
}

TEST_F(Driver, AnswersNotInitializedBeforeInit) {
  UseFleet("1x1GiB");
  EXPECT_EQ(
      InChild([] {
        Library cuda("libcuda.so.1");
        int count = 0;
        EXPECT_EQ(cuda.Call("cuDeviceGetCount", &count), CUDA_ERROR_NOT_INITIALIZED);
        CUdeviceptr address = 0;
        EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &address, size_t{1}), CUDA_ERROR_NOT_INITIALIZED);
        ASSERT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
        EXPECT_EQ(cuda.Call("cuMemAlloc_v2", &address, size_t{1}), CUDA_ERROR_INVALID_CONTEXT);
        Library nvml("libnvidia-ml.so.1");
        unsigned cards = 0;
        EXPECT_EQ(nvml.Call("nvmlDeviceGetCount_v2", &cards), NVML_ERROR_UNINITIALIZED);
      }),
      0);
}

}  // namespace
}  // namespace sluice::simgpu
