// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "simgpu/internal/cuda/stream.h"

// Modules and their functions. Any PTX text is taken; what its kernels do is not interpreted. A few
// kernels, known by name, are carried out on this machine's processor; all others only take time.
namespace sluice::simgpu {

struct LaunchShape {
  unsigned grid[3] = {1, 1, 1};
  unsigned block[3] = {1, 1, 1};

  uint64_t threads() const;
};

// Of the driver's descriptions of a launch.
template <typename Description>
LaunchShape ShapeOf(const Description& of) {
  return {.grid = {of.gridDimX, of.gridDimY, of.gridDimZ},
          .block = {of.blockDimX, of.blockDimY, of.blockDimZ}};
}

// A kernel that is carried out. Reads its arguments as the kernel's own parameter list says.
struct BuiltIn {
  const char* name;
  int arguments;
  std::function<CUresult()> (*bind)(void** arguments, uint64_t threads);
};

// "sluice_fill" (uint32_t* out, uint32_t value, uint64_t n), "sluice_vector_add" (const float* a,
// const float* b, float* out, uint64_t n), "sluice_sleep_us" (uint64_t microseconds: how long the
// launch takes). Null: another name.
const BuiltIn* FindBuiltIn(const std::string& name);

struct Function {
  std::string name;
  const Module* module = nullptr;
  const BuiltIn* built_in = nullptr;
  std::map<int, int> attributes;
};

struct Module {
  Context* context = nullptr;
  std::vector<std::unique_ptr<Function>> functions;
  struct Global {
    std::string name;
    CUdeviceptr address = 0;
    size_t bytes = 0;
  };
  std::vector<Global> globals;
};

// Reads an image that the program holds, or a file of one: text, as machine code cannot be run.
CUresult ReadImage(const void* image, std::string& text);
CUresult ReadImageFile(const char* path, std::string& text);
// Makes a module of a text in the current context; its variables take memory of the card.
CUresult MakeModule(const std::string& text, Module*& made);
// Needs the mutex.
void EndModule(Module* module);
Module* ToModule(CUmodule handle);
Function* ToFunction(CUfunction handle);

// The operation of one launch. `arguments` are read now, as the driver does.
CUresult LaunchOperation(CUfunction function,
                         const LaunchShape& shape,
                         void** arguments,
                         Operation& operation);

}  // namespace sluice::simgpu
