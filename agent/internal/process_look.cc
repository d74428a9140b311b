// SPDX-License-Identifier: Apache-2.0
#include "agent/internal/process_look.h"

#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <linux/nsfs.h>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "shim/region.h"

namespace sluice::agent {
namespace {

constexpr unsigned long kExiting = 0x4;  // PF_EXITING.
// More than the kernel nests.
constexpr int kNestedMax = 40;

uint64_t NumberOf(int file) {
  struct stat status = {};
  return fstat(file, &status) == 0 ? status.st_ino : 0;
}

// Field `index` (3: the state) of a thread's stat, which comes after a name in brackets that may
// hold anything.
std::string StatField(const std::string& thread, int index) {
  std::ifstream in(thread + "/stat");
  std::string line;
  std::getline(in, line);
  const size_t end = line.rfind(')');
  if (end == std::string::npos) return "";
  std::istringstream rest(line.substr(end + 1));
  std::string word;
  for (int i = 3; i <= index; ++i) rest >> word;
  return word;
}

bool Runs(const std::string& thread) {
  const std::string state = StatField(thread, 3);
  if (state.empty() || state == "Z" || state == "X") return false;
  return (std::strtoul(StatField(thread, 9).c_str(), nullptr, 10) & kExiting) == 0;
}

// The first thread of a program may end before the others.
std::string RunningThread(int64_t pid) {
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  const std::string first = fmt::format("{}/{}", tasks, pid);
  if (Runs(first)) return first;
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator(tasks, error);
       !error && at != std::filesystem::directory_iterator();
       at.increment(error)) {
    if (Runs(at->path().string())) return at->path().string();
  }
  return "";
}

std::vector<PidNamespace> NamespacesOf(const std::string& thread) {
  std::vector<PidNamespace> list;
  File file(open((thread + "/ns/pid").c_str(), O_RDONLY | O_CLOEXEC));
  while (file && static_cast<int>(list.size()) < kNestedMax) {
    const uint64_t number = NumberOf(file.get());
    if (number == 0 || number == OwnPidNamespace()) break;
    File around(ioctl(file.get(), NS_GET_PARENT));
    list.push_back({number, std::move(file)});
    file = std::move(around);
  }
  return list;
}

std::string MountedPolicy(const std::string& thread) {
  std::ifstream in(thread + "/mountinfo");
  std::string source;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string id, around, device, root, place;
    if (words >> id >> around >> device >> root >> place && place == region::kPolicyPath) {
      source = root;  // The last one lies on top.
    }
  }
  return source;
}

std::optional<uint32_t> RealUser(const std::string& thread) {
  std::ifstream in(thread + "/status");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    uint32_t uid = 0;
    if (words >> name && name == "Uid:" && words >> uid) return uid;
  }
  return std::nullopt;
}

}  // namespace

uint64_t OwnPidNamespace() {
  static const uint64_t own = [] {
    const File file(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    return file ? NumberOf(file.get()) : 0;
  }();
  return own;
}

std::string PlainText(std::string text) {
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

ProcessLook::ProcessLook(int64_t host_pid) : host_pid_(host_pid), thread_(RunningThread(host_pid)) {
  if (alive()) namespaces_ = NamespacesOf(thread_);
}

bool ProcessLook::SeesShare(const std::string& claim, uint32_t uid) {
  if (!alive() || namespaces_.empty()) return false;
  if (!mounted_) mounted_ = MountedPolicy(thread_);
  return mounted_->ends_with("/" + claim + "/policy") && RealUser(thread_) == uid;
}

std::string ProcessLook::Command() const {
  std::ifstream in(fmt::format("/proc/{}/comm", host_pid_));
  std::string name;
  std::getline(in, name);
  return PlainText(name);
}

}  // namespace sluice::agent
