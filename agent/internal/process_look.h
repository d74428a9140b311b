// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/internal/files.h"

// What the kernel says of a process: nothing here is the process's own word but its command.
namespace sluice::agent {

// A process namespace, kept from being forgotten: while this is open, its number is nobody else's.
struct PidNamespace {
  uint64_t number = 0;
  File file;
};

// The process as it is now. One thread at a time.
class ProcessLook {
 public:
  explicit ProcessLook(int64_t host_pid);

  int64_t host_pid() const { return host_pid_; }
  // Whether any of its threads still runs the program. One that is on its way out does not, though
  // its descriptors may be open.
  bool alive() const { return !thread_.empty(); }
  // Those that it is in and we are not: its own first, then the one around that, and so on.
  const std::vector<PidNamespace>& namespaces() const { return namespaces_; }
  std::vector<PidNamespace> TakeNamespaces() { return std::move(namespaces_); }

  // Whether what it sees at the place of a share's policy page is that share's, and it runs as this
  // user.
  bool SeesShare(const std::string& claim, uint32_t uid);

  // Letters, digits and plain signs.
  std::string Command() const;

 private:
  int64_t host_pid_;
  std::string thread_;  // "/proc/PID/task/TID" of one that runs.
  std::vector<PidNamespace> namespaces_;
  std::optional<std::string> mounted_;  // Where its policy page comes from; empty: it has none.
};

// The namespace that this process is in.
uint64_t OwnPidNamespace();

// What could confuse a terminal or a page is replaced.
std::string PlainText(std::string text);

}  // namespace sluice::agent
