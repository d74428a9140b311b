// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

// What one launch is expected to take of a card: a moving mean for each function and grid, each
// executable graph and each way of copying, learnt from sampled pairs of events. Thread-safe and
// without locks; a row that another thread replaces meanwhile costs a wrong estimate, no more.
namespace sluice::shim {

inline constexpr uint64_t kUnknownLaunchNs = 20'000;
// Below this nothing on a card is done: keeps a stream of costs from counting as none.
inline constexpr uint64_t kCostNsMin = 500;

struct CostRow {
  std::atomic<uint64_t> key;
  std::atomic<uint32_t> cost_ns;
  std::atomic<uint32_t> samples;
};
inline constexpr int kCostBits = 11;
inline constexpr uint64_t kMix = 0x9e3779b97f4a7c15;
extern constinit CostRow cost_rows[1 << kCostBits];

// The first of the two rows that a key may have.
inline CostRow* CostHome(uint64_t key) {
  return cost_rows + (key * kMix >> (64 - kCostBits) & ~uint64_t{1});
}

// In nanoseconds; 0: never seen.
inline uint64_t KnownCost(uint64_t key) {
  const CostRow* row = CostHome(key);
  if (row->key.load(std::memory_order_relaxed) != key) {
    ++row;
    if (row->key.load(std::memory_order_relaxed) != key) {
      return 0;
    }
  }
  return row->cost_ns.load(std::memory_order_relaxed);
}

void Learn(uint64_t key, uint64_t sample_ns);

// In a forked child, too, the costs stay as they are: the functions are the same.

}  // namespace sluice::shim
