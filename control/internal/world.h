// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/internal/past_runs.h"
#include "model/claim.h"
#include "model/desktop.h"
#include "model/gpu.h"
#include "model/pool.h"
#include "model/reservation.h"
#include "model/team.h"
#include "model/user.h"
#include "store/codec.h"
#include "store/store.h"

namespace sluice::control {

using Gpus = std::map<GpuId, store::Versioned<Gpu>>;
using Claims = std::map<ClaimId, store::Versioned<Claim>>;
using Pools = std::map<PoolId, store::Versioned<Pool>>;
using Desktops = std::map<DesktopId, store::Versioned<Desktop>>;
using Teams = std::map<TeamId, store::Versioned<Team>>;
using Reservations = std::map<ReservationId, store::Versioned<Reservation>>;
using Users = std::map<UserId, store::Versioned<User>>;

// The rows that the reconcilers work on, as of one revision, ordered by id so that equal rows give
// equal steps.
struct World {
  Gpus gpus;
  Claims claims;
  Desktops desktops;
  Teams teams;
  Users users;
  PastRuns past;
  Pools pools;
  Reservations reservations;
};

// The team of a user who is known; otherwise none.
TeamId TeamOf(const World& world, const UserId& user);

// A World that follows the store. One thread at a time.
class WorldFollower {
 public:
  explicit WorldFollower(store::Store& store) : store_(store) {}

  // Takes in every change committed so far. A row that cannot be decoded is logged and left out.
  // Fails with what the store said.
  Result<void> Refresh();

  // Commits, then takes in what was written. kAborted means that somebody else changed a row: look
  // again and decide again.
  Result<void> Commit(const std::vector<store::Write>& writes);

  const World& world() const { return world_; }

 private:
  Result<void> Reload();
  void Apply(const store::Event& event);

  store::Store& store_;
  World world_;
  std::unique_ptr<store::Watch> watch_;
};

}  // namespace sluice::control
