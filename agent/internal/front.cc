// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/front.h"

#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

namespace sluice::agent {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFronts[] = {"libcuda.so.1", "libnvidia-ml.so.1"};
constexpr const char* kBehind = "/run/sluice/driver/";

struct Place {
  std::string file;    // On the host, what the name leads to.
  std::string inside;  // Where the share sees that file.
};

// Where a share sees a library of one of its folders.
std::optional<Place> Find(const PreparedShare& prepared,
                          const std::string& folder,
                          const std::string& name) {
  for (const Mount& mount : prepared.mounts) {
    if (mount.target != folder) continue;
    std::error_code failed;
    const fs::path top = fs::canonical(mount.source, failed);
    const fs::path file = failed ? fs::path() : fs::canonical(top / name, failed);
    if (failed) continue;
    const fs::path within = file.lexically_relative(top);
    const bool inside = !within.empty() && *within.begin() != "..";
    // Outside of the folder it is seen only if the share has that path as the host has it.
    return Place{file.string(), inside ? (fs::path(folder) / within).string() : file.string()};
  }
  return std::nullopt;
}

}  // namespace

Result<void> PutFronts(const std::string& fronts, PreparedShare& prepared) {
  std::vector<Mount> more;
  for (const char* name : kFronts) {
    const std::string front = fronts + "/" + name;
    std::error_code failed;
    if (!fs::exists(front, failed)) return Fail(Code::kUnavailable, front + " is missing");
    bool behind = false;
    for (const std::string& folder : prepared.library_dirs) {
      const auto place = Find(prepared, folder, name);
      if (!place) continue;
      if (!behind) more.push_back({place->file, kBehind + std::string(name), false});
      behind = true;
      more.push_back({front, place->inside, false});
    }
  }
  prepared.mounts.insert(prepared.mounts.end(), more.begin(), more.end());
  return {};
}

}  // namespace sluice::agent
