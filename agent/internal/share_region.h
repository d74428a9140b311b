// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/internal/bus_guard.h"
#include "agent/internal/bypass_watch.h"
#include "agent/internal/files.h"
#include "agent/internal/process_look.h"
#include "shim/region.h"

namespace sluice::agent {

// One share's pages and the processes seen in it. Everything in the ledger may be forged; what this
// class says about processes comes from the kernel. One thread at a time.
class ShareRegion {
 public:
  // Makes the pages, or takes those that are there and writes the spec's limits into them.
  // `simulated` says so of every card. Fails with kResourceExhausted, kUnavailable.
  struct Card {
    Allocation allocation;
    bool simulated = false;
  };
  static Result<std::unique_ptr<ShareRegion>> Make(const std::string& folder,
                                                   const ShareSpec& spec,
                                                   const std::vector<Card>& cards,
                                                   Bytes context);
  // Takes what an earlier agent left. Fails with kDataLoss when it cannot be read.
  static Result<std::unique_ptr<ShareRegion>> Find(const std::string& folder);

  const std::string& folder() const { return folder_; }
  std::string claim() const;
  std::vector<GpuId> gpus() const;

  // Whether the other one is about the very same files.
  bool IsSame(const ShareRegion& other) const;

  // Looks for new processes and gives back what dead ones hold. New ones are put into `watch`:
  // pidfd and slot. Repairs a ledger that was cut short or made larger.
  struct Watched {
    int pidfd;
    int slot;
  };
  std::vector<Watched> Sweep();
  // The slot's process ended. Returns whether its memory came back (else the next sweep tries).
  bool Ended(int slot);
  bool IsWatched(int slot) const { return processes_.contains(slot); }

  // Whether the process is one of the share's: it has a slot, it is in a process namespace in which
  // one with a slot was seen, or it sees the share's pages and runs as its user.
  bool Owns(ProcessLook& process);
  // What the ledger shows of a process of the share: the larger of what it held after its last two
  // operations, as the driver may have been asked between them.
  Holding LedgerOf(size_t device, int64_t host_pid) const;

  // The ledger's total of one card, by position.
  Bytes Total(size_t device) const;
  // What the driver says the share's processes hold, against the ledger's total before and after
  // it was asked (the larger). Sets the overhead. Returns it.
  Bytes Compare(size_t device, Bytes real, Bytes ledger);
  // Learns the cost of a context from processes that hold one, if nothing was taken or given back
  // since the last call. By host pid.
  void LearnContext(size_t device, const std::map<int64_t, Bytes>& real_by_pid);

  // Of the card, by this share, as last sampled.
  void SetUtilization(size_t device, int percent);

  // See Agent::Resize.
  Result<void> Resize(const std::vector<Allocation>& allocations);

  ShareUsage Usage();

  // From now on every allocation is refused; removes the files.
  void Revoke();

 private:
  struct Process {
    int64_t host_pid = 0;
    File pidfd;
  };

  ShareRegion() = default;
  region::PolicyPage& policy() const;
  region::LedgerPage& ledger() const;
  Result<void> Open();
  void Write(const ShareSpec& spec, const std::vector<Card>& cards, Bytes context);
  void Repair();
  void Shrink();
  bool MayWatch(int64_t host_pid) const;
  void Remember(ProcessLook& process);

  std::string folder_;
  File policy_file_;
  File ledger_file_;
  std::unique_ptr<Mapping> policy_map_;
  std::unique_ptr<Mapping> ledger_map_;
  std::unique_ptr<BusGuard> guard_;
  std::map<int, Process> processes_;  // By slot.
  bool told_full_ = false;            // Said once: what the tenant counts must not fill the log.
  std::vector<PidNamespace> namespaces_;       // In which its processes were seen.
  std::map<size_t, int> utilization_percent_;  // By device.
  std::map<size_t, uint64_t> word_at_last_look_;
};

}  // namespace sluice::agent
