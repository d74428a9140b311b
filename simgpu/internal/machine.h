// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "simgpu/internal/map.h"
#include "simgpu/scene.h"

// What both simulated libraries know of the machine they run on.
namespace sluice::simgpu {

// $SLUICE_SIMGPU_STATE, else /run/sluice/simgpu/state.
std::string StateFolder();

// Positions in `scene.cards` that this process may see, in order: the file named by
// $SLUICE_SIMGPU_VISIBLE, else /run/sluice/simgpu/visible, one UUID a line, as device nodes would
// decide it. No such file: all. UUIDs that are not in the scene are passed over.
std::vector<int> CardsInReach(const Scene& scene);

// What CUDA_VISIBLE_DEVICES leaves of `reach`: comma-separated positions or UUID prefixes; the list
// ends at the first entry that names no card, or names one twice. Unset (null): all.
std::vector<int> CudaVisible(const Scene& scene, const std::vector<int>& reach, const char* value);

// Field 22 of /proc/self/stat; 0 when it cannot be read.
uint64_t OwnStartTicks();

int64_t MonotonicNs();

// One line to stderr.
void Complain(const std::string& text);

// A process as the map shows it.
struct MapProcess {
  int slot = 0;
  int64_t pid = 0;  // In the reader's pid namespace.
  std::string name;
  Bytes memory;
  uint32_t contexts = 0;
};

// Reads the map with pread alone, so that whatever another process does to the file (shorten it,
// fill it with noise) this process only sees wrong numbers, bounded here. Thread-safe. The file
// stays open for the life of the process: closing it would drop the record lock that a simulated
// libcuda in the same process holds.
class MapReader {
 public:
  // Fails with kUnavailable.
  static Result<MapReader> Open(const std::string& folder);

  // Living processes of a card that the reader's pid namespace can see.
  std::vector<MapProcess> Processes(int card) const;
  // What all living processes hold, also those out of sight; never more than `capacity`.
  Bytes Used(int card, Bytes capacity) const;
  // The clock of the work: the machine's, or the virtual one.
  int64_t Now(bool virtual_clock) const;
  // Busy time in µs of a card (slot < 0) or of a process on it in one bucket of kSampleNs.
  uint32_t BusyUs(int card, int slot, int64_t bucket) const;

 private:
  explicit MapReader(int fd) : fd_(fd) {}

  bool Alive(int slot, int64_t& pid, std::string& name) const;
  int SlotsUsed() const;
  bool ReadAt(size_t offset, void* into, size_t bytes) const;

  int fd_;
};

}  // namespace sluice::simgpu
