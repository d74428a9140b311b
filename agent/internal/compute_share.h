// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "agent/arbiter.h"
#include "agent/internal/bus_guard.h"
#include "agent/internal/files.h"
#include "shim/region.h"

// One share's pages as the arbiter's thread sees them: grants and heartbeats go into the policy,
// what the processes say of their work is read from the ledger, and the bell rings. Mappings of its
// own, so that nothing here waits for the agent's other threads.
namespace sluice::agent {

// Every byte of the ledger may be forged. `word` is the grant that the processes were last told.
Observation ReadSlots(const region::LedgerPage& page, int device, uint32_t word);

// Makes the share's bell, for its user to ring. Does nothing when it is there. Fails as MakeFile.
Result<void> MakeBell(const std::string& folder, uint32_t tenant_uid);

// One thread at a time.
class ComputeShare {
 public:
  // Opens what ShareRegion made. Without a bell the share is looked at with the others.
  static Result<std::unique_ptr<ComputeShare>> Open(const std::string& folder);

  // Whether the folder still holds the same files.
  bool IsCurrent(const std::string& folder) const;

  size_t device_count() const { return told_.size(); }
  std::string GpuText(size_t device) const;
  // What the policy says now; `found` is the mode that its page holds.
  CardTerms TermsOf(size_t device) const;

  Observation Read(size_t device) const;
  // Writes the grant; a fresh one gets the next sequence, and those who sleep at it wake: all of
  // them where they are few.
  void Tell(size_t device, const Grant& grant);

  void Beat(Nanos now);
  // Into the policy: what it had and waited for over the last second or so.
  void Publish(size_t device, const SeatAccount& account, Nanos now);
  // Of the card, as the driver sampled: what Publish says where nothing is held by turns.
  void Sampled(size_t device, int percent, Nanos now);
  // What the driver saw since the last call that returned something, and how long that is; none
  // while it is too short to mean anything.
  struct Seen {
    Nanos busy;
    Nanos window;
  };
  std::optional<Seen> TakeSeen(size_t device, Nanos now);

  int bell() const { return bell_.get(); }
  // Empties the bell. Returns whether it rings too often to be listened to for now.
  bool Listen(Nanos now);
  Nanos muted_until() const { return muted_until_; }
  void Unmute() { muted_until_ = Nanos(0); }

 private:
  struct Past {
    Nanos at;
    Nanos held;
    Nanos waiting;
  };
  struct Device {
    uint32_t word = 0;
    std::deque<Past> past;
    int percent = 0;
    Nanos seen_busy{0};
    Nanos seen_at{-1};
    Nanos seen_since{-1};
  };

  ComputeShare() = default;
  region::PolicyPage& policy() const;
  const region::LedgerPage& ledger() const;
  void Repair();

  File ledger_file_;
  File bell_;
  std::unique_ptr<Mapping> policy_map_;
  std::unique_ptr<Mapping> ledger_map_;
  std::unique_ptr<BusGuard> guard_;
  bool damaged_ = false;
  std::vector<Device> told_;
  Nanos rings_since_{0};
  int rings_ = 0;
  Nanos muted_until_{0};
};

}  // namespace sluice::agent
