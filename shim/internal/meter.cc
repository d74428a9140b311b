// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/meter.h"

namespace sluice::shim {

constinit CostRow cost_rows[1 << kCostBits] = {};

namespace {

constexpr uint64_t kCostNsMax = 4'000'000'000;
// A new sample's weight is 1 / samples, at least 1 / 8.
constexpr uint32_t kSamplesKept = 8;

// The key's row, or the one to use for it: an empty one, else the one that was sampled less.
CostRow& RowFor(uint64_t key) {
  CostRow* const home = CostHome(key);
  for (int i = 0; i < 2; ++i) {
    const uint64_t found = home[i].key.load(std::memory_order_relaxed);
    if (found == key || found == 0) {
      return home[i];
    }
  }
  return home[home[1].samples.load(std::memory_order_relaxed) <
              home[0].samples.load(std::memory_order_relaxed)];
}

}  // namespace

void Learn(uint64_t key, uint64_t sample_ns) {
  const uint64_t sample = sample_ns < kCostNsMin   ? kCostNsMin
                          : sample_ns > kCostNsMax ? kCostNsMax
                                                   : sample_ns;
  CostRow& row = RowFor(key);
  if (row.key.load(std::memory_order_relaxed) != key) {
    row.samples.store(0, std::memory_order_relaxed);
    row.cost_ns.store(static_cast<uint32_t>(sample), std::memory_order_relaxed);
    row.key.store(key, std::memory_order_relaxed);
  }
  const uint32_t before = row.samples.load(std::memory_order_relaxed);
  const uint32_t samples = before < kSamplesKept ? before + 1 : kSamplesKept;
  const uint64_t mean = row.cost_ns.load(std::memory_order_relaxed);
  row.cost_ns.store(static_cast<uint32_t>((mean * (samples - 1) + sample) / samples),
                    std::memory_order_relaxed);
  row.samples.store(samples, std::memory_order_relaxed);
}

}  // namespace sluice::shim
