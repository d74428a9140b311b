// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "base/result.h"

namespace sluice::runtime {

// One command on this machine under a share of a card.
struct CommandSpec {
  std::vector<std::string> argv;  // argv[0] is looked for in PATH.
  agent::PreparedShare share;
  std::string cwd;                       // Empty: the caller's.
  std::vector<std::string> environment;  // "NAME=value", on top of the caller's.
};

// Runs the command as the calling user and waits for its end. It sees the machine as it is, files,
// devices and network, but for the share's own: /run/sluice, /etc/ld.so.preload and
// /etc/ld.so.cache, which it alone sees; what it creates directly in /etc or /run is gone
// afterwards. It has the caller's terminal, standard streams and process group, so keys that
// signal reach it from the terminal; other signals to the caller are handed on. Everything it
// starts ends with it, and all of it ends with the caller, also when that is killed.
//
// Answers the exit status, 128 + n when signal n ended it. Fails with kNotFound or
// kPermissionDenied when the program cannot be run, kInvalidArgument for an empty argv,
// kFailedPrecondition when this machine forbids the namespaces that it takes.
//
// One call at a time in a process; other threads may run.
Result<int> RunCommand(const CommandSpec& spec);

}  // namespace sluice::runtime
