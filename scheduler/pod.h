// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "scheduler/ledger.h"
#include "scheduler/policy.h"

// Several containers that are placed as one, as a Kubernetes pod is: all on one node, or none.
namespace sluice::scheduler {

struct Pod {
  std::vector<DemandIndex> containers;  // Side by side.
  std::vector<DemandIndex> inits;       // Before them, one after the other.
  DemandIndex beside = 0;               // CPU and main memory of the pod; see InternPod.
};

// CPU and main memory are the larger of what the containers ask together and what any init asks, as
// Kubernetes counts them.
Pod InternPod(Ledger& ledger,
              const std::vector<Demand>& containers,
              const std::vector<Demand>& inits);

struct PodPlacement {
  NodeIndex node = 0;
  std::vector<std::vector<CardIndex>> containers;  // By container.
  std::vector<std::vector<CardIndex>> inits;       // By init.
  // What the pod takes from its start to its end. An init has what the containers will have, and
  // the pod takes more only where that is not enough for it.
  std::vector<Held> held;
};

// The node on which the hardest container (most cards, then most memory) scores best with the
// policy, of those that take the whole pod; the first added of equal ones. nullopt: there is none.
// Containers are placed the hardest first, on the tightest cards, two shares of one container never
// on one card; where that leads nowhere, other cards are tried, kPodTriesMax in all per node. Of
// shares of several cards only the tightest and the roomiest set are tried.
inline constexpr int kPodTriesMax = 2'000;
std::optional<PodPlacement> PlacePod(const Ledger& ledger, Policy& policy, const Pod& pod);

// Requires: nothing has changed since PlacePod.
BindingIndex BindPod(Ledger& ledger, const Pod& pod, const PodPlacement& placement);

}  // namespace sluice::scheduler
