// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/internal/os.h"

// The clock and the words that the compute gate sleeps on. errno is kept by all of it.
namespace sluice::shim {

// CLOCK_MONOTONIC.
uint64_t NowNs();

// Sleeps while the word, which another process may change, is `seen`; at most so long. May return
// early: the caller looks again.
void AwaitChange(const std::atomic<uint32_t>& word, uint32_t seen, uint64_t ns_max);
void WakeAll(std::atomic<uint32_t>& word);

// The calling thread's number, and whether a thread of this process has it.
inline uint32_t ThreadNumber() {
  return OwnMark() & kMarkNumber;
}
bool ThreadLives(uint32_t number);

}  // namespace sluice::shim
