// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "simgpu/internal/cuda/process.h"

// Arrays: memory whose layout is the card's own business. Here: rows after rows.
namespace sluice::simgpu {

struct Array {
  CUDA_ARRAY3D_DESCRIPTOR shape{};
  Context* context = nullptr;
  int device = 0;
  size_t element_bytes = 0;
  size_t row_bytes = 0;
  size_t rows = 1;
  size_t layers = 1;
  char* base = nullptr;
  int64_t charged = 0;  // 0 for a level of a mipmapped array.
  const MipmappedArray* part_of = nullptr;
  size_t span = 0;      // Of its own pages.
  bool sparse = false;  // Memory comes by mapping; here it leads nowhere else.
  std::map<std::array<unsigned, 5>, CUmemGenericAllocationHandle> tiles;

  size_t bytes() const { return row_bytes * rows * layers; }
};

struct MipmappedArray {
  int device = 0;
  Context* context = nullptr;
  char* base = nullptr;
  int64_t charged = 0;
  std::vector<std::unique_ptr<Array>> levels;
};

// Null unless the handle is an array of this process. Needs the mutex.
Array* ToArray(CUarray handle);

// What the end of a context frees. Needs the mutex.
void FreeArraysOf(const Context& context);

}  // namespace sluice::simgpu
