// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"

// A node's side of Sluice, as control sees it. One machine: the same process. A cluster: a remote
// one behind this very interface, so nothing here is a pointer or a file descriptor.
namespace sluice::agent {

// A share to be enforced: what the policy page will say.
struct ShareSpec {
  ClaimId claim;
  std::string label;  // "Li Na's compile desktop": for `sluice gpu` inside and for people.
  std::vector<Allocation> allocations;
  uint32_t tenant_uid = 0;  // Host user that may write the ledger page.
};

// A bind mount that the runtime makes for the share's processes.
struct Mount {
  std::string source;  // On the host.
  std::string target;  // Inside.
  bool writable = false;

  friend bool operator==(const Mount&, const Mount&) = default;
};

// Everything a sandbox needs so that its programs see the share and nothing else.
struct PreparedShare {
  std::vector<Mount> mounts;  // Regions, agent socket, interposer, vendor libraries.
  std::vector<std::string> device_nodes;
  std::vector<std::string> library_dirs;  // For the sandbox's ld.so.cache.
  std::string preload;                    // Path inside, for the sandbox's /etc/ld.so.preload.
};

struct ShareProcess {
  int64_t host_pid = 0;
  int64_t inner_pid = 0;  // As the tenant sees it; 0 unknown.
  std::string command;
  Bytes memory;
};

struct DeviceUsage {
  GpuId gpu;
  Bytes limit;
  Bytes used;      // The ledger's total plus the overhead that the agent found.
  Bytes overhead;  // The part of it that the agent found beyond the ledger.
  Bytes peak;
  int64_t refused = 0;          // Allocations answered with out of memory.
  int utilization_percent = 0;  // Of the card, by this share's processes, as the driver samples.
  ComputeMillis guarantee;
  ComputeMillis cap;  // 0: none.
  // Over the last second: of the card, for which the share held it (alone on it: as the driver
  // samples); of the time, in which its programs waited for the card.
  ComputeMillis compute_used;
  ComputeMillis compute_waiting;
};

struct ShareUsage {
  std::vector<DeviceUsage> devices;
  std::vector<ShareProcess> processes;
};

// A card with its present use, for the map and for metrics.
struct CardState {
  Gpu gpu;  // `shares` is empty here: they live in the store.
  GpuUse use;
};

// Thread-safe.
class Agent {
 public:
  virtual ~Agent() = default;

  // The node's cards, from the last sample (at most about 1 s old).
  virtual Result<std::vector<CardState>> Cards() = 0;

  // Makes (or finds again, after a restart) the share's regions. Idempotent by claim. Fails with
  // kNotFound for an unknown card, kResourceExhausted when the regions cannot be written.
  virtual Result<PreparedShare> Prepare(const ShareSpec& spec) = 0;

  // Changes what a prepared share may use while its programs run: the same cards in the same order,
  // other memory, guarantee or cap. Fails with kNotFound, kInvalidArgument for other cards, and
  // kFailedPrecondition with the figure, and nothing changed, when the share uses more than it
  // would be left with. What was being reserved in that very moment may stay above the new limit;
  // nothing more is granted.
  virtual Result<void> Resize(const ClaimId& claim, const std::vector<Allocation>& allocations) = 0;

  // Removes the regions. Processes that still use the share are the caller's to end first; what
  // they hold is refused from then on. Releasing what is not there succeeds.
  virtual Result<void> Release(const ClaimId& claim) = 0;

  // Fails with kNotFound.
  virtual Result<ShareUsage> Usage(const ClaimId& claim) = 0;

  // Claims whose regions exist: what a restarted control compares with the store.
  virtual std::vector<ClaimId> Prepared() = 0;
};

}  // namespace sluice::agent
