// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "simgpu/tests/machine.h"

namespace sluice::simgpu {

inline constexpr const char* kPtx =
    ".version 7.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry sluice_fill(.param .u64 a) { ret; }\n"
    ".visible .entry sluice_vector_add(.param .u64 a) { ret; }\n"
    ".visible .entry sluice_sleep_us(.param .u64 a) { ret; }\n"
    ".visible .entry of_no_known_name() { ret; }\n";

// A program with a context and a module of kernels, for use within a child.
struct Program {
  Library cuda{"libcuda.so.1"};
  CUcontext context = nullptr;
  CUmodule module = nullptr;

  Program() {
    EXPECT_EQ(cuda.Call("cuInit", 0u), CUDA_SUCCESS);
    EXPECT_EQ(cuda.Call("cuCtxCreate_v2", &context, 0u, CUdevice{0}), CUDA_SUCCESS);
    EXPECT_EQ(cuda.Call("cuModuleLoadData", &module, static_cast<const void*>(kPtx)), CUDA_SUCCESS);
  }
  CUfunction Function(const char* name) const {
    CUfunction function = nullptr;
    EXPECT_EQ(cuda.Call("cuModuleGetFunction", &function, module, name), CUDA_SUCCESS);
    return function;
  }
  int Launch(const char* name, CUstream stream, std::vector<void*> arguments) const {
    void** none = nullptr;
    return cuda.Call("cuLaunchKernel",
                     Function(name),
                     1u,
                     1u,
                     1u,
                     32u,
                     1u,
                     1u,
                     0u,
                     stream,
                     arguments.data(),
                     none);
  }
  int Sleep(CUstream stream, uint64_t microseconds) const {
    return Launch("sluice_sleep_us", stream, {&microseconds});
  }
  CUstream Stream(unsigned flags) const {
    CUstream stream = nullptr;
    EXPECT_EQ(cuda.Call("cuStreamCreate", &stream, flags), CUDA_SUCCESS);
    return stream;
  }
  CUstream Urgent(int priority) const {
    CUstream stream = nullptr;
    EXPECT_EQ(cuda.Call("cuStreamCreateWithPriority", &stream, 1u, priority), CUDA_SUCCESS);
    return stream;
  }
  CUevent Event() const {
    CUevent event = nullptr;
    EXPECT_EQ(cuda.Call("cuEventCreate", &event, 0u), CUDA_SUCCESS);
    return event;
  }
  // A new event, recorded there.
  CUevent Mark(CUstream stream) const {
    CUevent event = Event();
    EXPECT_EQ(cuda.Call("cuEventRecord", event, stream), CUDA_SUCCESS);
    return event;
  }
  float Between(CUevent from, CUevent to) const {
    float ms = -1;
    EXPECT_EQ(cuda.Call("cuEventSynchronize", to), CUDA_SUCCESS);
    EXPECT_EQ(cuda.Call("cuEventElapsedTime", &ms, from, to), CUDA_SUCCESS);
    return ms;
  }
};

}  // namespace sluice::simgpu
