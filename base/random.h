// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice {

// A source of 64 random bits at a time. Injected, so that tests and the simulator are repeatable.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
};

// The kernel's random numbers: for ids and secrets. Thread-safe.
class SystemRandom final : public Random {
 public:
  uint64_t Next() override;
};

// splitmix64 from a seed: for tests and simulations. One thread at a time.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() override;

 private:
  uint64_t state_;
};

}  // namespace sluice
