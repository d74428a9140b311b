// SPDX-License-Identifier: Apache-2.0
#include "simgpu/truth.h"

#include "simgpu/internal/device_map.h"

namespace sluice::simgpu {

struct Truth::Parts {
  DeviceMap map;
  MapReader reader;
};

Truth::Truth(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Truth::Truth(Truth&&) noexcept = default;
Truth& Truth::operator=(Truth&&) noexcept = default;
Truth::~Truth() = default;

Result<Truth> Truth::Open(const std::string& folder) {
  auto scene = ReadScene(folder);
  if (!scene) return Fail(Code::kUnavailable, scene.error().message);
  auto map = DeviceMap::Watch(folder);
  if (!map) return Fail(map.error());
  auto reader = MapReader::Open(folder);
  if (!reader) return Fail(reader.error());
  if (scene->virtual_clock) map->UseVirtualClock();
  return Truth(std::make_unique<Parts>(Parts{*map, *reader}));
}

CardTruth Truth::Read(int card) {
  std::vector<MapProcess> processes = parts_->reader.Processes(card);
  std::vector<int> slots;
  for (const MapProcess& process : processes) slots.push_back(process.slot);
  std::vector<int64_t> busy_ns[kLanes];
  int64_t all_ns[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    all_ns[lane] = parts_->map.BusyNs({card, static_cast<Lane>(lane)}, slots, busy_ns[lane]);
  }
  using std::chrono::nanoseconds;
  CardTruth truth;
  truth.memory_peak = Bytes(parts_->map.Peak(card));
  truth.busy = nanoseconds(all_ns[static_cast<int>(Lane::kKernel)]);
  for (size_t i = 0; i < processes.size(); ++i) {
    ProcessTruth row;
    row.pid = processes[i].pid;
    row.memory = processes[i].memory;
    row.busy = nanoseconds(busy_ns[static_cast<int>(Lane::kKernel)][i]);
    row.copying = nanoseconds(busy_ns[static_cast<int>(Lane::kCopyIn)][i] +
                              busy_ns[static_cast<int>(Lane::kCopyOut)][i]);
    truth.processes.push_back(row);
  }
  return truth;
}

}  // namespace sluice::simgpu
