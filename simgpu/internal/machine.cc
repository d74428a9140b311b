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

int FindUuid(const Scene& scene, const std::vector<int>& among, std::string_view prefix) {
  int found = -1;
  for (int card : among) {
    if (scene.cards[static_cast<size_t>(card)].uuid.rfind(prefix, 0) != 0) continue;
    if (found >= 0) return -1;  // Ambiguous.
    found = card;
  }
  return found;
}

// The card that one entry of CUDA_VISIBLE_DEVICES names; -1: none.
int FindEntry(const Scene& scene, const std::vector<int>& reach, std::string_view entry) {
  if (entry.rfind("GPU-", 0) == 0) return FindUuid(scene, reach, entry);
  if (entry.empty() || entry.size() > 4) return -1;
  size_t position = 0;
  for (char c : entry) {
    if (c < '0' || c > '9') return -1;
    position = position * 10 + static_cast<size_t>(c - '0');
  }
  return position < reach.size() ? reach[position] : -1;
}

}  // namespace

std::string StateFolder() {
  return EnvironmentOr("SLUICE_SIMGPU_STATE", "/run/sluice/simgpu/state");
}

std::vector<int> CardsInReach(const Scene& scene) {
  std::vector<int> all;
  for (size_t i = 0; i < scene.cards.size(); ++i) all.push_back(static_cast<int>(i));
  std::string path = EnvironmentOr("SLUICE_SIMGPU_VISIBLE", "/run/sluice/simgpu/visible");
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return all;
  std::vector<int> reach;
  char line[256];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    std::string_view uuid = Trim(line);
    int card = uuid.empty() ? -1 : FindUuid(scene, all, uuid);
    if (card >= 0 && std::count(reach.begin(), reach.end(), card) == 0) reach.push_back(card);
  }
  std::fclose(file);
  return reach;
}

std::vector<int> CudaVisible(const Scene& scene, const std::vector<int>& reach, const char* value) {
  if (value == nullptr) return reach;
  std::vector<int> visible;
  std::string_view rest = value;
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    int card = FindEntry(scene, reach, Trim(rest.substr(0, comma)));
    if (card < 0) return visible;
    if (std::count(visible.begin(), visible.end(), card) != 0) return {};
    visible.push_back(card);
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

std::vector<MapProcess> MapReader::Processes(int card) const {
  std::vector<MapProcess> processes;
  auto count = static_cast<size_t>(SlotsUsed());
  std::vector<uint64_t> memory(count);
  std::vector<uint32_t> contexts(count);
  size_t base = offsetof(MapFile, cards) + sizeof(CardUse) * static_cast<size_t>(card);
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

Bytes MapReader::Used(int card, Bytes capacity) const {
  Bytes used;
  for (const MapProcess& process : Processes(card)) used += process.memory;
  return std::min(used, capacity);
}

int64_t MapReader::Now(bool virtual_clock) const {
  int64_t now_ns = 0;
  if (!virtual_clock || !ReadAt(offsetof(MapFile, clock_ns), &now_ns, sizeof(now_ns))) {
    return MonotonicNs();
  }
  return std::max<int64_t>(now_ns, 0);
}

uint32_t MapReader::BusyUs(int card, int slot, int64_t bucket) const {
  size_t base = offsetof(MapFile, cards) + sizeof(CardUse) * static_cast<size_t>(card);
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
