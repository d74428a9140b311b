// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/nvml/library.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>
#include <sys/stat.h>

#include "simgpu/internal/hide.h"

namespace sluice::simgpu {
namespace {

// The library's one piece of global state. The reader is made once and kept: see MapReader.
struct Library {
  std::mutex mutex;
  int users = 0;
  std::string told_folder;  // By nvmlSluiceSetState; empty: the environment's.
  std::string folder;
  std::optional<Scene> scene;
  struct stat scene_file {};  // Which file `scene` was read from.
  std::optional<MapReader> reader;
};

Library& Global() {
  static auto* library = new Library;  // Never destroyed: calls may come while the process ends.
  return *library;
}

bool SceneIsFresh(const Library& library) {
  struct stat found {};
  std::string path = library.folder + "/" + kSceneFile;
  return ::stat(path.c_str(), &found) == 0 && library.scene &&
         found.st_ino == library.scene_file.st_ino &&
         found.st_mtim.tv_sec == library.scene_file.st_mtim.tv_sec &&
         found.st_mtim.tv_nsec == library.scene_file.st_mtim.tv_nsec;
}

nvmlReturn_t Load(Library& library) {
  struct stat found {};
  std::string path = library.folder + "/" + kSceneFile;
  if (::stat(path.c_str(), &found) != 0) return NVML_ERROR_DRIVER_NOT_LOADED;
  auto scene = ReadScene(library.folder);
  if (!scene) {
    Complain(scene.error().message);
    return NVML_ERROR_UNKNOWN;
  }
  library.scene = *scene;
  library.scene_file = found;
  return NVML_SUCCESS;
}

nvmlReturn_t Start(Library& library) {
  std::string folder = library.told_folder.empty() ? StateFolder() : library.told_folder;
  if (folder != library.folder) library.reader.reset();
  library.folder = folder;
  nvmlReturn_t loaded = Load(library);
  if (loaded != NVML_SUCCESS || library.reader) return loaded;
  auto reader = MapReader::Open(folder);
  if (!reader) {
    Complain(reader.error().message);
    return NVML_ERROR_UNKNOWN;
  }
  library.reader = *reader;
  return NVML_SUCCESS;
}

// Calls that an older driver's library does not have, and the version that brought them.
struct LaterRow {
  std::string_view symbol;
  int since;
};
constexpr LaterRow kLater[] = {
    {"nvmlDeviceGetMemoryInfo_v2", kDriver510},
    {"nvmlDeviceGetComputeRunningProcesses_v3", kDriver510},
    {"nvmlDeviceGetGraphicsRunningProcesses_v3", kDriver510},
    {"nvmlDeviceGetMPSComputeRunningProcesses_v3", kDriver510},
    {"nvmlDeviceGetRunningProcessDetailList", kDriver535},
    {"nvmlDeviceGetProcessesUtilizationInfo", kDriver535},
};

__attribute__((constructor)) void HideWhatCameLater() {
  auto scene = ReadScene(StateFolder());
  if (!scene || scene->cuda_version >= Scene{}.cuda_version) return;
  HideSymbols([&](std::string_view symbol) {
    return std::any_of(std::begin(kLater), std::end(kLater), [&](const LaterRow& row) {
      return row.symbol == symbol && scene->cuda_version < row.since;
    });
  });
}

}  // namespace

nvmlReturn_t View(std::optional<NvmlView>& view) {
  Library& library = Global();
  std::lock_guard lock(library.mutex);
  if (library.users == 0) return NVML_ERROR_UNINITIALIZED;
  // A scene that became unreadable leaves the last good one in force.
  if (!SceneIsFresh(library) && Load(library) == NVML_SUCCESS) {
    // The map may be another file now. The old descriptor stays open on purpose.
    if (auto reader = MapReader::Open(library.folder)) library.reader = *reader;
  }
  view.emplace(NvmlView{*library.scene, InReach(*library.scene), *library.reader});
  return NVML_SUCCESS;
}

nvmlDevice_t ToDevice(const Unit& unit) {
  return reinterpret_cast<nvmlDevice_t>(static_cast<uintptr_t>(unit.number) + 1);
}

nvmlReturn_t Find(nvmlDevice_t device, std::optional<NvmlCard>& found) {
  std::optional<NvmlView> view;
  nvmlReturn_t viewed = View(view);
  if (viewed != NVML_SUCCESS) return viewed;
  uintptr_t number = reinterpret_cast<uintptr_t>(device);
  if (number == 0 || number > kUnits) return NVML_ERROR_INVALID_ARGUMENT;
  auto unit = UnitOf(view->scene, static_cast<int>(number - 1));
  if (!unit) return NVML_ERROR_INVALID_ARGUMENT;
  const std::vector<int>* among = &view->reach.cards;
  auto at = std::find(among->begin(), among->end(), unit->card);
  if (at == among->end()) return NVML_ERROR_INVALID_ARGUMENT;
  if (unit->part >= 0) {
    among = &view->reach.parts[static_cast<size_t>(at - among->begin())];
    at = std::find(among->begin(), among->end(), unit->part);
    if (at == among->end()) return NVML_ERROR_INVALID_ARGUMENT;
  }
  int index = static_cast<int>(at - among->begin());
  found.emplace(NvmlCard{std::move(*view), *unit, index});
  return found->scene().Has("lost") ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

std::vector<Unit> NvmlCard::Units() const {
  if (unit.part >= 0 || scene().parts.empty()) return {unit};
  std::vector<Unit> units;
  for (size_t i = 0; i < scene().parts.size(); ++i) {
    units.push_back(PartOf(view.scene, unit.card, static_cast<int>(i)));
  }
  return units;
}

nvmlReturn_t CopyText(const std::string& text, char* into, unsigned bytes) {
  if (into == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (bytes < text.size() + 1) return NVML_ERROR_INSUFFICIENT_SIZE;
  std::memcpy(into, text.c_str(), text.size() + 1);
  return NVML_SUCCESS;
}

int64_t LastBucket(const NvmlCard& card) {
  constexpr int64_t kLateNs = 30'000'000;
  int64_t now_ns = card.view.reader.Now(card.view.scene.virtual_clock);
  return std::max<int64_t>(now_ns - kLateNs, 0) / kSampleNs - 1;
}

unsigned BusyPercent(const NvmlCard& card, int slot) {
  if (card.scene().Has("zero_utilization")) return 0;
  int64_t last = LastBucket(card);
  uint64_t busy_us = card.view.reader.BusyUs(card.unit.number, slot, last);
  return static_cast<unsigned>(std::min<uint64_t>(busy_us * 100 * 1000 / kSampleNs, 100));
}

SLUICE_SIM_NVML nvmlInitWithFlags(unsigned /*flags*/) {
  Library& library = Global();
  std::lock_guard lock(library.mutex);
  if (library.users == 0) {
    nvmlReturn_t started = Start(library);
    if (started != NVML_SUCCESS) return started;
  }
  ++library.users;
  return NVML_SUCCESS;
}

// Not NVML's: for a program that watches simulated cards without changing its own environment.
// Takes effect at once, also when NVML is running.
SLUICE_SIM_NVML nvmlSluiceSetState(const char* folder) {
  if (folder == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  Library& library = Global();
  std::lock_guard lock(library.mutex);
  library.told_folder = folder;
  return library.users == 0 ? NVML_SUCCESS : Start(library);
}

SLUICE_SIM_NVML nvmlInit_v2() {
  return nvmlInitWithFlags(0);
}
SLUICE_SIM_NVML nvmlInit() {
  return nvmlInitWithFlags(0);
}

SLUICE_SIM_NVML nvmlShutdown() {
  Library& library = Global();
  std::lock_guard lock(library.mutex);
  if (library.users == 0) return NVML_ERROR_UNINITIALIZED;
  --library.users;
  return NVML_SUCCESS;
}

struct NvmlErrorRow {
  int code;
  const char* text;
};

extern "C" __attribute__((visibility("default"))) const char* nvmlErrorString(int code) {
  static constexpr NvmlErrorRow kRows[] = {
      {NVML_SUCCESS, "Success"},
      {NVML_ERROR_UNINITIALIZED, "Uninitialized"},
      {NVML_ERROR_INVALID_ARGUMENT, "Invalid Argument"},
      {NVML_ERROR_NOT_SUPPORTED, "Not Supported"},
      {NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"},
      {NVML_ERROR_NOT_FOUND, "Not Found"},
      {NVML_ERROR_INSUFFICIENT_SIZE, "Insufficient Size"},
      {NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"},
      {NVML_ERROR_FUNCTION_NOT_FOUND, "Function Not Found"},
      {NVML_ERROR_GPU_IS_LOST, "GPU is lost"},
      {NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "Argument version mismatch"},
  };
  for (const NvmlErrorRow& row : kRows) {
    if (row.code == code) return row.text;
  }
  return "Unknown Error";
}

}  // namespace sluice::simgpu
