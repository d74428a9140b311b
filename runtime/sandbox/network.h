// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "base/units.h"
#include "runtime/sandbox/files.h"

// A desktop's network: its own stack in its own namespace, and outwards through slirp4netns, a
// program that makes ordinary connections on its behalf.
namespace sluice::runtime {

// IPv4 network in host byte order.
struct Network4 {
  uint32_t address = 0;
  int prefix = 32;
};

// Brings the calling process's loopback up and makes every one of these networks unreachable, with
// routes of which a later route cannot take the place without the capability that the tenant
// lacks. To be called inside the namespace, with CAP_NET_ADMIN in it.
Result<void> CloseNetworks(std::span<const Network4> closed);

// What a desktop must not reach: link-local and cloud metadata addresses, and this machine's own
// addresses (its loopback is closed by slirp4netns).
std::vector<Network4> ClosedNetworks();

// The running slirp4netns of one desktop.
struct Outbound {
  pid_t pid = 0;
  Fd keep;  // Closing it ends the program, also when the holder is killed.
};

// Starts slirp4netns for the namespaces of process `target`, as the host user `uid` when
// `change_user`, and waits until the interface is up. Fails with kFailedPrecondition and the
// reason when the machine does not have what it needs.
Result<Outbound> StartOutbound(pid_t target, uint32_t uid, bool change_user);

}  // namespace sluice::runtime
