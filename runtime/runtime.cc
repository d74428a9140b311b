// SPDX-License-Identifier: Apache-2.0
#include "runtime/runtime.h"

#include <algorithm>
#include <array>
#include <limits.h>
#include <utility>

namespace sluice::runtime {
namespace {

bool IsWord(std::string_view text, std::string_view more) {
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  });
}

bool IsUserName(std::string_view name) {
  return name.size() <= 32 && IsWord(name, "_-") && name != "root" && name != "nobody" &&
         ((name[0] >= 'a' && name[0] <= 'z') || name[0] == '_') &&
         std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool IsCleanPath(std::string_view path) {
  return path.starts_with('/') && path.size() < PATH_MAX &&
         path.find('\0') == std::string_view::npos && path.find("/../") == std::string_view::npos &&
         !path.ends_with("/..");
}

Result<void> CheckShare(const agent::PreparedShare& share) {
  for (const agent::Mount& mount : share.mounts) {
    if (!IsCleanPath(mount.source) || !IsCleanPath(mount.target)) {
      return Fail(Code::kInvalidArgument, "a mount needs two absolute paths", "/share/mounts");
    }
  }
  for (const std::string& node : share.device_nodes) {
    if (!IsCleanPath(node) || !node.starts_with("/dev/")) {
      return Fail(Code::kInvalidArgument, node + " is no device node", "/share/device_nodes");
    }
  }
  return {};
}

}  // namespace

std::string_view ToString(Phase phase) {
  static constexpr std::array<std::pair<Phase, std::string_view>, 6> kNames = {{
      {Phase::kAbsent, "absent"},
      {Phase::kPrepared, "prepared"},
      {Phase::kStarting, "starting"},
      {Phase::kDisplayUp, "display_up"},
      {Phase::kRunning, "running"},
      {Phase::kExited, "exited"},
  }};
  for (const auto& [value, name] : kNames) {
    if (value == phase) return name;
  }
  return "absent";
}

Result<void> CheckSpec(const LaunchSpec& spec) {
  if (!IsWord(spec.desktop.text(), "_-") || spec.desktop.text().size() > 64) {
    return Fail(Code::kInvalidArgument, "a desktop's id has letters, digits, _ and -", "/desktop");
  }
  if (!IsUserName(spec.user_name)) {
    return Fail(Code::kInvalidArgument,
                "'" + spec.user_name + "' is no login name: a-z first, then a-z 0-9 _ -",
                "/user_name");
  }
  if (!IsWord(spec.home_id, "_-") || spec.home_id.size() > 64) {
    return Fail(Code::kInvalidArgument, "a home's id has letters, digits, _ and -", "/home_id");
  }
  if (spec.keyboard_layout.size() > 64 || !IsWord(spec.keyboard_layout, ",()_-")) {
    return Fail(Code::kInvalidArgument,
                "'" + spec.keyboard_layout + "' is no keyboard layout",
                "/keyboard_layout");
  }
  if (spec.width < 320 || spec.width > 7680 || spec.height < 240 || spec.height > 4320) {
    return Fail(Code::kInvalidArgument, "the size is between 320x240 and 7680x4320", "/width");
  }
  if (spec.cpu_percent_max < 0 || spec.memory_max < Bytes(0)) {
    return Fail(Code::kInvalidArgument, "limits are not negative", "/memory_max");
  }
  for (const std::string& command : spec.autostart) {
    if (command.find_first_of(std::string_view("\n\0", 2)) != std::string::npos) {
      return Fail(Code::kInvalidArgument, "a command is one line", "/autostart");
    }
  }
  if (spec.name.find_first_of(std::string_view("\n\0", 2)) != std::string::npos) {
    return Fail(Code::kInvalidArgument, "a name is one line", "/name");
  }
  return spec.share ? CheckShare(*spec.share) : Result<void>();
}

}  // namespace sluice::runtime
