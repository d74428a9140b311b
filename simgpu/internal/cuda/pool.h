// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include "simgpu/internal/cuda/process.h"

// Stream-ordered memory: pools that keep what was freed for the next allocation.
namespace sluice::simgpu {

struct Pool {
  int device = 0;
  bool on_host = false;    // Memory of the machine: not charged.
  bool destroyed = false;  // Ends with its last block.
  bool is_default = false;
  bool imported = false;  // Another process's: nothing can be allocated from it.
  size_t bytes_max = 0;   // 0: no limit of its own.
  int handle_types = 0;
  uint64_t threshold = 0;  // What it keeps at a synchronisation.
  uint64_t reserved = 0;   // Charged to the card.
  uint64_t reserved_high = 0;
  uint64_t used = 0;
  uint64_t used_high = 0;
  uint64_t reuse[3] = {1, 1, 1};
  std::vector<std::unique_ptr<Slab>> chunks;
};

// Gives a pool's block back to it; needs the mutex.
void ReturnToPool(const Block& block);

// Every pool lets go of what it holds beyond its threshold, as at a synchronisation. Takes the
// mutex.
void ReleasePools();

}  // namespace sluice::simgpu
