// SPDX-License-Identifier: Apache-2.0
// `sluice gpu test`: the driver API, looked up at run time as any program does.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <functional>
#include <span>
#include <vector>

#include "agent/inside.h"

namespace sluice::agent {
namespace {

using DevicePointer = unsigned long long;
using Status = int;  // CUresult.

constexpr Status kOutOfMemory = 2;
constexpr uint32_t kPattern = 0x51ce51ce;

// Writes `value` into n words. Text, so that it serves every card.
constexpr char kKernel[] = R"(.version 6.3
.target sm_50
.address_size 64
.visible .entry sluice_fill(.param .u64 out, .param .u32 value, .param .u64 n)
{
  .reg .pred %p;
  .reg .b32 %r<6>;
  .reg .b64 %rd<6>;
  ld.param.u64 %rd1, [out];
  ld.param.u32 %r1, [value];
  ld.param.u64 %rd2, [n];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.u32 %r5, %r2, %r3, %r4;
  cvt.u64.u32 %rd3, %r5;
  setp.ge.u64 %p, %rd3, %rd2;
  @%p bra done;
  cvta.to.global.u64 %rd4, %rd1;
  shl.b64 %rd3, %rd3, 2;
  add.u64 %rd5, %rd4, %rd3;
  st.global.u32 [%rd5], %r1;
done:
  ret;
}
)";

// The driver's functions that the test needs; null when the driver has none.
struct Driver {
  Status (*cuInit)(unsigned);
  Status (*cuDriverGetVersion)(int*);
  Status (*cuDeviceGetCount)(int*);
  Status (*cuDeviceGet)(int*, int);
  Status (*cuDeviceGetName)(char*, int, int);
  Status (*cuDeviceTotalMem_v2)(size_t*, int);
  Status (*cuDevicePrimaryCtxRetain)(void**, int);
  Status (*cuDevicePrimaryCtxRelease_v2)(int);
  Status (*cuCtxSetCurrent)(void*);
  Status (*cuCtxSynchronize)();
  Status (*cuMemGetInfo_v2)(size_t*, size_t*);
  Status (*cuMemAlloc_v2)(DevicePointer*, size_t);
  Status (*cuMemFree_v2)(DevicePointer);
  Status (*cuMemcpyHtoD_v2)(DevicePointer, const void*, size_t);
  Status (*cuMemcpyDtoH_v2)(void*, DevicePointer, size_t);
  Status (*cuModuleLoadData)(void**, const void*);
  Status (*cuModuleGetFunction)(void**, void*, const char*);
  Status (*cuModuleUnload)(void*);
  Status (*cuLaunchKernel)(void*,
                           unsigned,
                           unsigned,
                           unsigned,
                           unsigned,
                           unsigned,
                           unsigned,
                           unsigned,
                           void*,
                           void**,
                           void**);
  Status (*cuGetErrorName)(Status, const char**);
};

template <typename F>
void Find(void* library, const char* name, F& function, std::string& missing) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr && missing.empty()) {
    missing = name;
  }
}

Result<Driver> LoadDriver() {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  if (library == nullptr) {
    return Fail(Code::kUnavailable, fmt::format("no GPU driver here: {}", dlerror()));
  }
  Driver driver = {};
  std::string missing;
#define SLUICE_FIND(name) Find(library, #name, driver.name, missing)
  SLUICE_FIND(cuInit);
  SLUICE_FIND(cuDriverGetVersion);
  SLUICE_FIND(cuDeviceGetCount);
  SLUICE_FIND(cuDeviceGet);
  SLUICE_FIND(cuDeviceGetName);
  SLUICE_FIND(cuDeviceTotalMem_v2);
  SLUICE_FIND(cuDevicePrimaryCtxRetain);
  SLUICE_FIND(cuDevicePrimaryCtxRelease_v2);
  SLUICE_FIND(cuCtxSetCurrent);
  SLUICE_FIND(cuCtxSynchronize);
  SLUICE_FIND(cuMemGetInfo_v2);
  SLUICE_FIND(cuMemAlloc_v2);
  SLUICE_FIND(cuMemFree_v2);
  SLUICE_FIND(cuMemcpyHtoD_v2);
  SLUICE_FIND(cuMemcpyDtoH_v2);
  SLUICE_FIND(cuModuleLoadData);
  SLUICE_FIND(cuModuleGetFunction);
  SLUICE_FIND(cuModuleUnload);
  SLUICE_FIND(cuLaunchKernel);
  SLUICE_FIND(cuGetErrorName);
#undef SLUICE_FIND
  if (!missing.empty()) {
    return Fail(Code::kUnavailable, "the GPU driver is too old: it has no " + missing);
  }
  return driver;
}

// One run of the test: the steps in order, each told, each undone at the end.
class Run {
 public:
  explicit Run(const Driver& driver) : driver_(driver) {}

  TestReport Go();

 private:
  bool Step(const std::string& name, const std::function<Status(std::string&)>& work);
  std::string NameOf(Status status) const;
  bool Open();
  void CheckMemory();
  void CheckKernel();
  void CheckLimit();

  Status Describe(std::string& detail);
  Status CopyBack(std::string& detail, std::span<const uint32_t> wanted);
  Status Launch(std::string& detail);

  const Driver& driver_;
  TestReport report_;
  int device_ = 0;
  void* context_ = nullptr;
  size_t free_bytes_ = 0;
  DevicePointer block_ = 0;
  size_t words_ = 0;
};

std::string Run::NameOf(Status status) const {
  const char* name = nullptr;
  const bool known = driver_.cuGetErrorName(status, &name) == 0 && name != nullptr;
  return fmt::format("{} ({})", known ? name : "unknown error", status);
}

bool Run::Step(const std::string& name, const std::function<Status(std::string&)>& work) {
  TestStep step;
  step.name = name;
  const auto begin = std::chrono::steady_clock::now();
  const Status status = work(step.detail);
  step.micros = std::chrono::duration_cast<std::chrono::microseconds>(
                    std::chrono::steady_clock::now() - begin)
                    .count();
  step.passed = status == 0;
  if (status > 0) {
    step.detail = NameOf(status);
  }
  report_.steps.push_back(step);
  return step.passed;
}

Status Run::Describe(std::string& detail) {
  int count = 0;
  if (const Status status = driver_.cuDeviceGetCount(&count); status != 0) {
    return status;
  }
  if (const Status status = driver_.cuDeviceGet(&device_, 0); status != 0) {
    return status;
  }
  char name[256] = {};
  size_t total = 0;
  int version = 0;
  driver_.cuDeviceGetName(name, sizeof(name) - 1, device_);
  driver_.cuDeviceTotalMem_v2(&total, device_);
  driver_.cuDriverGetVersion(&version);
  report_.device = name;
  report_.total = Bytes(static_cast<int64_t>(total));
  report_.driver_version = fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
  report_.simulated = report_.device.find("simulated") != std::string::npos;
  detail = fmt::format("{} of {}", name, count == 1 ? "one card" : fmt::format("{} cards", count));
  return 0;
}

bool Run::Open() {
  return Step("start the driver", [&](std::string&) { return driver_.cuInit(0); }) &&
         Step("find a card", [&](std::string& detail) { return Describe(detail); }) &&
         Step("make a context", [&](std::string& detail) {
           Status status = driver_.cuDevicePrimaryCtxRetain(&context_, device_);
           size_t total = 0;
           status = status != 0 ? status : driver_.cuCtxSetCurrent(context_);
           status = status != 0 ? status : driver_.cuMemGetInfo_v2(&free_bytes_, &total);
           detail = fmt::format("{} free of {}",
                                ToText(Bytes(static_cast<int64_t>(free_bytes_))),
                                ToText(Bytes(static_cast<int64_t>(total))));
           return status;
         });
}

Status Run::CopyBack(std::string& detail, std::span<const uint32_t> wanted) {
  std::vector<uint32_t> back(wanted.size());
  const Status status = driver_.cuMemcpyDtoH_v2(back.data(), block_, back.size() * 4);
  if (status != 0) {
    return status;
  }
  const auto wrong = std::mismatch(back.begin(), back.end(), wanted.begin());
  if (wrong.first == back.end()) {
    return 0;
  }
  detail = fmt::format(
      "word {} is {:#x}, not {:#x}", wrong.first - back.begin(), *wrong.first, *wrong.second);
  return -1;
}

void Run::CheckMemory() {
  constexpr size_t kWanted = size_t{64} << 20;
  const size_t bytes = std::min(kWanted, free_bytes_ / 4 / 4096 * 4096);
  words_ = std::min<size_t>(bytes / 4, size_t{1} << 20);
  const bool allocated =
      Step("allocate " + ToText(Bytes(static_cast<int64_t>(bytes))), [&](std::string& detail) {
        if (bytes == 0) {
          detail = "no memory is free";
          return -1;
        }
        return driver_.cuMemAlloc_v2(&block_, bytes);
      });
  if (!allocated) {
    return;
  }
  Step("copy there and back", [&](std::string& detail) {
    std::vector<uint32_t> data(words_);
    for (size_t i = 0; i < words_; ++i) {
      data[i] = static_cast<uint32_t>(i * 2654435761U);
    }
    const Status status = driver_.cuMemcpyHtoD_v2(block_, data.data(), words_ * 4);
    return status != 0 ? status : CopyBack(detail, data);
  });
}

Status Run::Launch(std::string& detail) {
  void* module = nullptr;
  void* kernel = nullptr;
  Status status = driver_.cuModuleLoadData(&module, kKernel);
  if (status != 0) {
    return status;
  }
  uint32_t value = kPattern;
  uint64_t count = words_;
  void* arguments[] = {&block_, &value, &count};
  constexpr unsigned kThreads = 256;
  const auto blocks = static_cast<unsigned>((words_ + kThreads - 1) / kThreads);
  status = driver_.cuModuleGetFunction(&kernel, module, "sluice_fill");
  status = status != 0 ? status
                       : driver_.cuLaunchKernel(
                             kernel, blocks, 1, 1, kThreads, 1, 1, 0, nullptr, arguments, nullptr);
  status = status != 0 ? status : driver_.cuCtxSynchronize();
  if (status == 0) {
    status = CopyBack(detail, std::vector<uint32_t>(words_, kPattern));
  }
  driver_.cuModuleUnload(module);
  return status;
}

void Run::CheckKernel() {
  if (block_ == 0) {
    return;
  }
  Step("launch a kernel and check its result", [&](std::string& detail) { return Launch(detail); });
  Step("free", [&](std::string&) { return driver_.cuMemFree_v2(block_); });
}

void Run::CheckLimit() {
  const size_t total = static_cast<size_t>(report_.total.value());
  Step("be refused more than there is", [&](std::string& detail) {
    DevicePointer block = 0;
    const Status status = driver_.cuMemAlloc_v2(&block, total + 1);
    if (status == 0) {
      driver_.cuMemFree_v2(block);
      detail = "the driver gave more than the card says it has";
      return -1;
    }
    detail = fmt::format("{} answered {}", ToText(report_.total), NameOf(status));
    return status == kOutOfMemory ? 0 : status;
  });
}

TestReport Run::Go() {
  if (Open()) {
    CheckMemory();
    CheckKernel();
    CheckLimit();
  }
  if (context_ != nullptr) {
    driver_.cuDevicePrimaryCtxRelease_v2(device_);
  }
  return std::move(report_);
}

}  // namespace

bool TestReport::passed() const {
  return !steps.empty() &&
         std::ranges::all_of(steps, [](const TestStep& step) { return step.passed; });
}

Result<TestReport> TestGpu() {
  auto driver = LoadDriver();
  if (!driver) {
    return Fail(driver.error());
  }
  return Run(*driver).Go();
}

}  // namespace sluice::agent
