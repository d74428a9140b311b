// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/launch.h"

#include <array>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <string_view>

#include "runtime/sandbox/files.h"

namespace sluice::runtime {
namespace {

using nlohmann::json;

constexpr std::array kPhases = {Phase::kAbsent,
                                Phase::kPrepared,
                                Phase::kStarting,
                                Phase::kDisplayUp,
                                Phase::kRunning,
                                Phase::kExited};

json ToJson(const agent::PreparedShare& share) {
  json mounts = json::array();
  for (const agent::Mount& mount : share.mounts) {
    mounts.push_back(
        {{"source", mount.source}, {"target", mount.target}, {"writable", mount.writable}});
  }
  return {{"mounts", std::move(mounts)},
          {"device_nodes", share.device_nodes},
          {"library_dirs", share.library_dirs},
          {"preload", share.preload},
          {"environment", share.environment}};
}

agent::PreparedShare ShareFromJson(const json& from) {
  agent::PreparedShare share;
  for (const json& mount : from.at("mounts")) {
    share.mounts.push_back({mount.at("source"), mount.at("target"), mount.at("writable")});
  }
  from.at("device_nodes").get_to(share.device_nodes);
  from.at("library_dirs").get_to(share.library_dirs);
  from.at("preload").get_to(share.preload);
  // A desktop that an earlier version started has none.
  share.environment = from.value("environment", share.environment);
  return share;
}

json ToJson(const LaunchSpec& spec) {
  json made = {{"desktop", spec.desktop.text()},
               {"name", spec.name},
               {"owner", spec.owner.text()},
               {"user_name", spec.user_name},
               {"home_id", spec.home_id},
               {"width", spec.width},
               {"height", spec.height},
               {"keyboard_layout", spec.keyboard_layout},
               {"autostart", spec.autostart},
               {"cpu_percent_max", spec.cpu_percent_max},
               {"memory_max", spec.memory_max.value()},
               {"network", spec.network}};
  if (spec.share) made["share"] = ToJson(*spec.share);
  return made;
}

LaunchSpec SpecFromJson(const json& from) {
  LaunchSpec spec;
  spec.desktop = DesktopId(from.at("desktop"));
  spec.name = from.at("name");
  spec.owner = UserId(from.at("owner"));
  spec.user_name = from.at("user_name");
  spec.home_id = from.at("home_id");
  spec.width = from.at("width");
  spec.height = from.at("height");
  spec.keyboard_layout = from.at("keyboard_layout");
  from.at("autostart").get_to(spec.autostart);
  spec.cpu_percent_max = from.at("cpu_percent_max");
  spec.memory_max = Bytes(from.at("memory_max").get<int64_t>());
  spec.network = from.at("network");
  if (from.contains("share")) spec.share = ShareFromJson(from.at("share"));
  return spec;
}

Phase PhaseFromText(std::string_view text) {
  for (const Phase phase : kPhases) {
    if (ToString(phase) == text) return phase;
  }
  return Phase::kAbsent;
}

// Calls `read(json)`; what nlohmann throws becomes kDataLoss.
template <typename F>
auto Parse(const std::string& path, F read) -> Result<decltype(read(json()))> {
  auto text = ReadFile(path);
  if (!text) return Fail(text.error());
  try {
    return read(json::parse(*text));
  } catch (const json::exception& broken) {
    return Fail(Code::kDataLoss, path + " is damaged: " + broken.what());
  }
}

Result<void> Save(const std::string& path, const json& value) {
  return WriteFileAtomic(
      path, value.dump(2, ' ', false, json::error_handler_t::replace) + "\n", 0600);
}

}  // namespace

Result<void> SaveLaunch(const DesktopFolder& folder, const Launch& launch) {
  return Save(folder.launch(),
              {{"spec", ToJson(launch.spec)},
               {"home_folder", launch.home_folder},
               {"uid", launch.uid},
               {"change_user", launch.change_user},
               {"cgroup_folders", launch.cgroup_folders}});
}

Result<Launch> LoadLaunch(const DesktopFolder& folder) {
  return Parse(folder.launch(), [](const json& from) {
    Launch launch;
    launch.spec = SpecFromJson(from.at("spec"));
    launch.home_folder = from.at("home_folder");
    launch.uid = from.at("uid");
    launch.change_user = from.at("change_user");
    from.at("cgroup_folders").get_to(launch.cgroup_folders);
    return launch;
  });
}

Result<void> SaveStatus(const DesktopFolder& folder, const Status& status) {
  return Save(folder.status(),
              {{"phase", ToString(status.phase)},
               {"reason", status.reason},
               {"limits_in_force", status.limits_in_force},
               {"network", status.network},
               {"supervisor_pid", status.supervisor_pid},
               {"started_at_ms", status.started_at.time_since_epoch().count()}});
}

Result<Status> LoadStatus(const DesktopFolder& folder) {
  return Parse(folder.status(), [](const json& from) {
    Status status;
    status.phase = PhaseFromText(from.at("phase").get<std::string>());
    status.reason = from.at("reason");
    status.limits_in_force = from.at("limits_in_force");
    status.network = from.at("network");
    status.supervisor_pid = from.at("supervisor_pid");
    status.started_at = TimePoint(Duration(from.at("started_at_ms").get<int64_t>()));
    return status;
  });
}

bool IsSupervised(const DesktopFolder& folder) {
  const Fd fd(::open(folder.lock().c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return false;
  struct flock probe {};
  probe.l_type = F_WRLCK;
  probe.l_whence = SEEK_SET;
  return ::fcntl(fd.get(), F_OFD_GETLK, &probe) == 0 && probe.l_type != F_UNLCK;
}

}  // namespace sluice::runtime
