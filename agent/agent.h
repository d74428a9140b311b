// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"
#include "model/pool.h"

// A node's side of Sluice, as control sees it. One machine: the same process. A cluster: a remote
// one behind this very interface, so nothing here is a pointer or a file descriptor.
namespace sluice::agent {

// What the share's pool says of it beside its sizes. Not kept over a restart of the agent: it then
// warns, and knows no priority, until it is told again.
struct ShareRules {
  int priority = 0;  // It has the card before every share of its kind with a lower one.
  BypassRule bypass_rule = BypassRule::kWarn;
  Bytes bypass_slack = Pool().bypass_slack;

  friend bool operator==(const ShareRules&, const ShareRules&) = default;
};

// A share to be enforced: what the policy page will say.
struct ShareSpec {
  ClaimId claim;
  std::string label;  // "Li Na's compile desktop": for `sluice gpu` inside and for people.
  std::vector<Allocation> allocations;
  uint32_t tenant_uid = 0;  // Host user that may write the ledger page.
  ShareRules rules;
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
  std::vector<std::string> environment;   // "NAME=value", for programs; a tenant may change it.
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
  // Programs, alive now, that were found to hold memory of the card round the ledger.
  int bypassing = 0;
};

struct ShareUsage {
  std::vector<DeviceUsage> devices;
  std::vector<ShareProcess> processes;
};

// What was done about a program that holds memory of a card of which the ledger knows nothing.
enum class BypassStep {
  kWarned,     // It was found; nothing else is done.
  kThrottled,  // It was found; its share's work is slowed down for as long as it lives.
  kAsked,      // It was found and asked to end (SIGTERM).
  kKilled,     // It did not end, and was killed.
  kEnded,      // It has ended, by itself or by the above.
};

constexpr std::string_view ToString(BypassStep step) {
  constexpr std::string_view kNames[] = {"warned", "throttled", "asked to end", "killed", "ended"};
  return kNames[static_cast<size_t>(step)];
}

// One step about one program. What it is named after comes from the host's kernel, but for the
// command, which the program chooses: letters, digits and plain signs only.
struct Bypass {
  ClaimId claim;
  GpuId gpu;
  int64_t host_pid = 0;
  std::string command;
  Bytes memory;  // What the driver says that it holds of the card.
  Bytes unseen;  // The part of it that the ledger does not show.
  BypassRule rule = BypassRule::kWarn;
  BypassStep step = BypassStep::kWarned;
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

  // Changes the rules of a prepared share from now on. Fails with kNotFound.
  virtual Result<void> Govern(const ClaimId& claim, const ShareRules& rules) = 0;

  // What was done since the last call about programs that go round the ledger, in order. What is
  // not asked for in time is dropped, oldest first.
  virtual std::vector<Bypass> TakeBypasses() = 0;

  // Removes the regions. Processes that still use the share are the caller's to end first; what
  // they hold is refused from then on. Releasing what is not there succeeds.
  virtual Result<void> Release(const ClaimId& claim) = 0;

  // Fails with kNotFound.
  virtual Result<ShareUsage> Usage(const ClaimId& claim) = 0;

  // Claims whose regions exist: what a restarted control compares with the store.
  virtual std::vector<ClaimId> Prepared() = 0;
};

}  // namespace sluice::agent
