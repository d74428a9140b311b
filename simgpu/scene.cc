// SPDX-License-Identifier: Apache-2.0
#include "simgpu/scene.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

// This file is also part of the simulated driver libraries: it links nothing but libstdc++.
namespace sluice::simgpu {
namespace {

using nlohmann::json;

constexpr size_t kSceneBytesMax = 1 << 20;
constexpr size_t kTextBytesMax = 80;
constexpr int kSceneVersion = 1;

struct IntegerKey {
  const char* name;
  int64_t least;
  int64_t most;
};

constexpr IntegerKey kVersionKey{"version", kSceneVersion, kSceneVersion};
constexpr IntegerKey kCudaVersionKey{"cuda_version", 11000, 13990};
constexpr IntegerKey kContextKey{"context_mib", 0, 16384};
constexpr IntegerKey kKernelKey{"kernel_us", 0, 60'000'000};
constexpr IntegerKey kCopyKey{"copy_gib_per_s", 0, 1'000'000};
constexpr IntegerKey kDelayKey{"call_delay_us", 0, 10'000'000};
constexpr IntegerKey kPoolChunkKey{"pool_chunk_mib", 2, 1024};
constexpr IntegerKey kMemoryKey{"memory_mib", 64, 1 << 21};
constexpr IntegerKey kReservedKey{"reserved_mib", 0, 1 << 21};
constexpr IntegerKey kSlicesKey{"slices", 1, kSlicesMax};

// Branches of the driver and the newest CUDA that each answers to. One between two rows is of the
// older's.
struct BranchRow {
  int branch;
  int cuda_version;
};
constexpr BranchRow kBranches[] = {{470, 11040},
                                   {495, 11050},
                                   {510, 11060},
                                   {515, 11070},
                                   {520, 11080},
                                   {525, 12000},
                                   {530, 12010},
                                   {535, 12020},
                                   {545, 12030},
                                   {550, 12040},
                                   {555, 12050},
                                   {560, 12060},
                                   {565, 12070},
                                   {570, 12080},
                                   {575, 12090},
                                   {580, 13000},
                                   {590, 13010},
                                   {595, 13020},
                                   {610, 13030}};

tl::unexpected<Error> Bad(const std::string& field, const std::string& why) {
  return Fail(Code::kInvalidArgument, "scene: " + field + " " + why, field);
}

Result<int64_t> ReadInteger(const json& object,
                            const std::string& at,
                            const IntegerKey& key,
                            int64_t otherwise) {
  auto found = object.find(key.name);
  if (found == object.end()) return otherwise;
  std::string field = at + "/" + key.name;
  if (!found->is_number_integer()) return Bad(field, "must be a whole number");
  bool huge = found->is_number_unsigned() && found->get<uint64_t>() > uint64_t{INT64_MAX};
  int64_t value = huge ? INT64_MAX : found->get<int64_t>();
  if (value < key.least || value > key.most) {
    return Bad(field,
               "must be from " + std::to_string(key.least) + " to " + std::to_string(key.most));
  }
  return value;
}

bool Printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

Result<std::string> ReadText(const json& object,
                             const std::string& at,
                             const char* key,
                             std::string otherwise) {
  auto found = object.find(key);
  if (found == object.end()) return otherwise;
  std::string field = at + "/" + key;
  if (!found->is_string()) return Bad(field, "must be a text");
  auto text = found->get<std::string>();
  if (text.empty() || text.size() > kTextBytesMax || !Printable(text)) {
    return Bad(field, "must be 1 to 80 printable ASCII characters");
  }
  return text;
}

// `kind`: "GPU-" or "MIG-".
bool IsUuid(std::string_view text, std::string_view kind) {
  constexpr std::string_view kForm = "----xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() != kForm.size() || text.substr(0, kind.size()) != kind) return false;
  for (size_t i = kind.size(); i < text.size(); ++i) {
    bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (kForm[i] == 'x' ? !hex : text[i] != kForm[i]) return false;
  }
  return true;
}

Result<void> RefuseUnknownKeys(const json& object,
                               const std::string& at,
                               std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      std::string shown = Printable(key) ? key.substr(0, kTextBytesMax) : "?";
      return Bad(at + "/" + shown, "is not a key of a scene");
    }
  }
  return {};
}

Result<std::vector<std::string>> ReadFaults(const json& card, const std::string& at) {
  std::vector<std::string> faults;
  auto found = card.find("faults");
  if (found == card.end()) return faults;
  if (!found->is_array() || found->size() > SceneFaults().size()) {
    return Bad(at + "/faults", "must be a short list of texts");
  }
  for (const auto& entry : *found) {
    bool known =
        entry.is_string() && std::count(SceneFaults().begin(),
                                        SceneFaults().end(),
                                        std::string_view(entry.get_ref<const std::string&>())) == 1;
    if (!known) return Bad(at + "/faults", "holds something that is not a known fault");
    faults.push_back(entry.get<std::string>());
  }
  return faults;
}

bool SaysSimulated(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text.find("simulated") != std::string::npos;
}

Result<ScenePart> ReadPart(const json& object, const std::string& at) {
  if (!object.is_object()) return Bad(at, "must be an object");
  auto known = RefuseUnknownKeys(object, at, {"uuid", "slices", "memory_mib"});
  if (!known) return Fail(known.error());
  auto uuid = ReadText(object, at, "uuid", "");
  if (!uuid) return Fail(uuid.error());
  if (!IsUuid(*uuid, "MIG-"))
    return Bad(at + "/uuid", "must look like MIG-, then a lower-case UUID");
  auto slices = ReadInteger(object, at, kSlicesKey, 1);
  if (!slices) return Fail(slices.error());
  auto memory_mib = ReadInteger(object, at, kMemoryKey, -1);
  if (!memory_mib) return Fail(memory_mib.error());
  if (*memory_mib < 0) return Bad(at + "/memory_mib", "is missing");
  return ScenePart{*uuid, static_cast<int>(*slices), MiB(*memory_mib)};
}

Result<void> ReadParts(const json& object, const std::string& card_at, SceneCard& card) {
  auto found = object.find("parts");
  if (found == object.end()) return {};
  std::string at = card_at + "/parts";
  if (!found->is_array() || found->size() > kSlicesMax) return Bad(at, "must be a list of 0 to 7");
  int slices = 0;
  Bytes memory;
  for (size_t i = 0; i < found->size(); ++i) {
    auto part = ReadPart((*found)[i], at + "/" + std::to_string(i));
    if (!part) return Fail(part.error());
    slices += part->slices;
    memory += part->memory;
    card.parts.push_back(*part);
  }
  if (slices > kSlicesMax) return Bad(at, "have more than 7 slices");
  if (memory > card.memory - card.reserved) return Bad(at, "have more memory than their card");
  return {};
}

Result<SceneCard> ReadCard(const json& object, const std::string& at) {
  if (!object.is_object()) return Bad(at, "must be an object");
  auto known = RefuseUnknownKeys(
      object, at, {"uuid", "name", "memory_mib", "reserved_mib", "parts", "faults"});
  if (!known) return Fail(known.error());
  SceneCard card;
  auto uuid = ReadText(object, at, "uuid", "");
  if (!uuid) return Fail(uuid.error());
  if (!IsUuid(*uuid, "GPU-"))
    return Bad(at + "/uuid", "must look like GPU-, then a lower-case UUID");
  card.uuid = *uuid;
  auto memory_mib = ReadInteger(object, at, kMemoryKey, -1);
  if (!memory_mib) return Fail(memory_mib.error());
  if (*memory_mib < 0) return Bad(at + "/memory_mib", "is missing");
  card.memory = MiB(*memory_mib);
  auto reserved_mib = ReadInteger(object, at, kReservedKey, 0);
  if (!reserved_mib) return Fail(reserved_mib.error());
  card.reserved = MiB(*reserved_mib);
  if (card.reserved > card.memory) return Bad(at + "/reserved_mib", "is more than memory_mib");
  auto name = ReadText(object, at, "name", "Sluice simulated GPU");
  if (!name) return Fail(name.error());
  card.name = SaysSimulated(*name) ? *name : *name + " (simulated)";
  auto parts = ReadParts(object, at, card);
  if (!parts) return Fail(parts.error());
  auto faults = ReadFaults(object, at);
  if (!faults) return Fail(faults.error());
  card.faults = *faults;
  return card;
}

Result<void> ReadKernels(const json& root, Scene& scene) {
  auto found = root.find("kernels");
  if (found == root.end()) return {};
  if (!found->is_object() || found->size() > kKernelsMax) {
    return Bad("/kernels", "must be an object of at most 256 names");
  }
  for (const auto& [name, value] : found->items()) {
    bool sound = !name.empty() && name.size() <= kTextBytesMax && Printable(name);
    if (!sound) return Bad("/kernels", "holds a name that is not 1 to 80 printable characters");
    IntegerKey key{name.c_str(), 0, kKernelKey.most};
    auto us = ReadInteger(*found, "/kernels", key, 0);
    if (!us) return Fail(us.error());
    scene.kernel_us_of[name] = *us;
  }
  return {};
}

Result<void> ReadCards(const json& root, Scene& scene) {
  auto found = root.find("cards");
  if (found == root.end() || !found->is_array()) return Bad("/cards", "must be a list");
  if (found->empty() || found->size() > kCardsMax) return Bad("/cards", "must hold 1 to 16 cards");
  std::set<std::string> seen;
  for (size_t i = 0; i < found->size(); ++i) {
    std::string at = "/cards/" + std::to_string(i);
    auto card = ReadCard((*found)[i], at);
    if (!card) return Fail(card.error());
    bool once = seen.insert(card->uuid).second;
    for (const ScenePart& part : card->parts) once = seen.insert(part.uuid).second && once;
    if (!once) return Bad(at + "/uuid", "is there twice");
    scene.cards.push_back(*card);
  }
  if (seen.size() > scene.cards.size() + kPartsMax) return Bad("/cards", "have more than 16 parts");
  return {};
}

Result<Scene> ReadRoot(const json& root) {
  if (!root.is_object()) return Bad("/", "must be an object");
  auto known = RefuseUnknownKeys(root,
                                 "",
                                 {"version",
                                  "driver_version",
                                  "cuda_version",
                                  "context_mib",
                                  "kernel_us",
                                  "kernels",
                                  "clock",
                                  "copy_gib_per_s",
                                  "call_delay_us",
                                  "pool_chunk_mib",
                                  "cards"});
  if (!known) return Fail(known.error());
  Scene scene;
  auto version = ReadInteger(root, "", kVersionKey, -1);
  if (!version) return Fail(version.error());
  if (*version != kSceneVersion) return Bad("/version", "is missing");
  auto driver = ReadText(root, "", "driver_version", scene.driver_version);
  if (!driver) return Fail(driver.error());
  scene.driver_version = *driver;
  if (int of_branch = CudaVersionOf(*driver); of_branch != 0) scene.cuda_version = of_branch;

  struct Row {
    const IntegerKey* key;
    int64_t otherwise;
    int64_t value;
  } rows[] = {{&kCudaVersionKey, scene.cuda_version, 0},
              {&kContextKey, scene.context.value() >> 20, 0},
              {&kKernelKey, scene.kernel_us, 0},
              {&kCopyKey, scene.copy_gib_per_s, 0},
              {&kDelayKey, scene.call_delay_us, 0},
              {&kPoolChunkKey, scene.pool_chunk.value() >> 20, 0}};
  for (Row& row : rows) {
    auto value = ReadInteger(root, "", *row.key, row.otherwise);
    if (!value) return Fail(value.error());
    row.value = *value;
  }
  scene.cuda_version = static_cast<int>(rows[0].value);
  scene.context = MiB(rows[1].value);
  scene.kernel_us = rows[2].value;
  scene.copy_gib_per_s = rows[3].value;
  scene.call_delay_us = rows[4].value;
  scene.pool_chunk = MiB(rows[5].value);
  auto clock = ReadText(root, "", "clock", "real");
  if (!clock) return Fail(clock.error());
  if (*clock != "real" && *clock != "virtual") return Bad("/clock", "must be real or virtual");
  scene.virtual_clock = *clock == "virtual";
  auto kernels = ReadKernels(root, scene);
  if (!kernels) return Fail(kernels.error());
  auto cards = ReadCards(root, scene);
  if (!cards) return Fail(cards.error());
  return scene;
}

// Deep nesting is refused before the parser recurses into it.
bool NestsDeeperThan(std::string_view text, int depth_max) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > depth_max) return true;
  }
  return false;
}

}  // namespace

bool SceneCard::Has(std::string_view fault) const {
  return std::find(faults.begin(), faults.end(), fault) != faults.end();
}

const std::vector<std::string_view>& SceneFaults() {
  static const std::vector<std::string_view> faults{"lost",
                                                    "no_process_list",
                                                    "zero_utilization",
                                                    "foreign_pids_in_lists",
                                                    "foreign_pids_in_utilization",
                                                    "mig_mode"};
  return faults;
}

int CudaVersionOf(std::string_view driver_version) {
  int branch = 0;
  for (size_t i = 0; i < 3; ++i) {
    bool digit = i < driver_version.size() && driver_version[i] >= '0' && driver_version[i] <= '9';
    if (!digit) return 0;
    branch = branch * 10 + (driver_version[i] - '0');
  }
  int version = 0;
  for (const BranchRow& row : kBranches) {
    if (row.branch <= branch) version = row.cuda_version;
  }
  return version;
}

Result<Scene> ParseScene(std::string_view text) {
  if (text.size() > kSceneBytesMax) return Bad("/", "is larger than 1 MiB");
  if (NestsDeeperThan(text, 8)) return Bad("/", "is nested too deep");
  json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return Bad("/", "is not JSON");
  return ReadRoot(root);
}

std::string ToJson(const Scene& scene) {
  json cards = json::array();
  for (const SceneCard& card : scene.cards) {
    json parts = json::array();
    for (const ScenePart& part : card.parts) {
      parts.push_back({{"uuid", part.uuid},
                       {"slices", part.slices},
                       {"memory_mib", part.memory.value() >> 20}});
    }
    cards.push_back({{"uuid", card.uuid},
                     {"name", card.name},
                     {"memory_mib", card.memory.value() >> 20},
                     {"reserved_mib", card.reserved.value() >> 20},
                     {"parts", parts},
                     {"faults", card.faults}});
  }
  json root{{"version", kSceneVersion},
            {"driver_version", scene.driver_version},
            {"cuda_version", scene.cuda_version},
            {"context_mib", scene.context.value() >> 20},
            {"kernel_us", scene.kernel_us},
            {"kernels", scene.kernel_us_of},
            {"clock", scene.virtual_clock ? "virtual" : "real"},
            {"copy_gib_per_s", scene.copy_gib_per_s},
            {"call_delay_us", scene.call_delay_us},
            {"pool_chunk_mib", scene.pool_chunk.value() >> 20},
            {"cards", cards}};
  return root.dump(2, ' ', true, json::error_handler_t::replace) + "\n";
}

Result<Scene> ReadScene(const std::string& folder) {
  std::string path = folder + "/" + kSceneFile;
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    return Fail(Code::kNotFound, "scene: cannot open " + path + ": " + std::strerror(errno));
  }
  std::string text;
  char buffer[4096];
  size_t got = 0;
  while (text.size() <= kSceneBytesMax && (got = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
    text.append(buffer, got);
  }
  std::fclose(file);
  auto scene = ParseScene(text);
  if (!scene) {
    Error error = scene.error();
    error.message = path + ": " + error.message;
    return Fail(error);
  }
  return scene;
}

}  // namespace sluice::simgpu
