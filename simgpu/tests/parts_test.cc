// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "simgpu/tests/nvml.h"
#include "simgpu/tests/program.h"

// A card in MIG mode: what NVML shows of its parts, and what a program in one of them has.
namespace sluice::simgpu {
namespace {

constexpr const char* kSmall = "MIG-00000000-0000-0000-0000-000000000001";
constexpr const char* kLarge = "MIG-00000000-0000-0000-0000-000000000002";

class Parts : public SimulatedMachine {
 protected:
  void SetUp() override {
    SimulatedMachine::SetUp();
    UseFleet("1x40GiB");
    scene_.cards[0].parts = {{kSmall, 1, GiB(5)}, {kLarge, 3, GiB(20)}};
    UseScene();
  }
  void TearDown() override {
    ::unsetenv("CUDA_VISIBLE_DEVICES");
    SimulatedMachine::TearDown();
  }
};

// With the card's parts.
struct PartsNvml : Nvml {
  nvmlDevice_t Part(unsigned index) const {
    nvmlDevice_t part = nullptr;
    EXPECT_EQ(library.Call("nvmlDeviceGetMigDeviceHandleByIndex", card, index, &part),
              NVML_SUCCESS);
    return part;
  }
  unsigned Number(const char* call, nvmlDevice_t of) const {
    unsigned value = 12345;
    EXPECT_EQ(library.Call(call, of, &value), NVML_SUCCESS) << call;
    return value;
  }
  std::string Text(const char* call, nvmlDevice_t of) const {
    char text[96] = "";
    EXPECT_EQ(library.Call(call, of, &text[0], 96u), NVML_SUCCESS) << call;
    return text;
  }
  nvmlMemory_t Memory(nvmlDevice_t of) const {
    nvmlMemory_t memory{};
    EXPECT_EQ(library.Call("nvmlDeviceGetMemoryInfo", of, &memory), NVML_SUCCESS);
    return memory;
  }
  // Of each process: its pid and its GPU instance.
  std::vector<std::pair<unsigned, unsigned>> Processes(nvmlDevice_t of) const {
    nvmlProcessInfo_v2_t rows[8] = {};
    unsigned count = 8;
    EXPECT_EQ(library.Call("nvmlDeviceGetComputeRunningProcesses_v3", of, &count, &rows[0]),
              NVML_SUCCESS);
    std::vector<std::pair<unsigned, unsigned>> found;
    for (unsigned i = 0; i < count; ++i) found.emplace_back(rows[i].pid, rows[i].gpuInstanceId);
    return found;
  }
};

// What a program with that CUDA_VISIBLE_DEVICES does.
int With(const char* visible, const std::function<void()>& body) {
  return InChild([&] {
    visible == nullptr ? ::unsetenv("CUDA_VISIBLE_DEVICES")
                       : ::setenv("CUDA_VISIBLE_DEVICES", visible, 1);
    body();
  });
}

TEST_F(Parts, AreListedByNvml) {
  EXPECT_EQ(
      InChild([] {
        PartsNvml nvml;
        unsigned pending = 0;
        unsigned current = 0;
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetMigMode", nvml.card, &current, &pending),
                  NVML_SUCCESS);
        EXPECT_EQ(current, 1u);
        EXPECT_EQ(nvml.Number("nvmlDeviceGetMaxMigDeviceCount", nvml.card), 7u);
        EXPECT_EQ(nvml.Number("nvmlDeviceIsMigDeviceHandle", nvml.card), 0u);
        nvmlDevice_t part = nvml.Part(1);
        EXPECT_EQ(nvml.Number("nvmlDeviceIsMigDeviceHandle", part), 1u);
        EXPECT_EQ(nvml.Text("nvmlDeviceGetUUID", part), kLarge);
        EXPECT_EQ(nvml.Text("nvmlDeviceGetName", part), "Sluice simulated GPU 40 GiB MIG 3g.20gb");
        EXPECT_EQ(nvml.Number("nvmlDeviceGetGpuInstanceId", part), 2u);
        EXPECT_EQ(nvml.Number("nvmlDeviceGetComputeInstanceId", part), 0u);
        EXPECT_EQ(nvml.Memory(part).total, 20ull << 30);
        nvmlDeviceAttributes_t attributes{};
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetAttributes_v2", part, &attributes), NVML_SUCCESS);
        EXPECT_EQ(attributes.multiprocessorCount, 24u);
        EXPECT_EQ(attributes.memorySizeMB, 20480u);
        nvmlDevice_t found = nullptr;
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part, &found),
                  NVML_SUCCESS);
        EXPECT_EQ(found, nvml.card);
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetHandleByUUID", kLarge, &found), NVML_SUCCESS);
        EXPECT_EQ(found, part);
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetMigDeviceHandleByIndex", nvml.card, 2u, &found),
                  NVML_ERROR_NOT_FOUND);
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetMigDeviceHandleByIndex", nvml.card, 7u, &found),
                  NVML_ERROR_INVALID_ARGUMENT);
      }),
      0);
}

TEST_F(Parts, HaveNoUtilizationAndNoSensors) {
  EXPECT_EQ(
      InChild([] {
        PartsNvml nvml;
        unsigned value = 0;
        nvmlUtilization_t rates{};
        nvmlDevice_t part = nvml.Part(0);
        for (nvmlDevice_t device : {nvml.card, part}) {
          EXPECT_EQ(nvml.library.Call("nvmlDeviceGetUtilizationRates", device, &rates),
                    NVML_ERROR_NOT_SUPPORTED);
          nvmlProcessUtilizationSample_t* none = nullptr;
          EXPECT_EQ(
              nvml.library.Call("nvmlDeviceGetProcessUtilization", device, none, &value, 0ull),
              NVML_ERROR_NOT_SUPPORTED);
        }
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetPowerUsage", nvml.card, &value), NVML_SUCCESS);
        EXPECT_EQ(nvml.library.Call("nvmlDeviceGetPowerUsage", part, &value),
                  NVML_ERROR_NOT_SUPPORTED);
      }),
      0);
}

TEST_F(Parts, AreTheOnlyDeviceOfTheirProgram) {
  EXPECT_EQ(With(kLarge,
                 [] {
                   Program p;
                   int count = 0;
                   EXPECT_EQ(p.cuda.Call("cuDeviceGetCount", &count), CUDA_SUCCESS);
                   EXPECT_EQ(count, 1);
                   size_t bytes = 0;
                   EXPECT_EQ(p.cuda.Call("cuDeviceTotalMem_v2", &bytes, 0), CUDA_SUCCESS);
                   EXPECT_EQ(bytes, size_t{20} << 30);
                   int multiprocessors = 0;
                   EXPECT_EQ(p.cuda.Call("cuDeviceGetAttribute",
                                         &multiprocessors,
                                         int{CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT},
                                         0),
                             CUDA_SUCCESS);
                   EXPECT_EQ(multiprocessors, 24);
                   CUuuid own{};
                   CUuuid card{};
                   EXPECT_EQ(p.cuda.Call("cuDeviceGetUuid_v2", &own, 0), CUDA_SUCCESS);
                   EXPECT_EQ(p.cuda.Call("cuDeviceGetUuid", &card, 0), CUDA_SUCCESS);
                   EXPECT_EQ(own.bytes[15], 2);
                   EXPECT_NE(own.bytes[0], card.bytes[0]);
                 }),
            0);
  // Without a choice it is the first.
  EXPECT_EQ(With(nullptr,
                 [] {
                   Program p;
                   size_t bytes = 0;
                   EXPECT_EQ(p.cuda.Call("cuDeviceTotalMem_v2", &bytes, 0), CUDA_SUCCESS);
                   EXPECT_EQ(bytes, size_t{5} << 30);
                 }),
            0);
  EXPECT_EQ(With("MIG-of-elsewhere",
                 [] {
                   Library cuda("libcuda.so.1");
                   EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_ERROR_NO_DEVICE);
                 }),
            0);
}

TEST_F(Parts, KeepTheirMemoryApart) {
  const HeldChild large([] {
    ::setenv("CUDA_VISIBLE_DEVICES", kLarge, 1);
    Program p;
    CUdeviceptr a = 0;
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{19} << 30), CUDA_SUCCESS);
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{1} << 30), CUDA_ERROR_OUT_OF_MEMORY);
  });
  ASSERT_TRUE(large.ready());
  const HeldChild small([] {
    ::setenv("CUDA_VISIBLE_DEVICES", kSmall, 1);
    Program p;
    CUdeviceptr a = 0;
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{6} << 30), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQ(p.cuda.Call("cuMemAlloc_v2", &a, size_t{4} << 30), CUDA_SUCCESS);
  });
  ASSERT_TRUE(small.ready());
  EXPECT_EQ(InChild([&] {
              PartsNvml nvml;
              const unsigned long long context = 400ull << 20;
              EXPECT_EQ(nvml.Memory(nvml.Part(0)).used, (4ull << 30) + context);
              EXPECT_EQ(nvml.Memory(nvml.Part(1)).used, (19ull << 30) + context);
              EXPECT_EQ(nvml.Memory(nvml.card).used, (23ull << 30) + 2 * context);
              EXPECT_EQ(nvml.Memory(nvml.card).total, 40ull << 30);
              auto in_small = std::pair(static_cast<unsigned>(small.pid()), 1u);
              auto in_large = std::pair(static_cast<unsigned>(large.pid()), 2u);
              EXPECT_EQ(nvml.Processes(nvml.Part(1)), std::vector{in_large});
              EXPECT_EQ(nvml.Processes(nvml.card), (std::vector{in_small, in_large}));
            }),
            0);
}

// Each part has time of its own, however much another's program sends.
TEST_F(Parts, DoNotTakeTurns) {
  scene_.virtual_clock = true;
  UseScene();
  const HeldChild busy([] {
    ::setenv("CUDA_VISIBLE_DEVICES", kLarge, 1);
    Program p;
    EXPECT_EQ(p.Sleep(p.Stream(1), 60'000'000), CUDA_SUCCESS);
  });
  ASSERT_TRUE(busy.ready());
  EXPECT_EQ(With(kSmall,
                 [] {
                   Program p;
                   CUstream stream = p.Stream(1);
                   CUevent from = p.Mark(stream);
                   EXPECT_EQ(p.Sleep(stream, 20'000), CUDA_SUCCESS);
                   EXPECT_FLOAT_EQ(p.Between(from, p.Mark(stream)), 20.0f);
                 }),
            0);
}

// As device nodes would: the list of what is in reach names a part.
TEST_F(Parts, AreInReachOneByOne) {
  FILE* list = std::fopen((folder_ + "/visible").c_str(), "w");
  ASSERT_NE(list, nullptr);
  std::fprintf(list, "%s\n", kLarge);
  std::fclose(list);
  EXPECT_EQ(With(nullptr,
                 [] {
                   Program p;
                   size_t bytes = 0;
                   EXPECT_EQ(p.cuda.Call("cuDeviceTotalMem_v2", &bytes, 0), CUDA_SUCCESS);
                   EXPECT_EQ(bytes, size_t{20} << 30);
                   PartsNvml nvml;
                   EXPECT_EQ(nvml.Text("nvmlDeviceGetUUID", nvml.Part(0)), kLarge);
                   nvmlDevice_t other = nullptr;
                   EXPECT_EQ(nvml.library.Call(
                                 "nvmlDeviceGetMigDeviceHandleByIndex", nvml.card, 1u, &other),
                             NVML_ERROR_NOT_FOUND);
                   EXPECT_EQ(nvml.library.Call("nvmlDeviceGetHandleByUUID", kSmall, &other),
                             NVML_ERROR_NOT_FOUND);
                 }),
            0);
}

}  // namespace
}  // namespace sluice::simgpu
