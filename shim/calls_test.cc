// SPDX-License-Identifier: Apache-2.0
// Walks the table of calls.
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace sluice::shim {
namespace {

enum class Kind { kCuda, kNvml };

struct Row {
  Kind kind;
  std::string symbol;
  std::string name;
  int since;
  std::string mode;
  std::string category;
  std::string handler;
  std::string roles;
  size_t count;
};

const Row kRows[] = {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) \
  {Kind::kCuda, #symbol, #name, since, #mode, #category, #handler, roles, count},
#include "shim/calls.def"
#define NVML_CALL(symbol, handler, roles, count, types) \
  {Kind::kNvml, #symbol, #symbol, 0, "kAny", "kNvml", #handler, roles, count},
#include "shim/calls.def"
};

// Every allocating, freeing, showing and launching call of the CUDA driver API 2.0 to 13.1, by
// symbol, and what tells that work is done or recorded: what must be in the table. A new version of
// the API adds its own here.
constexpr const char* kMustBeThere[] = {
    "cuMemAlloc",
    "cuMemAlloc_v2",
    "cuMemAllocPitch",
    "cuMemAllocPitch_v2",
    "cuMemAllocManaged",
    "cuMemFree",
    "cuMemFree_v2",
    "cuArrayCreate",
    "cuArrayCreate_v2",
    "cuArray3DCreate",
    "cuArray3DCreate_v2",
    "cuArrayDestroy",
    "cuMipmappedArrayCreate",
    "cuMipmappedArrayDestroy",
    "cuMemAllocAsync",
    "cuMemAllocAsync_ptsz",
    "cuMemAllocFromPoolAsync",
    "cuMemAllocFromPoolAsync_ptsz",
    "cuMemFreeAsync",
    "cuMemFreeAsync_ptsz",
    "cuMemPoolCreate",
    "cuMemPoolDestroy",
    "cuMemPoolTrimTo",
    "cuMemCreate",
    "cuMemRelease",
    "cuMemMap",
    "cuMemUnmap",
    "cuMemRetainAllocationHandle",
    "cuGraphAddMemAllocNode",
    "cuGraphAddNode",
    "cuGraphAddNode_v2",
    "cuGraphInstantiate",
    "cuGraphInstantiate_v2",
    "cuGraphInstantiateWithFlags",
    "cuGraphInstantiateWithParams",
    "cuGraphInstantiateWithParams_ptsz",
    "cuGraphLaunch",
    "cuGraphLaunch_ptsz",
    "cuGraphUpload",
    "cuGraphUpload_ptsz",
    "cuDeviceGraphMemTrim",
    "cuLaunch",
    "cuLaunchGrid",
    "cuLaunchGridAsync",
    "cuLaunchKernel",
    "cuLaunchKernel_ptsz",
    "cuLaunchKernelEx",
    "cuLaunchKernelEx_ptsz",
    "cuLaunchCooperativeKernel",
    "cuLaunchCooperativeKernel_ptsz",
    "cuLaunchCooperativeKernelMultiDevice",
    "cuCtxSynchronize",
    "cuCtxSynchronize_v2",
    "cuStreamSynchronize",
    "cuStreamSynchronize_ptsz",
    "cuEventSynchronize",
    "cuStreamBeginCapture",
    "cuStreamBeginCapture_ptsz",
    "cuStreamBeginCapture_v2",
    "cuStreamBeginCapture_v2_ptsz",
    "cuStreamBeginCaptureToGraph",
    "cuStreamBeginCaptureToGraph_ptsz",
    "cuStreamEndCapture",
    "cuStreamEndCapture_ptsz",
    "cuGetProcAddress",
    "cuGetProcAddress_v2",
    "cuMemGetInfo",
    "cuMemGetInfo_v2",
    "cuDeviceTotalMem",
    "cuDeviceTotalMem_v2",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetComputeRunningProcesses_v3",
};

TEST(CallTable, NamesEverySymbolOnce) {
  std::set<std::string> seen;
  for (const Row& row : kRows) {
    EXPECT_TRUE(seen.insert(row.symbol).second) << row.symbol;
  }
}

TEST(CallTable, HoldsEveryCallThatTakesOrShowsMemoryOrLaunches) {
  std::set<std::string> seen;
  for (const Row& row : kRows) {
    seen.insert(row.symbol);
  }
  for (const char* symbol : kMustBeThere) {
    EXPECT_TRUE(seen.contains(symbol)) << symbol;
  }
}

TEST(CallTable, GivesEveryArgumentARole) {
  for (const Row& row : kRows) {
    EXPECT_EQ(row.roles.size(), row.count) << row.symbol;
    EXPECT_EQ(row.roles.find_first_not_of("oswhadkp."), std::string::npos) << row.symbol;
  }
}

TEST(CallTable, GivesEveryAllocatingCallAResultAndASize) {
  for (const Row& row : kRows) {
    const bool allocates = row.handler.starts_with("Alloc") || row.handler == "CreateHandle" ||
                           row.handler == "CreateArray" || row.handler == "CreateMipmapped";
    if (allocates) {
      EXPECT_NE(row.roles.find('o'), std::string::npos) << row.symbol;
      EXPECT_NE(row.roles.find_first_of("swap"), std::string::npos) << row.symbol;
    }
  }
}

TEST(CallTable, HasOneRowPerNameVersionAndStreamMode) {
  std::set<std::string> seen;
  for (const Row& row : kRows) {
    if (row.kind == Kind::kCuda) {
      EXPECT_TRUE(seen.insert(row.name + "@" + std::to_string(row.since) + row.mode).second)
          << row.symbol;
      EXPECT_GE(row.since, 2000) << row.symbol;
    }
  }
}

TEST(CallTable, HasBothStreamModesOrNeither) {
  std::map<std::string, std::set<std::string>> modes;
  for (const Row& row : kRows) {
    // On a stream; at the default stream of the thread.
    const bool per_thread = row.symbol.ends_with("_ptsz") || row.symbol.ends_with("_ptds");
    EXPECT_EQ(per_thread, row.mode == "kPerThread") << row.symbol;
    const std::string plain = row.symbol.substr(0, row.symbol.size() - (per_thread ? 5 : 0));
    modes[plain].insert(row.mode);
  }
  for (const auto& [symbol, found] : modes) {
    EXPECT_TRUE(found == std::set<std::string>{"kAny"} ||
                found == (std::set<std::string>{"kLegacy", "kPerThread"}))
        << symbol;
  }
}

TEST(CallTable, KeepsRowsInOrder) {
  std::string last;
  for (const Row& row : kRows) {
    if (row.kind == Kind::kCuda) {
      EXPECT_LT(last, row.symbol);
      last = row.symbol;
    }
  }
}

}  // namespace
}  // namespace sluice::shim
