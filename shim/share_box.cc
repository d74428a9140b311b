// SPDX-License-Identifier: Apache-2.0
#include "shim/share_box.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::shim {
namespace {

const std::string kBuild = SLUICE_BUILD_DIR;
const std::string kLibraries = "/run/sluice/simgpu/lib";
const std::string kVisible = "/run/sluice/simgpu/visible";

// In a child of a test: says why and ends.
[[noreturn]] void Give(const char* what) {
  dprintf(STDERR_FILENO, "share box: %s: %s\n", what, strerror(errno));
  _exit(126);
}

void Bind(const std::string& from, const std::string& to, bool writable) {
  if (mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    Give(to.c_str());
  }
  if (!writable &&
      mount(nullptr, to.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    Give(to.c_str());
  }
}

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

// A file or folder to mount on.
void MakePlace(const std::string& path, bool folder) {
  const std::filesystem::path at(path);
  std::error_code error;
  std::filesystem::create_directories(folder ? at : at.parent_path(), error);
  if (!folder) {
    WriteText(path, "");
  }
}

void OwnNamespace() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWNS | (user == 0 ? 0 : CLONE_NEWUSER)) != 0) {
    Give("unshare");
  }
  if (user != 0) {
    WriteText("/proc/self/setgroups", "deny");
    WriteText("/proc/self/uid_map", std::to_string(user) + " " + std::to_string(user) + " 1");
    WriteText("/proc/self/gid_map", std::to_string(group) + " " + std::to_string(group) + " 1");
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    Give("/");
  }
}

[[noreturn]] void Execute(const std::vector<std::string>& argv,
                          const std::vector<std::string>& environment) {
  std::vector<char*> words;
  for (const std::string& word : argv) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  std::vector<char*> variables;
  for (const std::string& variable : environment) {
    variables.push_back(const_cast<char*>(variable.c_str()));
  }
  variables.push_back(nullptr);
  execve(words[0], words.data(), variables.data());
  Give(words[0]);
}

int StatusOf(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Goes on as process 1 of a namespace of its own; the caller waits and ends like it.
void BeFirst() {
  if (unshare(CLONE_NEWPID) != 0) {
    Give("a process namespace");
  }
  const pid_t first = fork();
  if (first > 0) {
    close_range(0, ~0U, 0);  // The tests' pipes end with the program, not with who waits for it.
    int status = 0;
    waitpid(first, &status, 0);
    _exit(StatusOf(status));
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (mount("proc", "/proc", "proc", 0, nullptr) != 0) {
    Give("/proc");
  }
}

template <typename T>
T* MakePage(const std::string& path, int& file) {
  file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  EXPECT_GE(file, 0);
  EXPECT_EQ(ftruncate(file, sizeof(T)), 0);
  void* at = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  EXPECT_NE(at, MAP_FAILED);
  return static_cast<T*>(at);
}

}  // namespace

ShareBox::ShareBox(const Options& options)
    : options_(options), folder_(::testing::TempDir() + "sluice-box-XXXXXX"), creator_(getpid()) {
  options_.hardened = options_.hardened || getenv("SLUICE_TEST_HARDENED") != nullptr;
  EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  std::filesystem::create_directories(state_folder());
  auto scene = simgpu::ParseFleet(options.fleet);
  EXPECT_TRUE(scene);
  scene_ = *scene;
  scene_.context = options.real_context;
  if (options.scene) {
    options.scene(scene_);
  }
  auto written = simgpu::WriteScene(state_folder(), scene_);
  EXPECT_TRUE(written) << written.error().message;
  MakePages();
  region_folder_ = folder_;
  MakeEtc();
}

ShareBox::~ShareBox() {
  for (const pid_t pid : running_) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  munmap(policy_, sizeof(*policy_));
  munmap(ledger_, sizeof(*ledger_));
  close(ledger_file_);
  if (getpid() == creator_) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
}

void ShareBox::MakePages() {
  int policy_file = -1;
  policy_ = MakePage<region::PolicyPage>(folder_ + "/policy", policy_file);
  close(policy_file);
  ledger_ = MakePage<region::LedgerPage>(folder_ + "/ledger", ledger_file_);
  ledger_->magic = region::kLedgerMagic;
  ledger_->version = region::kVersion;
  ledger_->slot_count = region::kSlotCount;
  policy_->magic = region::kPolicyMagic;
  policy_->version = region::kVersion;
  policy_->device_count = 1;
  region::PolicyDevice& device = policy_->devices[0];
  snprintf(device.uuid_text, sizeof(device.uuid_text), "%s", scene_.cards[0].uuid.c_str());
  EXPECT_TRUE(region::ParseUuid(device.uuid_text, device.uuid));
  device.memory_limit_bytes = static_cast<uint64_t>(options_.limit.value());
  device.context_bytes = static_cast<uint64_t>(options_.context.value());
  EXPECT_EQ(mkfifo((folder_ + "/bell").c_str(), 0600), 0);
}

void ShareBox::MakeEtc() {
  const std::string etc = folder_ + "/etc";
  std::filesystem::create_directories(etc);
  for (const char* name : {"/passwd", "/group", "/nsswitch.conf", "/ld.so.conf"}) {
    std::error_code ignored;
    std::filesystem::copy_file(std::string("/etc") + name, etc + name, ignored);
  }
  WriteText(etc + "/ld.so.share.conf", kLibraries + "\n");
  const pid_t child = fork();
  if (child == 0) {
    Enter();
    Execute({"/sbin/ldconfig", "-X", "-C", "/etc/ld.so.cache", "-f", "/etc/ld.so.share.conf"}, {});
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  if (options_.shared && options_.preload) {
    WriteText(etc + "/ld.so.preload", "/run/sluice/lib/libsluice-cuda.so\n");
  }
  if (!options_.peer_library.empty()) {
    WriteText(etc + "/ld.so.preload", std::string(kPeerPath) + "\n");
  }
}

void ShareBox::Enter() const {
  OwnNamespace();
  if (mount("tmpfs", "/run", "tmpfs", 0, nullptr) != 0) {
    Give("/run");
  }
  struct Place {
    std::string from;
    std::string to;
    bool folder;
    bool writable;
    bool of_share;
  };
  const std::string driver =
      options_.driver_folder.empty() ? kBuild + "/lib/simgpu" : options_.driver_folder;
  const std::string interposer =
      options_.interposer.empty() ? kBuild + "/lib/libsluice-cuda.so" : options_.interposer;
  const bool hardened = options_.shared && options_.hardened;
  const Place places[] = {
      {region_folder_ + "/policy", region::kPolicyPath, false, false, true},
      {region_folder_ + "/ledger", region::kLedgerPath, false, true, true},
      {interposer, "/run/sluice/lib/libsluice-cuda.so", false, false, true},
      {options_.peer_library, kPeerPath, false, false, false},
      {hardened ? kBuild + "/lib/front" : driver, kLibraries, true, false, false},
      {hardened ? driver : "", "/run/sluice/driver", true, false, false},
      {state_folder(), "/run/sluice/simgpu/state", true, true, false},
      {region_folder_ + "/visible", kVisible, false, false, true},
      {region_folder_ + "/bell", region::kBellPath, false, true, true},
      {folder_ + "/etc", "/etc", true, true, false},
  };
  for (const Place& place : places) {
    // Only an agent's share lists what is visible, and it may have no bell; anything else that is
    // missing fails the bind.
    const bool absent = (place.to == kVisible || place.to == region::kBellPath) &&
                        access(place.from.c_str(), F_OK) != 0;
    if ((place.of_share && !options_.shared) || absent || place.from.empty()) {
      continue;
    }
    if (place.to != "/etc") {
      MakePlace(place.to, place.folder);
    }
    Bind(place.from, place.to, place.writable);
  }
}

ShareBox::Started ShareBox::Start(const std::vector<std::string>& argv,
                                  const std::vector<std::string>& environment) {
  int in[2];
  int out[2];
  EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    Enter();
    if (options_.own_pids) {
      BeFirst();
    }
    Execute(argv, environment);
  }
  close(in[0]);
  close(out[1]);
  running_.push_back(child);
  return {child, in[1], out[0]};
}

int ShareBox::Finish(Started& started) {
  close(started.to);
  close(started.from);
  int status = 0;
  waitpid(started.pid, &status, 0);
  std::erase(running_, started.pid);
  return StatusOf(status);
}

void ShareBox::Kill(Started& started) {
  kill(started.pid, SIGKILL);
  Finish(started);
}

ShareBox::Outcome ShareBox::Run(const std::vector<std::string>& argv,
                                const std::vector<std::string>& environment) {
  Started started = Start(argv, environment);
  Outcome outcome;
  char chunk[4096];
  for (ssize_t got = 0; (got = read(started.from, chunk, sizeof(chunk))) > 0;) {
    outcome.output.append(chunk, static_cast<size_t>(got));
  }
  outcome.status = Finish(started);
  return outcome;
}

std::string ShareBox::ReadLine(int from) {
  std::string line;
  char c = 0;
  while (read(from, &c, 1) == 1 && c != '\n') {
    line += c;
  }
  return line;
}

}  // namespace sluice::shim
