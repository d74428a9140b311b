// SPDX-License-Identifier: Apache-2.0
#include "device/nvidia/backend.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string.h>

#include "base/guarded.h"
#include "device/nvidia/internal/nvml.h"

namespace sluice::device::nvidia {
namespace {

constexpr unsigned kTextBytes = 96;
constexpr unsigned kProcessesMax = 4096;
constexpr const char* kVendor = "nvidia";

int64_t Bounded(unsigned long long value) {
  return static_cast<int64_t>(std::min<unsigned long long>(value, INT64_MAX));
}

// Where the kernel says the card's memory bus is; -1 when it does not.
int NumaNode(const nvmlPciInfo_t& pci) {
  std::string bus(pci.busId, ::strnlen(pci.busId, sizeof(pci.busId)));
  for (char& c : bus) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr size_t kShort = 12;  // "0000:01:00.0"; NVML writes 8 digits of domain.
  if (bus.size() > kShort) bus = bus.substr(bus.size() - kShort);
  std::ifstream file("/sys/bus/pci/devices/" + bus + "/numa_node");
  int node = -1;
  file >> node;
  return file ? node : -1;
}

template <typename Info>
nvmlReturn_t List(NvmlCall<nvmlDevice_t, unsigned*, Info*> call,
                  nvmlDevice_t device,
                  std::map<unsigned, unsigned long long>& processes) {
  if (call == nullptr) return NVML_ERROR_FUNCTION_NOT_FOUND;
  std::vector<Info> infos(64);
  nvmlReturn_t got = NVML_SUCCESS;
  unsigned count = 0;
  do {  // The list may grow between two calls.
    count = static_cast<unsigned>(infos.size());
    got = call(device, &count, infos.data());
    if (got == NVML_ERROR_INSUFFICIENT_SIZE) infos.resize(infos.size() * 2);
  } while (got == NVML_ERROR_INSUFFICIENT_SIZE && infos.size() <= kProcessesMax);
  if (got != NVML_SUCCESS) return got;
  infos.resize(std::min<size_t>(count, infos.size()));
  for (const Info& info : infos) {
    if (info.usedGpuMemory == NVML_VALUE_NOT_AVAILABLE) continue;
    // A process that both computes and draws is in two lists with the same memory.
    unsigned long long& used = processes[info.pid];
    used = std::max(used, info.usedGpuMemory);
  }
  return NVML_SUCCESS;
}

// NVML and what was last seen of each card, so that a lost one keeps its name.
struct State {
  Nvml nvml;
  std::map<GpuId, Card> seen;
  std::map<GpuId, int> minors;
};

class NvidiaBackend final : public Backend {
 public:
  NvidiaBackend(Nvml nvml, Options options)
      : options_(std::move(options)), state_(State{std::move(nvml), {}, {}}) {}

  std::string Vendor() const override { return kVendor; }
  Result<std::vector<Card>> Read() override;
  Result<CardAccess> Access(const GpuId& gpu) override;

 private:
  Result<Card> ReadCard(State& state, unsigned index, const std::string& driver) const;
  Result<void> ReadIdentity(State& state, nvmlDevice_t device, Card& card) const;
  void ReadUse(const Nvml& nvml, nvmlDevice_t device, Card& card) const;
  TimePoint Now() const { return options_.clock != nullptr ? options_.clock->Now() : own_.Now(); }

  const Options options_;
  const SystemClock own_;
  Guarded<State> state_;
};

// The newest sample of each process; a process that has been idle for long has none.
void ReadUtilization(const Nvml& nvml, nvmlDevice_t device, Card& card) {
  constexpr unsigned kSamplesMax = 1024;
  if (nvml.nvmlDeviceGetProcessUtilization == nullptr || card.processes.empty()) return;
  std::vector<nvmlProcessUtilizationSample_t> samples(kSamplesMax);
  const auto since = std::chrono::system_clock::now() - std::chrono::seconds(2);
  const auto since_us =
      std::chrono::duration_cast<std::chrono::microseconds>(since.time_since_epoch()).count();
  unsigned count = kSamplesMax;
  if (nvml.nvmlDeviceGetProcessUtilization(
          device, samples.data(), &count, static_cast<unsigned long long>(since_us)) !=
      NVML_SUCCESS) {
    return;
  }
  samples.resize(std::min(count, kSamplesMax));
  std::ranges::stable_sort(samples, {}, &nvmlProcessUtilizationSample_t::timeStamp);
  for (const nvmlProcessUtilizationSample_t& sample : samples) {
    for (ProcessUse& process : card.processes) {
      if (process.host_pid == sample.pid) {
        process.utilization_percent = static_cast<int>(std::min(sample.smUtil, 100u));
      }
    }
  }
}

void ReadProcesses(const Nvml& nvml, nvmlDevice_t device, Card& card) {
  std::map<unsigned, unsigned long long> processes;
  nvmlReturn_t got = List(nvml.nvmlDeviceGetComputeRunningProcesses_v3, device, processes);
  if (got != NVML_SUCCESS) {
    got = List(nvml.nvmlDeviceGetComputeRunningProcesses_v2, device, processes);
  }
  if (got != NVML_SUCCESS) List(nvml.nvmlDeviceGetComputeRunningProcesses, device, processes);
  const auto computes = processes;
  List(nvml.nvmlDeviceGetGraphicsRunningProcesses_v3, device, processes);
  for (const auto& [pid, used] : processes) {
    card.processes.push_back(ProcessUse{
        .host_pid = pid, .memory = Bytes(Bounded(used)), .draws_only = !computes.contains(pid)});
  }
}

nvmlReturn_t ReadMemory(const Nvml& nvml, nvmlDevice_t device, Card& card) {
  nvmlMemory_v2_t memory{};
  memory.version = static_cast<unsigned>(sizeof(memory)) | (2u << 24);
  if (nvml.nvmlDeviceGetMemoryInfo_v2 != nullptr &&
      nvml.nvmlDeviceGetMemoryInfo_v2(device, &memory) == NVML_SUCCESS) {
    // What the driver keeps for itself is not there to be shared out.
    card.gpu.memory = Bytes(Bounded(memory.total) - Bounded(memory.reserved));
    card.use.memory_used = Bytes(Bounded(memory.used));
    return NVML_SUCCESS;
  }
  nvmlMemory_t first{};
  nvmlReturn_t got = nvml.nvmlDeviceGetMemoryInfo(device, &first);
  if (got != NVML_SUCCESS) return got;
  card.gpu.memory = Bytes(Bounded(first.total));
  card.use.memory_used = Bytes(Bounded(first.used));
  return NVML_SUCCESS;
}

void NvidiaBackend::ReadUse(const Nvml& nvml, nvmlDevice_t device, Card& card) const {
  nvmlUtilization_t rates{};
  if (nvml.nvmlDeviceGetUtilizationRates != nullptr &&
      nvml.nvmlDeviceGetUtilizationRates(device, &rates) == NVML_SUCCESS) {
    card.use.utilization_percent = static_cast<int>(std::min(rates.gpu, 100u));
  }
  unsigned value = 0;
  constexpr int kSensorGpu = 0;
  if (nvml.nvmlDeviceGetTemperature != nullptr &&
      nvml.nvmlDeviceGetTemperature(device, kSensorGpu, &value) == NVML_SUCCESS) {
    card.use.temperature_c = static_cast<int>(value);
  }
  if (nvml.nvmlDeviceGetPowerUsage != nullptr &&
      nvml.nvmlDeviceGetPowerUsage(device, &value) == NVML_SUCCESS) {
    card.use.power_mw = static_cast<int>(std::min(value, 10'000'000u));
  }
  card.use.sampled_at = Now();
}

Result<void> NvidiaBackend::ReadIdentity(State& state, nvmlDevice_t device, Card& card) const {
  const Nvml& nvml = state.nvml;
  char text[kTextBytes] = {};
  nvmlReturn_t got = nvml.nvmlDeviceGetUUID(device, text, kTextBytes);
  if (got != NVML_SUCCESS) return Fail(ToError(got, "reading a card's UUID"));
  text[kTextBytes - 1] = '\0';
  card.gpu.id = GpuId(text);
  std::fill(std::begin(text), std::end(text), '\0');
  if (nvml.nvmlDeviceGetName != nullptr &&
      nvml.nvmlDeviceGetName(device, text, kTextBytes - 1) == NVML_SUCCESS) {
    card.gpu.model = text;
  }
  unsigned mig = 0;
  unsigned pending = 0;
  if (nvml.nvmlDeviceGetMigMode != nullptr &&
      nvml.nvmlDeviceGetMigMode(device, &mig, &pending) == NVML_SUCCESS && mig != 0) {
    card.gpu.mode = GpuMode::kPartitioned;
  }
  card.gpu.vendor = kVendor;
  card.gpu.simulated = !options_.simulated_state.empty();
  nvmlPciInfo_t pci{};
  if (nvml.nvmlDeviceGetPciInfo_v3 != nullptr &&
      nvml.nvmlDeviceGetPciInfo_v3(device, &pci) == NVML_SUCCESS) {
    card.gpu.numa_node = card.gpu.simulated ? -1 : NumaNode(pci);
  }
  unsigned minor = 0;
  if (nvml.nvmlDeviceGetMinorNumber != nullptr &&
      nvml.nvmlDeviceGetMinorNumber(device, &minor) == NVML_SUCCESS) {
    state.minors[card.gpu.id] = static_cast<int>(minor);
  }
  return {};
}

Result<Card> NvidiaBackend::ReadCard(State& state,
                                     unsigned index,
                                     const std::string& driver) const {
  const std::string doing = "reading card " + std::to_string(index);
  nvmlDevice_t device = nullptr;
  nvmlReturn_t got = state.nvml.nvmlDeviceGetHandleByIndex_v2(index, &device);
  if (got != NVML_SUCCESS) return Fail(ToError(got, doing));
  Card card;
  card.gpu.index = static_cast<int>(index);
  card.gpu.driver_version = driver;
  auto identity = ReadIdentity(state, device, card);
  if (!identity) return Fail(identity.error());
  got = ReadMemory(state.nvml, device, card);
  if (got != NVML_SUCCESS) {
    // It still says its name but nothing else: lost. What was known of it stays.
    auto seen = state.seen.find(card.gpu.id);
    if (seen != state.seen.end()) {
      card.gpu = seen->second.gpu;
      card.gpu.index = static_cast<int>(index);
    }
    card.gpu.health = GpuHealth::kUnhealthy;
    card.gpu.health_reason = ToError(got, doing).message;
    card.use.sampled_at = Now();
    return card;
  }
  ReadUse(state.nvml, device, card);
  ReadProcesses(state.nvml, device, card);
  ReadUtilization(state.nvml, device, card);
  card.gpu.last_seen = card.use.sampled_at;
  return card;
}

Result<std::vector<Card>> NvidiaBackend::Read() {
  return state_.With([&](State& state) -> Result<std::vector<Card>> {
    unsigned count = 0;
    nvmlReturn_t got = state.nvml.nvmlDeviceGetCount_v2(&count);
    if (got != NVML_SUCCESS) {
      return Fail(Code::kUnavailable, ToError(got, "counting the cards").message);
    }
    std::string driver;
    char text[kTextBytes] = {};
    if (state.nvml.nvmlSystemGetDriverVersion != nullptr &&
        state.nvml.nvmlSystemGetDriverVersion(text, kTextBytes - 1) == NVML_SUCCESS) {
      driver = text;
    }
    std::vector<Card> cards;
    std::map<GpuId, Card> seen;
    for (unsigned index = 0; index < count; ++index) {
      auto card = ReadCard(state, index, driver);
      if (!card) continue;  // It has no name any more; it is found among those seen before.
      seen[card->gpu.id] = *card;
      cards.push_back(std::move(*card));
    }
    for (const auto& [id, old] : state.seen) {
      if (seen.contains(id)) continue;
      Card gone = old;
      gone.gpu.health = GpuHealth::kUnhealthy;
      gone.gpu.health_reason = "the card is no longer listed by the driver";
      gone.processes.clear();
      gone.use = GpuUse{.sampled_at = Now()};
      seen[id] = gone;
      cards.push_back(std::move(gone));
    }
    state.seen = std::move(seen);
    std::ranges::stable_sort(cards, {}, [](const Card& card) { return card.gpu.index; });
    return cards;
  });
}

void AddIfThere(std::vector<std::string>& list, const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) list.push_back(path);
}

Result<CardAccess> NvidiaBackend::Access(const GpuId& gpu) {
  auto minor = state_.With([&](State& state) -> Result<int> {
    if (!state.seen.contains(gpu)) return Fail(Code::kNotFound, "no card " + gpu.text());
    auto found = state.minors.find(gpu);
    return found == state.minors.end() ? -1 : found->second;
  });
  if (!minor) return Fail(minor.error());
  CardAccess access;
  std::string folder = state_.With([](State& state) { return state.nvml.folder; });
  if (!folder.empty()) access.library_dirs.push_back(folder);
  if (!options_.simulated_state.empty()) {
    access.read_write.push_back(options_.simulated_state);
    return access;
  }
  if (*minor >= 0) AddIfThere(access.device_nodes, "/dev/nvidia" + std::to_string(*minor));
  for (const char* node : {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"}) {
    AddIfThere(access.device_nodes, node);
  }
  for (const char* path : {"/proc/driver/nvidia", "/usr/share/nvidia", "/etc/nvidia"}) {
    AddIfThere(access.read_only, path);
  }
  return access;
}

}  // namespace

Result<std::unique_ptr<Backend>> Open(const Options& options) {
  auto nvml = LoadNvml(options.library);
  if (!nvml) return Fail(nvml.error());
  if (!options.simulated_state.empty()) {
    if (nvml->nvmlSluiceSetState == nullptr) {
      return Fail(Code::kFailedPrecondition, options.library + " is not the simulated GPU's NVML");
    }
    nvmlReturn_t set = nvml->nvmlSluiceSetState(options.simulated_state.c_str());
    if (set != NVML_SUCCESS) return Fail(ToError(set, "pointing NVML at the simulated cards"));
  }
  nvmlReturn_t started = nvml->nvmlInit_v2();
  if (started != NVML_SUCCESS) {
    return Fail(Code::kUnavailable, ToError(started, "starting NVML").message);
  }
  auto backend = std::make_unique<NvidiaBackend>(*nvml, options);
  // The first reading names the cards, which Access needs.
  auto first = backend->Read();
  if (!first) return Fail(first.error());
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace sluice::device::nvidia
