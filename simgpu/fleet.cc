// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/map.h"
#include "simgpu/scene.h"

// The side of the scene that writes: used by `sluice up --simulate` and tests.
namespace sluice::simgpu {
namespace {

constexpr Bytes kMemoryMax = GiB(2048);

uint64_t Mix(uint64_t state, uint64_t value) {
  uint64_t z = (state ^ value) + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Version-8 UUID (free form) from position and size, so that the same fleet has the same cards.
std::string StableUuid(size_t index, Bytes memory) {
  uint64_t high = Mix(Mix(0x534c55494345, index), static_cast<uint64_t>(memory.value()));
  uint64_t low = Mix(high, 1);
  high = (high & ~uint64_t{0xf000}) | 0x8000;
  low = (low & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
  char text[48];
  std::snprintf(text,
                sizeof(text),
                "GPU-%08x-%04x-%04x-%04x-%012llx",
                static_cast<unsigned>(high >> 32),
                static_cast<unsigned>((high >> 16) & 0xffff),
                static_cast<unsigned>(high & 0xffff),
                static_cast<unsigned>(low >> 48),
                static_cast<unsigned long long>(low & 0xffffffffffff));
  return text;
}

tl::unexpected<Error> BadFleet(std::string_view text, const std::string& why) {
  return Fail(Code::kInvalidArgument,
              "cannot read the fleet '" + std::string(text.substr(0, 80)) + "': " + why +
                  "; write it like 2x24GiB or 1x80GiB,4x24GiB",
              "/simulate");
}

Result<void> AddGroup(std::string_view text, std::string_view group, Scene& scene) {
  size_t times = group.find('x');
  size_t count = 1;
  if (times != std::string_view::npos) {
    count = 0;
    for (char c : group.substr(0, times)) {
      if (c < '0' || c > '9' || count > kCardsMax) return BadFleet(text, "a count is not a number");
      count = count * 10 + static_cast<size_t>(c - '0');
    }
    group.remove_prefix(times + 1);
  }
  if (count == 0 || scene.cards.size() + count > kCardsMax) {
    return BadFleet(text, "it must have 1 to 16 cards");
  }
  auto memory = ParseBytes(group);
  if (!memory) return BadFleet(text, memory.error().message);
  if (*memory < MiB(64) || *memory > kMemoryMax || memory->value() % kMiB.value() != 0) {
    return BadFleet(text, "a card has from 64 MiB to 2048 GiB, in whole MiB");
  }
  for (size_t i = 0; i < count; ++i) {
    SceneCard card;
    card.uuid = StableUuid(scene.cards.size(), *memory);
    card.name = "Sluice simulated GPU " + ToText(*memory);
    card.memory = *memory;
    scene.cards.push_back(card);
  }
  return {};
}

tl::unexpected<Error> CannotWrite(const std::string& path) {
  return Fail(Code::kUnavailable, "cannot write " + path + ": " + std::strerror(errno));
}

// Writes a file under a temporary name, then renames it over the old one. `bytes` may be empty: the
// file is then `length` zeroes.
Result<void> Replace(const std::string& path,
                     std::string_view bytes,
                     int64_t length,
                     unsigned mode) {
  std::string fresh = path + ".new";
  int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return CannotWrite(fresh);
  bool ok = ::ftruncate(fd, length) == 0 && ::fchmod(fd, mode) == 0;
  size_t done = 0;
  while (ok && done < bytes.size()) {
    ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    ok = wrote > 0;
    if (ok) done += static_cast<size_t>(wrote);
  }
  ok = ::close(fd) == 0 && ok;
  if (!ok || ::rename(fresh.c_str(), path.c_str()) != 0) return CannotWrite(path);
  return {};
}

// Of cards and parts: what the map's numbers stand for.
std::vector<std::string> Uuids(const Scene& scene) {
  std::vector<std::string> uuids;
  for (const SceneCard& card : scene.cards) {
    uuids.push_back(card.uuid);
    for (const ScenePart& part : card.parts) uuids.push_back(part.uuid);
  }
  return uuids;
}

bool MapIsThere(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) &&
         found.st_size == static_cast<off_t>(sizeof(MapFile));
}

}  // namespace

Result<Scene> ParseFleet(std::string_view text) {
  Scene scene;
  std::string_view rest = text;
  while (true) {
    size_t comma = rest.find(',');
    auto added = AddGroup(text, rest.substr(0, comma), scene);
    if (!added) return Fail(added.error());
    if (comma == std::string_view::npos) return scene;
    rest.remove_prefix(comma + 1);
  }
}

Result<void> WriteScene(const std::string& folder, const Scene& scene) {
  auto checked = ParseScene(ToJson(scene));
  if (!checked) return Fail(checked.error());
  std::error_code failed;
  std::filesystem::create_directories(folder + "/ipc", failed);
  if (failed) {
    return Fail(Code::kUnavailable, "cannot make " + folder + ": " + failed.message());
  }
  // Memory exported between processes of different users is a file there.
  if (::chmod((folder + "/ipc").c_str(), 01777) != 0) return CannotWrite(folder + "/ipc");
  std::string map = folder + "/" + kMapFile;
  auto old = ReadScene(folder);
  bool same_cards = old && Uuids(*old) == Uuids(scene);
  if (!same_cards || !MapIsThere(map)) {
    auto made = Replace(map, {}, sizeof(MapFile), 0666);
    if (!made) return made;
  }
  if (old && *old == *checked) return {};
  std::string json = ToJson(scene);
  return Replace(folder + "/" + kSceneFile, json, static_cast<int64_t>(json.size()), 0644);
}

}  // namespace sluice::simgpu
