// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "simgpu/internal/map.h"
#include "simgpu/scene.h"

// What both simulated libraries know of the machine they run on.
namespace sluice::simgpu {

// $SLUICE_SIMGPU_STATE, else /run/sluice/simgpu/state.
std::string StateFolder();

// Something that programs can have as their device: a whole card or a part of one.
struct Unit {
  int number = 0;  // In the map.
  int card = 0;    // Position in `scene.cards`.
  int part = -1;   // Position in its `parts`; -1: the whole card.

  friend bool operator==(const Unit&, const Unit&) = default;
};
Unit WholeCard(int card);
Unit PartOf(const Scene& scene, int card, int part);
// How NVML and CUDA number a part's GPU instance. Requires: it is a part.
int InstanceOf(const Unit& unit);
// By its number in the map; empty: there is none.
std::optional<Unit> UnitOf(const Scene& scene, int number);

// "Sluice simulated GPU 40 GiB", of a part with " MIG 2g.10gb" behind it.
std::string NameOf(const Scene& scene, const Unit& unit);

inline constexpr int kMultiprocessors = 64;      // Of a whole card…
inline constexpr int kSliceMultiprocessors = 8;  // …and of each slice of one in MIG mode.

// Bytes that programs can have of each unit, by number.
std::vector<int64_t> Capacities(const Scene& scene);

// Whole cards that this process may see, in order, and which parts of each, as device nodes would
// decide it: the file named by $SLUICE_SIMGPU_VISIBLE, else /run/sluice/simgpu/visible, one UUID a
// line. That of a card stands for all its parts, that of a part brings its card. No such file: all.
// UUIDs that are not in the scene are passed over.
struct Reach {
  std::vector<int> cards;               // Positions in `scene.cards`.
  std::vector<std::vector<int>> parts;  // Of each of `cards`: positions in its `parts`.
};
Reach InReach(const Scene& scene);
bool IsInReach(const Reach& reach, const Unit& unit);

// What CUDA_VISIBLE_DEVICES leaves of `reach`: comma-separated positions or UUID prefixes; the list
// ends at the first entry that names no unit or is of the other form than the first, and one that
// names a unit twice is worth nothing. Unset (null): all. A process has
// one part of a card at most, and then nothing beside it: a part that is named first, or where
// there is no whole card to be had, the first part. A card in MIG mode stands for its first part.
std::vector<Unit> CudaVisible(const Scene& scene, const Reach& reach, const char* value);

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

  // Living processes of a unit that the reader's pid namespace can see.
  std::vector<MapProcess> Processes(int unit) const;
  // What all living processes hold, also those out of sight; never more than `capacity`.
  Bytes Used(int unit, Bytes capacity) const;
  // The clock of the work: the machine's, or the virtual one.
  int64_t Now(bool virtual_clock) const;
  // Busy time in µs of a unit (slot < 0) or of a process on it in one bucket of kSampleNs.
  uint32_t BusyUs(int unit, int slot, int64_t bucket) const;

 private:
  explicit MapReader(int fd) : fd_(fd) {}

  bool Alive(int slot, int64_t& pid, std::string& name) const;
  int SlotsUsed() const;
  bool ReadAt(size_t offset, void* into, size_t bytes) const;

  int fd_;
};

}  // namespace sluice::simgpu
