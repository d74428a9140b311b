// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

// A tenant may cut short the ledger file that it can write. Reading past its end would end this
// process with SIGBUS; instead the missing page reads as zeros from then on, and the owner of the
// mapping learns that it was damaged.
namespace sluice::agent {

// Registers a mapping for as long as it lives; at most kGuardsMax at a time, beyond which
// mappings are refused (see ok()). Thread-safe as a whole; one object is for one thread at a time.
class BusGuard {
 public:
  static constexpr int kGuardsMax = 4096;

  BusGuard(void* at, size_t bytes);
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;
  ~BusGuard();

  bool ok() const { return index_ >= 0; }
  // Whether pages were missing since the last call.
  bool TakeDamage();

 private:
  int index_ = -1;
};

}  // namespace sluice::agent
