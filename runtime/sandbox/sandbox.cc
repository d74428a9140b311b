// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <mutex>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "base/guarded.h"
#include "base/log.h"
#include "runtime/sandbox/files.h"
#include "runtime/sandbox/inside.h"
#include "runtime/sandbox/launch.h"
#include "runtime/sandbox/process.h"
#include "runtime/sandbox/sockets.h"
#include "runtime/sandbox/tenants_file.h"

namespace sluice::runtime {
namespace {

constexpr Duration kStartAtMost(20'000);
constexpr Duration kEndAtMost(10'000);  // After the kill.
constexpr int kIdCharactersMax = 32;

constexpr std::array kPrograms = {"bwrap", "Xtigervnc", "openbox", "tint2", "xterm"};

// Thread-safe: one desktop's calls run one after another, different desktops' beside each other.
class Sandbox final : public Runtime {
 public:
  explicit Sandbox(SandboxOptions options)
      : options_(std::move(options)),
        tenants_(options_.state_folder + "/tenants.json", options_.uid_first, options_.uid_count) {}

  Result<uint32_t> TenantUid(const std::string& home_id) override {
    if (::geteuid() != 0) return ::geteuid();
    return tenants_.UserOf(home_id);
  }

  Result<void> Prepare(const LaunchSpec& spec) override;
  Result<void> Start(const DesktopId& desktop) override;
  Result<void> Stop(const DesktopId& desktop, Duration grace) override;
  Result<Status> GetStatus(const DesktopId& desktop) override;
  Result<Attachment> Attach(const DesktopId& desktop) override;
  Result<void> Remove(const DesktopId& desktop, bool keep_home) override;
  std::vector<DesktopId> List() override;

 private:
  DesktopFolder Folder(const DesktopId& desktop) const {
    return {options_.volatile_folder + "/desktops/" + desktop.text()};
  }
  std::string HomeFolder(const std::string& home_id) const {
    return options_.state_folder + "/homes/" + home_id;
  }

  // Serialises the calls for one desktop.
  std::unique_lock<std::mutex> Lock(const DesktopId& desktop) {
    std::mutex* mutex = locks_.With([&](auto& locks) {
      auto& slot = locks[desktop];
      if (!slot) slot = std::make_unique<std::mutex>();
      return slot.get();
    });
    return std::unique_lock(*mutex);
  }

  Result<void> PrepareHome(const Launch& launch);
  Result<void> PrepareFolder(const DesktopFolder& folder, const Launch& launch);
  Result<void> StopSupervised(const DesktopFolder& folder, Duration grace);
  bool HomeIsUsedElsewhere(const DesktopId& desktop, const std::string& home_id);

  const SandboxOptions options_;
  const TenantsFile tenants_;
  Guarded<std::map<DesktopId, std::unique_ptr<std::mutex>>> locks_;
};

// A name that is safe as a folder's name; others are of no desktop here.
bool IsFolderName(const std::string& text) {
  return !text.empty() && text[0] != '.' && text.find('/') == std::string::npos;
}

Result<void> Sandbox::PrepareHome(const Launch& launch) {
  std::error_code error;
  const bool there = std::filesystem::is_directory(launch.home_folder, error);
  if (auto made = MakeFolder(options_.state_folder + "/homes", 0700); !made) return made;
  if (there) return {};
  // Complete before it has its name: a home is never seen half made.
  const std::string fresh = launch.home_folder + ".new";
  if (auto removed = RemoveTree(fresh); !removed) return removed;
  if (auto made = MakeFolder(fresh, 0700); !made) return made;
  for (const auto& entry : std::filesystem::directory_iterator("/etc/skel", error)) {
    auto text = ReadFile(entry.path());
    const std::string path = fresh + "/" + entry.path().filename().string();
    if (!text) continue;
    if (auto made = WriteFileAtomic(path, *text, 0644); !made) return made;
    if (::chown(path.c_str(), launch.uid, launch.uid) != 0) {
      return Fail(ErrnoError(errno, "make the home"));
    }
  }
  if (::chown(fresh.c_str(), launch.uid, launch.uid) != 0 ||
      ::rename(fresh.c_str(), launch.home_folder.c_str()) != 0) {
    return Fail(ErrnoError(errno, "make the home"));
  }
  return {};
}

Result<void> Sandbox::PrepareFolder(const DesktopFolder& folder, const Launch& launch) {
  if (auto made = MakeFolder(folder.root, 0700); !made) return made;
  if (auto made = ComposeInside(folder, launch); !made) return made;
  if (auto made = ComposeLibraryCache(folder, launch, options_.volatile_folder + "/library-caches");
      !made)
    return made;
  // Without it the desktop does not count as prepared.
  return SaveLaunch(folder, launch);
}

Result<void> Sandbox::Prepare(const LaunchSpec& spec) {
  if (auto checked = CheckSpec(spec); !checked) return checked;
  for (const char* program : kPrograms) {
    if (auto found = FindProgram(program); !found) return Fail(found.error());
  }
  const auto lock = Lock(spec.desktop);
  const DesktopFolder folder = Folder(spec.desktop);
  if (IsSupervised(folder)) return {};
  auto uid = TenantUid(spec.home_id);
  if (!uid) return Fail(uid.error());
  Launch launch;
  launch.spec = spec;
  launch.home_folder = HomeFolder(spec.home_id);
  launch.uid = *uid;
  launch.change_user = ::geteuid() == 0;
  launch.cgroup_folders = options_.cgroup_folders;
  if (auto made = PrepareHome(launch); !made) return made;
  if (auto made = PrepareFolder(folder, launch); !made) return made;
  Status prepared;
  prepared.phase = Phase::kPrepared;
  return SaveStatus(folder, prepared);
}

Result<void> Sandbox::Start(const DesktopId& desktop) {
  const auto lock = Lock(desktop);
  const DesktopFolder folder = Folder(desktop);
  if (!IsFolderName(desktop.text()) || ::access(folder.launch().c_str(), F_OK) != 0) {
    return Fail(Code::kFailedPrecondition, desktop.text() + " is not prepared");
  }
  if (IsSupervised(folder)) return {};
  return RunProgramOrExplain({options_.supervisor, folder.root}, kStartAtMost);
}

Result<void> Sandbox::StopSupervised(const DesktopFolder& folder, Duration grace) {
  if (!IsSupervised(folder)) return {};
  auto control = ConnectUnix(folder.control());
  if (control) {
    const std::string order = fmt::format("stop {}\n", grace.count());
    (void)!::send(control->get(), order.data(), order.size(), MSG_NOSIGNAL);
    control->Reset();
  }
  // The lock is given up when nothing is left, by the kernel if need be.
  const auto deadline = std::chrono::steady_clock::now() + grace + kEndAtMost;
  while (IsSupervised(folder)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return Fail(Code::kDeadlineExceeded, "the desktop did not end: " + folder.root);
    }
    ::poll(nullptr, 0, 5);
  }
  return {};
}

Result<void> Sandbox::Stop(const DesktopId& desktop, Duration grace) {
  const auto lock = Lock(desktop);
  const DesktopFolder folder = Folder(desktop);
  if (!IsFolderName(desktop.text())) return {};
  if (auto stopped = StopSupervised(folder, grace); !stopped) return stopped;
  auto status = LoadStatus(folder);
  if (!status || status->phase == Phase::kPrepared) return {};
  Status prepared;
  prepared.phase = Phase::kPrepared;
  return SaveStatus(folder, prepared);
}

Result<Status> Sandbox::GetStatus(const DesktopId& desktop) {
  if (!IsFolderName(desktop.text())) return Status();
  const DesktopFolder folder = Folder(desktop);
  // Asked before the file is read: a supervisor writes its last status and then lets go.
  const bool supervised = IsSupervised(folder);
  auto status = LoadStatus(folder);
  if (!status && status.error().code == Code::kNotFound) return Status();
  if (!status || supervised) return status;
  switch (status->phase) {
    case Phase::kStarting:
    case Phase::kDisplayUp:
    case Phase::kRunning:
      // It may have ended between the two looks.
      if (auto again = LoadStatus(folder); again && again->phase != status->phase) return again;
      status->phase = Phase::kExited;
      status->reason = "the desktop's supervisor was killed";
      status->supervisor_pid = 0;
      return status;
    case Phase::kAbsent:
    case Phase::kPrepared:
    case Phase::kExited:
      break;
  }
  return status;
}

Result<Attachment> Sandbox::Attach(const DesktopId& desktop) {
  auto status = GetStatus(desktop);
  if (!status) return Fail(status.error());
  if (status->phase != Phase::kDisplayUp && status->phase != Phase::kRunning) {
    return Fail(Code::kFailedPrecondition, "the display of " + desktop.text() + " is not up");
  }
  return Attachment{Folder(desktop).rfb()};
}

bool Sandbox::HomeIsUsedElsewhere(const DesktopId& desktop, const std::string& home_id) {
  for (const DesktopId& other : List()) {
    if (other == desktop) continue;
    const auto launch = LoadLaunch(Folder(other));
    if (launch && launch->spec.home_id == home_id) return true;
  }
  return false;
}

Result<void> Sandbox::Remove(const DesktopId& desktop, bool keep_home) {
  const auto lock = Lock(desktop);
  if (!IsFolderName(desktop.text())) return {};
  const DesktopFolder folder = Folder(desktop);
  if (auto stopped = StopSupervised(folder, Duration(0)); !stopped) return stopped;
  const auto launch = LoadLaunch(folder);
  const std::string home_id = launch ? launch->spec.home_id : desktop.text();
  if (!keep_home && !HomeIsUsedElsewhere(desktop, home_id)) {
    // First the home: a repeated call still finds its name.
    if (auto removed = RemoveTree(HomeFolder(home_id)); !removed) return removed;
    if (auto forgot = tenants_.Forget(home_id); !forgot) return forgot;
  }
  // A supervisor that was killed left its control groups.
  for (const std::string& parent : options_.cgroup_folders) {
    ::rmdir((parent + "/" + desktop.text()).c_str());
  }
  return RemoveTree(folder.root);
}

std::vector<DesktopId> Sandbox::List() {
  std::vector<DesktopId> found;
  std::error_code error;
  const std::string all = options_.volatile_folder + "/desktops";
  for (const auto& entry : std::filesystem::directory_iterator(all, error)) {
    if (entry.is_directory(error)) found.emplace_back(entry.path().filename().string());
  }
  std::ranges::sort(found);
  return found;
}

std::string BesideThisProgram() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "sluice-supervise").string();
}

}  // namespace

std::vector<std::string> MissingPrograms() {
  std::vector<std::string> missing;
  for (const char* program : kPrograms) {
    if (auto found = FindProgram(program); !found) missing.push_back(found.error().message);
  }
  return missing;
}

Result<std::unique_ptr<Runtime>> OpenSandbox(SandboxOptions options) {
  std::error_code error;
  for (std::string* path : {&options.state_folder, &options.volatile_folder, &options.supervisor}) {
    // Whoever reads them later may stand elsewhere.
    if (!path->empty()) *path = std::filesystem::absolute(*path, error);
  }
  if (options.supervisor.empty()) options.supervisor = BesideThisProgram();
  if (::access(options.supervisor.c_str(), X_OK) != 0) {
    return Fail(Code::kNotFound, "the supervisor's program is missing: " + options.supervisor);
  }
  const size_t longest = options.volatile_folder.size() + kIdCharactersMax +
                         std::string_view("/desktops//control.sock").size();
  if (longest > kSocketPathMax) {
    return Fail(Code::kInvalidArgument,
                "the path is too long for the sockets in it: " + options.volatile_folder);
  }
  // Other parts keep their own things in both, so their modes are left alone.
  std::filesystem::create_directories(options.state_folder, error);
  std::filesystem::create_directories(options.volatile_folder, error);
  if (auto made = MakeFolder(options.volatile_folder + "/desktops", 0700); !made) {
    return Fail(made.error());
  }
  if (::access(options.state_folder.c_str(), W_OK) != 0) {
    return Fail(ErrnoError(errno, "write " + options.state_folder));
  }
  return std::make_unique<Sandbox>(std::move(options));
}

}  // namespace sluice::runtime
