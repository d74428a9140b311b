// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

// What the simulated cards really did, for tests and benchmarks to hold against what others
// believe: exact, without NVML's lag.
namespace sluice::simgpu {

class DeviceMap;
class MapReader;

// One process on one card.
struct ProcessTruth {
  int64_t pid = 0;  // In the reader's pid namespace; 0: out of its sight.
  Bytes memory;     // Contexts included.
  // Time that the process had the card for kernels since it began, and for copies. Two processes
  // never have a lane at once, so over any while the times of all add up to at most its length.
  std::chrono::nanoseconds busy{0};
  std::chrono::nanoseconds copying{0};
};

struct CardTruth {
  std::chrono::nanoseconds busy{
      0};  // Of all processes since the cards were set up, also dead ones.
  std::vector<ProcessTruth> processes;
  // The most that living processes ever held together, if all are of one pid namespace.
  Bytes memory_peak;
};

// A watcher of one state folder, for a process that does not use the cards itself. One thread at a
// time. The folder's files stay open for the life of the process.
class Truth {
 public:
  // Fails with kUnavailable.
  static Result<Truth> Open(const std::string& folder);
  ~Truth();
  Truth(Truth&&) noexcept;
  Truth& operator=(Truth&&) noexcept;

  // `card`: position in the scene. All times are as of now.
  CardTruth Read(int card);

 private:
  struct Parts;
  explicit Truth(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace sluice::simgpu
