// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/process.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <pthread.h>
#include <unistd.h>

#include "simgpu/internal/cuda/context.h"
#include "simgpu/internal/cuda/pool.h"

namespace sluice::simgpu {
namespace {

// The library's one piece of global state.
std::atomic<Process*> g_process{nullptr};
std::atomic<bool> g_forked{false};
std::mutex g_init_mutex;

void MarkForked() {
  g_forked.store(g_process.load() != nullptr);
}

// Files of exported memory whose exporter had this slot before and was killed.
void RemoveLeftovers(const std::string& folder, int slot) {
  std::string ours = "s" + std::to_string(slot) + "-";
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/ipc", failed)) {
    if (entry.path().filename().string().rfind(ours, 0) != 0) continue;
    ::unlink(entry.path().c_str());
  }
}

Device Describe(const Scene& scene, const Unit& unit) {
  const SceneCard& card = scene.cards[static_cast<size_t>(unit.card)];
  Device device;
  device.unit = unit.number;
  device.card = unit.card;
  device.capacity = Capacities(scene)[static_cast<size_t>(unit.number)];
  device.name = NameOf(scene, unit);
  device.card_uuid = card.uuid;
  device.uuid = card.uuid;
  device.multiprocessors = kMultiprocessors;
  if (unit.part >= 0) {
    const ScenePart& part = card.parts[static_cast<size_t>(unit.part)];
    device.uuid = part.uuid;
    device.multiprocessors = part.slices * kSliceMultiprocessors;
  }
  return device;
}

CUresult Start() {
  std::string folder = StateFolder();
  auto scene = ReadScene(folder);
  if (!scene) {
    if (scene.error().code == Code::kNotFound) return CUDA_ERROR_NO_DEVICE;
    Complain(scene.error().message);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  std::vector<Unit> units =
      CudaVisible(*scene, InReach(*scene), std::getenv("CUDA_VISIBLE_DEVICES"));
  if (units.empty()) return CUDA_ERROR_NO_DEVICE;
  auto map = DeviceMap::Open(folder);
  if (!map) {
    Complain(map.error().message);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  if (scene->virtual_clock) map->UseVirtualClock();
  RemoveLeftovers(folder, map->slot());
  auto* process = new Process(*scene, *map);
  for (const Unit& unit : units) process->devices.push_back(Describe(*scene, unit));
  ::pthread_atfork(nullptr, nullptr, MarkForked);
  g_process.store(process);
  return CUDA_SUCCESS;
}

// $SLUICE_SIMGPU_FAULT, read once.
struct Fault {
  std::string point;
  std::string what;
  int64_t strikes_at = 0;
  std::atomic<int64_t> passed{0};
};

Fault& TheFault() {
  static auto* fault = [] {
    auto* made = new Fault;
    const char* text = std::getenv("SLUICE_SIMGPU_FAULT");
    std::string all = text == nullptr ? "" : text;
    size_t first = all.find(':');
    size_t second = first == all.npos ? all.npos : all.find(':', first + 1);
    if (second == all.npos) return made;
    made->point = all.substr(0, first);
    made->strikes_at = std::strtoll(all.c_str() + first + 1, nullptr, 10);
    made->what = all.substr(second + 1);
    return made;
  }();
  return *fault;
}

}  // namespace

CUresult PassPoint(std::string_view point) {
  Fault& fault = TheFault();
  if (fault.point != point) return CUDA_SUCCESS;
  int64_t passed = fault.passed.fetch_add(1) + 1;
  constexpr std::string_view kDelay = "delay";
  if (fault.what.rfind(kDelay, 0) == 0) {
    int64_t delay_ms = std::strtoll(fault.what.c_str() + kDelay.size(), nullptr, 10);
    constexpr int64_t kDelayMsMax = 60'000;
    if (passed >= fault.strikes_at) {
      ::usleep(static_cast<useconds_t>(std::clamp<int64_t>(delay_ms, 0, kDelayMsMax) * 1000));
    }
    return CUDA_SUCCESS;
  }
  if (passed != fault.strikes_at) return CUDA_SUCCESS;
  if (fault.what == "kill") ::kill(::getpid(), SIGKILL);
  return static_cast<CUresult>(std::strtol(fault.what.c_str(), nullptr, 10));
}

Process::Process(const Scene& scene_read, const DeviceMap& map_opened)
    : scene(scene_read), map(map_opened) {}

Process* CurrentProcess() {
  return g_process.load(std::memory_order_acquire);
}

CUresult Initialised() {
  if (CurrentProcess() == nullptr || g_forked.load(std::memory_order_relaxed)) {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  return CUDA_SUCCESS;
}

CUresult Ready() {
  CUresult initialised = Initialised();
  if (initialised != CUDA_SUCCESS) return initialised;
  constexpr useconds_t kLookUs = 1000;
  while (CurrentProcess()->map.checkpoint() != kCheckpointRunning) ::usleep(kLookUs);
  return CUDA_SUCCESS;
}

CUresult ReadyWithContext() {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  Context* context = CurrentContext();
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  // A primary context that nobody retains any more is as good as destroyed.
  if (!context->active) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  return context->Health();
}

CUresult ChargeCard(int device, int64_t bytes) {
  Process& process = *CurrentProcess();
  if (process.scene.call_delay_us > 0) {
    ::usleep(static_cast<useconds_t>(process.scene.call_delay_us));
  }
  const Device& at = process.devices[static_cast<size_t>(device)];
  if (bytes < 0 || bytes > at.capacity) return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult before = PassPoint("charge");
  if (before != CUDA_SUCCESS) return before;
  if (!process.map.Charge(at.unit, bytes, at.capacity)) return CUDA_ERROR_OUT_OF_MEMORY;
  PassPoint("charged");
  return CUDA_SUCCESS;
}

void UnchargeCard(int device, int64_t bytes) {
  PassPoint("uncharge");
  Process& process = *CurrentProcess();
  process.map.Uncharge(process.devices[static_cast<size_t>(device)].unit, bytes);
}

bool IsDevice(CUdevice ordinal) {
  Process* process = CurrentProcess();
  return process != nullptr && ordinal >= 0 &&
         static_cast<size_t>(ordinal) < process->devices.size();
}

SLUICE_SIM_CALL cuInit(unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (g_forked.load()) return CUDA_ERROR_NOT_INITIALIZED;
  std::lock_guard lock(g_init_mutex);
  if (CurrentProcess() != nullptr) return CUDA_SUCCESS;
  CUresult passed = PassPoint("init");
  return passed == CUDA_SUCCESS ? Start() : passed;
}

SLUICE_SIM_CALL cuDriverGetVersion(int* version) {
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // Works before cuInit, as the driver's does.
  if (const Process* process = CurrentProcess(); process != nullptr) {
    *version = process->scene.cuda_version;
    return CUDA_SUCCESS;
  }
  auto scene = ReadScene(StateFolder());
  *version = scene ? scene->cuda_version : Scene{}.cuda_version;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
