// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "base/result.h"
#include "scheduler/ledger.h"
#include "scheduler/policy.h"
#include "scheduler/targets.h"

// What each node is meant to come to hold: a linear program over what is expected to be asked for
// and what is free, rounded to whole claims and laid out node by node. No I/O, clock or threads;
// equal arguments give equal targets with one version of the solver.
namespace sluice::targets {

// How often a demand is expected to come from now on. Need not be whole.
struct Expected {
  scheduler::DemandIndex demand = 0;
  double count = 0;
};

struct ProgramOptions {
  // Parts per 100 of the CPU and of the main memory that a node type has free. Up to `easy` their
  // use costs nothing in the program; beyond it is avoided where another node type can serve;
  // beyond `most` nothing is planned, as whole claims never fill a node to the last core. Lower
  // `easy`: more even use, but node types with much CPU are used up early.
  int easy = 85;
  int most = 97;
  // Whether shares are put together so that they fill cards. Off: each share goes to the fullest
  // card that takes it, largest first.
  bool complete_cards = true;
};

struct Program {
  scheduler::Targets targets;
  // Cards' worth (thousandths of a card's memory, summed up): what the program could place, and
  // what the targets hold of it.
  int64_t bound_millis = 0;
  int64_t placed_millis = 0;
};

// Plans for the ledger as it stands, beside what is held. Nodes with cards of several kinds, out
// of service or divided at fixed places, demands that name cards, and shares on several cards get
// no berths. Fails with
// kInternal if the solver finds no answer.
Result<Program> MakeTargets(const scheduler::Ledger& ledger,
                            const std::vector<Expected>& expected,
                            const ProgramOptions& options);

// The mix scaled so that its cards' worth is `load_percent` of the ledger's capacity.
std::vector<Expected> Scaled(const scheduler::Ledger& ledger,
                             const scheduler::Mix& mix,
                             int load_percent);

// The guard: which program does best, or whether none beats plain FGD, is found by playing through
// arrivals drawn from the mix on an empty copy of the fleet.
struct Rehearsal {
  std::vector<int> loads_percent = {95, 97, 98, 100, 102};
  std::vector<int> easy = {64, 71, 78, 85, 92};
  // Arrived loads at which what is placed is measured, ascending, at least one; their mean counts.
  // The first is where plain FGD loses nothing yet: a program must not win later by losing there.
  std::vector<int> measured_at_percent = {95, 100};
  uint64_t seed = 1;  // Of the drawn arrivals.
  int plays = 4;
  int finalists = 5;       // After one play; these are played all.
  scheduler::Mix fgd_mix;  // What FGD measures fragments with.
};
struct Choice {
  bool use_targets = false;  // False: plain FGD did better.
  int load_percent = 0;
  ProgramOptions options;
  // Means over the rehearsals and the loads, percent of the capacity.
  double rehearsed_percent = 0;
  double fgd_percent = 0;
};
// `ledger` without claims. Programs that cannot be solved are left out.
Choice Rehearse(const scheduler::Ledger& ledger,
                const scheduler::Mix& mix,
                const Rehearsal& rehearsal);

}  // namespace sluice::targets
