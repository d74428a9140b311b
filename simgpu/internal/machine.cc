// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/machine.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::simgpu {
namespace {

std::string EnvironmentOr(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

// Every unit in reach, cards before their parts.
std::vector<Unit> UnitsOf(const Scene& scene, const Reach& reach) {
  std::vector<Unit> units;
  for (size_t i = 0; i < reach.cards.size(); ++i) {
    units.push_back(WholeCard(reach.cards[i]));
    for (int part : reach.parts[i]) units.push_back(PartOf(scene, reach.cards[i], part));
  }
  return units;
}

Reach Everything(const Scene& scene) {
  Reach all;
  for (size_t card = 0; card < scene.cards.size(); ++card) {
    all.cards.push_back(static_cast<int>(card));
    all.parts.emplace_back();
    for (size_t part = 0; part < scene.cards[card].parts.size(); ++part) {
      all.parts.back().push_back(static_cast<int>(part));
    }
  }
  return all;
}

// "MIG-GPU-uuid/gpu instance/compute instance", as drivers before 470 name parts.
std::string OldName(const Scene& scene, const Unit& unit) {
  return "MIG-" + scene.cards[static_cast<size_t>(unit.card)].uuid + "/" +
         std::to_string(InstanceOf(unit)) + "/0";
}

const std::string& UuidOf(const Scene& scene, const Unit& unit) {
  const SceneCard& card = scene.cards[static_cast<size_t>(unit.card)];
  return unit.part < 0 ? card.uuid : card.parts[static_cast<size_t>(unit.part)].uuid;
}

// The one unit whose UUID begins so.
std::optional<Unit> FindUuid(const Scene& scene,
                             const std::vector<Unit>& among,
                             std::string_view prefix) {
  std::optional<Unit> found;
  for (const Unit& unit : among) {
    if (unit.part >= 0 && OldName(scene, unit) == prefix) return unit;
    if (UuidOf(scene, unit).rfind(prefix, 0) != 0) continue;
    if (found) return std::nullopt;  // Ambiguous.
    found = unit;
  }
  return found;
}

bool IsUuidEntry(std::string_view entry) {
  return entry.rfind("GPU-", 0) == 0 || entry.rfind("MIG-", 0) == 0;
}

// What one entry of CUDA_VISIBLE_DEVICES names.
std::optional<Unit> FindEntry(const Scene& scene, const Reach& reach, std::string_view entry) {
  if (IsUuidEntry(entry)) return FindUuid(scene, UnitsOf(scene, reach), entry);
  if (entry.empty() || entry.size() > 4) return std::nullopt;
  size_t position = 0;
  for (char c : entry) {
    if (c < '0' || c > '9') return std::nullopt;
    position = position * 10 + static_cast<size_t>(c - '0');
  }
  if (position >= reach.cards.size()) return std::nullopt;
  return WholeCard(reach.cards[position]);
}

// A card in MIG mode is to be had only in parts: its first in reach.
std::optional<Unit> Usable(const Scene& scene, const Reach& reach, const Unit& unit) {
  if (unit.part >= 0 || !scene.cards[static_cast<size_t>(unit.card)].InMigMode()) return unit;
  auto at = std::find(reach.cards.begin(), reach.cards.end(), unit.card) - reach.cards.begin();
  const std::vector<int>& parts = reach.parts[static_cast<size_t>(at)];
  if (parts.empty()) return std::nullopt;
  return PartOf(scene, unit.card, parts.front());
}

// Without CUDA_VISIBLE_DEVICES.
std::vector<Unit> ByItself(const Scene& scene, const Reach& reach) {
  std::vector<Unit> whole;
  std::vector<Unit> parts;
  for (int card : reach.cards) {
    auto unit = Usable(scene, reach, WholeCard(card));
    if (unit) (unit->part < 0 ? whole : parts).push_back(*unit);
  }
  if (whole.empty() && !parts.empty()) return {parts.front()};
  return whole;
}

}  // namespace

std::string StateFolder() {
  return EnvironmentOr("SLUICE_SIMGPU_STATE", "/run/sluice/simgpu/state");
}

Unit WholeCard(int card) {
  return {.number = card, .card = card, .part = -1};
}

Unit PartOf(const Scene& scene, int card, int part) {
  size_t before = 0;
  for (int i = 0; i < card; ++i) before += scene.cards[static_cast<size_t>(i)].parts.size();
  return {.number = kCardsMax + static_cast<int>(before) + part, .card = card, .part = part};
}

std::optional<Unit> UnitOf(const Scene& scene, int number) {
  for (const Unit& unit : UnitsOf(scene, Everything(scene))) {
    if (unit.number == number) return unit;
  }
  return std::nullopt;
}

int InstanceOf(const Unit& unit) {
  return unit.part + 1;  // 0 is an instance that has the whole card.
}

std::string NameOf(const Scene& scene, const Unit& unit) {
  const SceneCard& card = scene.cards[static_cast<size_t>(unit.card)];
  if (unit.part < 0) return card.name;
  const ScenePart& part = card.parts[static_cast<size_t>(unit.part)];
  const int64_t gib = GiB(1).value();
  return card.name + " MIG " + std::to_string(part.slices) + "g." +
         std::to_string((part.memory.value() + gib / 2) / gib) + "gb";
}

std::vector<int64_t> Capacities(const Scene& scene) {
  std::vector<int64_t> capacities(kUnits);
  for (const Unit& unit : UnitsOf(scene, Everything(scene))) {
    const SceneCard& card = scene.cards[static_cast<size_t>(unit.card)];
    Bytes memory = unit.part < 0 ? card.memory - card.reserved
                                 : card.parts[static_cast<size_t>(unit.part)].memory;
    capacities[static_cast<size_t>(unit.number)] = memory.value();
  }
  return capacities;
}

Reach InReach(const Scene& scene) {
  Reach all = Everything(scene);
  std::string path = EnvironmentOr("SLUICE_SIMGPU_VISIBLE", "/run/sluice/simgpu/visible");
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return all;
  Reach reach;
  char line[256];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    std::string_view uuid = Trim(line);
    auto unit = uuid.empty() ? std::nullopt : FindUuid(scene, UnitsOf(scene, all), uuid);
    if (!unit) continue;
    auto at = std::find(reach.cards.begin(), reach.cards.end(), unit->card) - reach.cards.begin();
    if (static_cast<size_t>(at) == reach.cards.size()) {
      reach.cards.push_back(unit->card);
      reach.parts.emplace_back();
    }
    std::vector<int>& parts = reach.parts[static_cast<size_t>(at)];
    if (unit->part < 0) parts = all.parts[static_cast<size_t>(unit->card)];
    if (unit->part >= 0 && std::count(parts.begin(), parts.end(), unit->part) == 0) {
      parts.push_back(unit->part);
    }
  }
  std::fclose(file);
  return reach;
}

bool IsInReach(const Reach& reach, const Unit& unit) {
  for (size_t i = 0; i < reach.cards.size(); ++i) {
    if (reach.cards[i] != unit.card) continue;
    return unit.part < 0 ||
           std::count(reach.parts[i].begin(), reach.parts[i].end(), unit.part) != 0;
  }
  return false;
}

std::vector<Unit> CudaVisible(const Scene& scene, const Reach& reach, const char* value) {
  if (value == nullptr) return ByItself(scene, reach);
  std::vector<Unit> visible;
  std::string_view rest = value;
  bool by_uuid = IsUuidEntry(Trim(rest));
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string_view entry = Trim(rest.substr(0, comma));
    if (IsUuidEntry(entry) != by_uuid) return visible;
    auto named = FindEntry(scene, reach, entry);
    auto unit = named ? Usable(scene, reach, *named) : std::nullopt;
    if (!unit) return visible;
    if (std::count(visible.begin(), visible.end(), *unit) != 0) return {};
    if (unit->part >= 0) return visible.empty() ? std::vector{*unit} : visible;
    visible.push_back(*unit);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return visible;
}

uint64_t OwnStartTicks() {
  FILE* file = std::fopen("/proc/self/stat", "re");
  if (file == nullptr) return 0;
  char text[1024];
  size_t got = std::fread(text, 1, sizeof(text) - 1, file);
  std::fclose(file);
  text[got] = '\0';
  const char* at = std::strrchr(text, ')');  // The name before it may hold anything.
  if (at == nullptr) return 0;
  constexpr int kFieldsAfterName = 20;
  for (int i = 0; i < kFieldsAfterName && at != nullptr; ++i) at = std::strchr(at + 1, ' ');
  return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

int64_t MonotonicNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Complain(const std::string& text) {
  std::string line = "sluice simulated GPU: " + text + "\n";
  [[maybe_unused]] ssize_t wrote = ::write(STDERR_FILENO, line.data(), line.size());
}

Result<MapReader> MapReader::Open(const std::string& folder) {
  std::string path = folder + "/" + kMapFile;
  // Record locks are asked for with F_GETLK for writing, which any descriptor may do.
  // Who only looks may come first; an empty file is a map of nobody.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) fd = ::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return Fail(Code::kUnavailable, "cannot open " + path + ": " + std::strerror(errno));
  return MapReader(fd);
}

bool MapReader::ReadAt(size_t offset, void* into, size_t bytes) const {
  return ::pread(fd_, into, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

int MapReader::SlotsUsed() const {
  uint32_t used = 0;
  if (!ReadAt(offsetof(MapFile, slots_used), &used, sizeof(used))) return 0;
  return static_cast<int>(std::min<uint32_t>(used, kSlots));
}

bool MapReader::Alive(int slot, int64_t& pid, std::string& name) const {
  struct {
    uint32_t pid;
    uint32_t generation;
    uint64_t start_ticks;
    char name[16];
  } info{};
  size_t at = offsetof(MapFile, slots) + sizeof(SlotInfo) * static_cast<size_t>(slot);
  if (!ReadAt(at, &info, sizeof(info)) || info.pid == 0) return false;
  name.assign(info.name, ::strnlen(info.name, sizeof(info.name)));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = slot;
  lock.l_len = 1;
  if (::fcntl(fd_, F_GETLK, &lock) != 0) return false;
  pid = lock.l_pid;
  if (lock.l_type != F_UNLCK) return true;
  // One's own lock does not show.
  pid = ::getpid();
  return info.pid == static_cast<uint32_t>(pid) && info.start_ticks == OwnStartTicks();
}

std::vector<MapProcess> MapReader::Processes(int unit) const {
  std::vector<MapProcess> processes;
  auto count = static_cast<size_t>(SlotsUsed());
  std::vector<uint64_t> memory(count);
  std::vector<uint32_t> contexts(count);
  size_t base = offsetof(MapFile, cards) + sizeof(CardUse) * static_cast<size_t>(unit);
  if (!ReadAt(base + offsetof(CardUse, memory), memory.data(), count * sizeof(uint64_t)) ||
      !ReadAt(base + offsetof(CardUse, contexts), contexts.data(), count * sizeof(uint32_t))) {
    return processes;
  }
  for (size_t slot = 0; slot < count; ++slot) {
    if (memory[slot] == 0 && contexts[slot] == 0) continue;
    MapProcess process;
    process.slot = static_cast<int>(slot);
    if (!Alive(process.slot, process.pid, process.name)) continue;
    process.memory = Bytes(static_cast<int64_t>(std::min(memory[slot], uint64_t{1} << 44)));
    process.contexts = contexts[slot];
    processes.push_back(process);
  }
  return processes;
}

Bytes MapReader::Used(int unit, Bytes capacity) const {
  Bytes used;
  for (const MapProcess& process : Processes(unit)) used += process.memory;
  return std::min(used, capacity);
}

int64_t MapReader::Now(bool virtual_clock) const {
  int64_t now_ns = 0;
  if (!virtual_clock || !ReadAt(offsetof(MapFile, clock_ns), &now_ns, sizeof(now_ns))) {
    return MonotonicNs();
  }
  return std::max<int64_t>(now_ns, 0);
}

uint32_t MapReader::BusyUs(int unit, int slot, int64_t bucket) const {
  size_t base = offsetof(MapFile, cards) + sizeof(CardUse) * static_cast<size_t>(unit);
  auto number = static_cast<uint32_t>(bucket);
  size_t at = base + offsetof(CardUse, card_samples) + 8 * (number % kCardSamples);
  if (slot >= 0) {
    at = base + offsetof(CardUse, samples) + 8 * (number % kSamples) +
         sizeof(CardUse::samples[0]) * static_cast<size_t>(slot);
  }
  uint64_t word = 0;
  if (!ReadAt(at, &word, sizeof(word)) || (word >> 32) != number) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(word & 0xffffffff, kSampleNs) / 1000);
}

}  // namespace sluice::simgpu
