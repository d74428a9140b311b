// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/limits.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "runtime/sandbox/files.h"

namespace sluice::runtime {
namespace {

constexpr int kPeriodUs = 100'000;
constexpr rlim_t kProcessesMax = 4096;

enum class Knob { kMemory, kCpuQuota, kCpuPeriod, kPids };

// Which file of which version takes which limit. In the order of writing: v1 wants the period
// first, and swap is off limits by its own file where the kernel has one.
struct KnobRow {
  bool version_2;
  Knob knob;
  const char* file;
};
constexpr std::array<KnobRow, 7> kKnobs = {{
    {true, Knob::kMemory, "memory.max"},
    {true, Knob::kCpuQuota, "cpu.max"},
    {true, Knob::kPids, "pids.max"},
    {false, Knob::kMemory, "memory.limit_in_bytes"},
    {false, Knob::kCpuPeriod, "cpu.cfs_period_us"},
    {false, Knob::kCpuQuota, "cpu.cfs_quota_us"},
    {false, Knob::kPids, "pids.max"},
}};

bool Exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

// The kernel takes a value in one write; it is not a file that could be replaced.
Result<void> WriteKnob(const std::string& path, const std::string& value) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Fail(ErrnoError(errno, "write " + path));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return Fail(ErrnoError(errno, "write " + value + " to " + path));
  }
  return {};
}

// The text for a knob, or empty for "no limit asked".
std::string Value(const KnobRow& row, const MachineLimits& limits) {
  switch (row.knob) {
    case Knob::kMemory:
      return limits.memory_max > Bytes(0) ? std::to_string(limits.memory_max.value()) : "";
    case Knob::kCpuQuota: {
      if (limits.cpu_percent_max == 0) return "";
      const int quota_us = limits.cpu_percent_max * (kPeriodUs / 100);
      return row.version_2 ? fmt::format("{} {}", quota_us, kPeriodUs) : std::to_string(quota_us);
    }
    case Knob::kCpuPeriod:
      return limits.cpu_percent_max == 0 ? "" : std::to_string(kPeriodUs);
    case Knob::kPids:
      return std::to_string(kProcessesMax);
  }
  return "";
}

// v2 shows a controller's files in a group only when its parent passes the controller on.
void PassControllersOn(const std::string& folder) {
  for (const char* controller : {"+memory", "+cpu", "+pids"}) {
    // A controller that is not there, or a parent that holds processes, is noticed below when a
    // limit finds no file to go to.
    (void)WriteKnob(folder + "/cgroup.subtree_control", controller);
  }
}

}  // namespace

Result<ControlGroup> ControlGroup::Create(const std::vector<std::string>& folders,
                                          const std::string& name,
                                          const MachineLimits& limits) {
  ControlGroup made;
  bool memory_set = folders.empty() || limits.memory_max == Bytes(0);
  bool cpu_set = folders.empty() || limits.cpu_percent_max == 0;
  for (const std::string& folder : folders) {
    const bool version_2 = Exists(folder + "/cgroup.controllers");
    if (!version_2 && !Exists(folder + "/cgroup.procs")) {
      return Fail(Code::kFailedPrecondition, folder + " is no control group");
    }
    if (version_2) PassControllersOn(folder);
    made.version_2_ = version_2;
    const std::string group = folder + "/" + name;
    if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) {
      return Fail(ErrnoError(errno, "make the control group " + group));
    }
    made.groups_.push_back(group);
    for (const KnobRow& row : kKnobs) {
      const std::string value = Value(row, limits);
      const std::string path = group + "/" + row.file;
      if (row.version_2 != version_2 || value.empty() || !Exists(path)) continue;
      if (auto written = WriteKnob(path, value); !written) {
        made.Remove();
        return Fail(written.error());
      }
      memory_set = memory_set || row.knob == Knob::kMemory;
      cpu_set = cpu_set || row.knob == Knob::kCpuQuota;
    }
  }
  if (memory_set && cpu_set) return made;
  made.Remove();
  return Fail(Code::kPermissionDenied,
              fmt::format("none of the control groups handed to Sluice limits {}",
                          memory_set ? "the processor" : "memory"));
}

Result<void> ControlGroup::Add(pid_t pid) const {
  for (const std::string& group : groups_) {
    auto moved = WriteKnob(group + "/cgroup.procs", std::to_string(pid));
    if (!moved) return moved;
  }
  return {};
}

Bytes ControlGroup::MemoryUsed() const {
  for (const std::string& group : groups_) {
    auto text = ReadFile(group + (version_2_ ? "/memory.current" : "/memory.usage_in_bytes"));
    if (!text) continue;
    int64_t bytes = 0;
    std::from_chars(text->data(), text->data() + text->size(), bytes);
    return Bytes(bytes);
  }
  return Bytes(0);
}

void ControlGroup::Remove() const {
  for (const std::string& group : groups_) ::rmdir(group.c_str());
}

std::string_view ControlGroup::Kind() const {
  if (groups_.empty()) return "";
  return version_2_ ? "cgroup v2" : "cgroup v1";
}

Result<void> ApplyRlimits(const MachineLimits& limits, bool own_user) {
  // Never above what we have: raising needs a privilege.
  auto lower = [](auto resource, rlim_t most) -> Result<void> {
    struct rlimit now {};
    if (::getrlimit(resource, &now) != 0) return Fail(ErrnoError(errno, "read a limit"));
    now.rlim_max = std::min(now.rlim_max, most);
    now.rlim_cur = std::min(now.rlim_cur, now.rlim_max);
    if (::setrlimit(resource, &now) != 0) return Fail(ErrnoError(errno, "set a limit"));
    return {};
  };
  if (auto set = lower(RLIMIT_CORE, 0); !set) return set;
  if (own_user) {
    if (auto set = lower(RLIMIT_NPROC, kProcessesMax); !set) return set;
  }
  if (limits.memory_max == Bytes(0)) return {};
  // Data, not address space: a CUDA program reserves far more addresses than it uses.
  return lower(RLIMIT_DATA, static_cast<rlim_t>(limits.memory_max.value()));
}

}  // namespace sluice::runtime
