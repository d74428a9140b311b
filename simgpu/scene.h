// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

// What the simulated GPU pretends to be: the file `scene.json` in its state folder. The simulated
// libcuda.so.1 and libnvidia-ml.so.1 read it; `sluice up --simulate` and tests write it.
//
// {
//   "version": 1,
//   "driver_version": "580.0-simulated",   what NVML calls the driver
//   "cuda_version": 13000,                 newest API version it answers to: 1000 major + 10 minor
//   "context_mib": 400,                    memory that each context takes
//   "kernel_us": 10,                       duration of a kernel that does not say its own
//   "kernels": {"name": 250},              durations in µs of kernels by name
//   "clock": "real",                       or "virtual": time stands still but for who waits
//   "copy_gib_per_s": 0,                   0: as fast as this machine copies
//   "call_delay_us": 0,                    a slow driver: added to every call that allocates
//   "pool_chunk_mib": 2,                   pools grow by so much, or a multiple of it
//   "cards": [
//     { "uuid": "GPU-…",                   fixed once written
//       "name": "Sluice simulated GPU 24 GiB",
//       "memory_mib": 24576,
//       "reserved_mib": 0,                 memory the driver keeps for itself
//       "parts": [                         the card is in MIG mode, in these parts
//         { "uuid": "MIG-…", "slices": 2,  of seven sevenths of its multiprocessors
//           "memory_mib": 9728 } ],
//       "faults": [] }                     of SceneFaults()
//   ]
// }
// Every key but "version" and "cards" may be left out; an unknown key is an error.
namespace sluice::simgpu {

inline constexpr int kCardsMax = 16;
inline constexpr int kPartsMax = 16;  // Of all cards together.
inline constexpr int kSlicesMax = 7;  // Of one card.
inline constexpr int kForeignPid = 1'000'000;
inline constexpr size_t kKernelsMax = 256;
inline constexpr const char* kSceneFile = "scene.json";
inline constexpr const char* kMapFile = "device.map";

// A part of a card in MIG mode: one GPU instance with one compute instance that has all of it.
struct ScenePart {
  std::string uuid;  // "MIG-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case.
  int slices = 1;
  Bytes memory;

  friend bool operator==(const ScenePart&, const ScenePart&) = default;
};

struct SceneCard {
  std::string uuid;  // "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case.
  std::string name;  // Always contains "simulated".
  Bytes memory;
  Bytes reserved;
  std::vector<ScenePart> parts;  // Together at most kSlicesMax slices and the card's memory.
  std::vector<std::string> faults;

  bool Has(std::string_view fault) const;
  bool InMigMode() const { return !parts.empty() || Has("mig_mode"); }
  friend bool operator==(const SceneCard&, const SceneCard&) = default;
};

struct Scene {
  std::string driver_version = "580.0-simulated";
  int cuda_version = 13000;
  Bytes context = MiB(400);
  int64_t kernel_us = 10;
  std::map<std::string, int64_t, std::less<>> kernel_us_of;  // At most kKernelsMax.
  bool virtual_clock = false;
  int64_t copy_gib_per_s = 0;
  int64_t call_delay_us = 0;
  Bytes pool_chunk = MiB(2);
  std::vector<SceneCard> cards;  // 1 to kCardsMax.

  friend bool operator==(const Scene&, const Scene&) = default;
};

// "lost": fell off the bus. "no_process_list": NVML answers NOT_SUPPORTED for process lists, as
// some kernels' drivers do. "zero_utilization": NVML reports 0 always. "foreign_pids_in_lists" and
// "foreign_pids_in_utilization": NVML numbers processes there as another pid namespace does, which
// here is kForeignPid more. "mig_mode": the card is in MIG mode without parts, so CUDA does not
// see it.
const std::vector<std::string_view>& SceneFaults();

// The newest CUDA version of a driver by its branch, the number that its version begins with; 0 for
// one that is not known.
int CudaVersionOf(std::string_view driver_version);

// Reads the text of a scene file; outside bytes, so every field is checked and bounded. Fails with
// kInvalidArgument, `field` names the key.
Result<Scene> ParseScene(std::string_view json);
std::string ToJson(const Scene& scene);

// Reads scene.json of a state folder. Fails with kNotFound (no file) or kInvalidArgument.
Result<Scene> ReadScene(const std::string& folder);

// "2x24GiB", "1x80GiB,4x24GiB", "24GiB": a scene with defaults and stable UUIDs (the same text
// gives the same cards). Fails with kInvalidArgument and a sentence that shows a right one.
Result<Scene> ParseFleet(std::string_view text);

// Makes the folder ready: writes scene.json (atomically) and the empty device map that processes of
// other users may write too. An equal scene already there is left alone with its map, so running
// programs keep their cards; a different one starts from an empty map. Fails with kUnavailable.
Result<void> WriteScene(const std::string& folder, const Scene& scene);

}  // namespace sluice::simgpu
