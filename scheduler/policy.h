// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "scheduler/ledger.h"

// How one of several fitting nodes, and cards in it, is chosen.
namespace sluice::scheduler {

// Higher is better. All values but kNoFit are a policy's to use.
using Score = int32_t;
inline constexpr Score kNoFit = std::numeric_limits<Score>::min();

// The best node of one type, as the index has it.
struct TypeBest {
  TypeIndex type = 0;
  Score score = kNoFit;
  NodeIndex node = 0;
};

// What the fleet is expected to be asked for: demands and how often each comes.
struct Mix {
  std::vector<std::pair<DemandIndex, int64_t>> counts;
};

// One small file each in policies/. Pure: equal ledger and equal calls give equal answers. One
// thread at a time; serves one ledger.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::string_view name() const = 0;

  // Of the demand on the node as it stands. Requires: it fits there. Depends on nothing but the
  // node's state, its type and the demand, unless `ScoresKeep` is false.
  virtual Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) = 0;

  // Appends the cards. Requires: the demand fits the node.
  virtual void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) = 0;

  // Told instead of ChooseCards when a demand's own rule has chosen.
  virtual void OnChosenByRule(const Ledger&, DemandIndex, const Placement&) {}

  // Which of the types' best nodes is taken. `bests` is not empty, ascending by type. The tie rule
  // is here: by default the highest score, then the node that was added first.
  virtual NodeIndex ChooseType(const Ledger& ledger,
                               DemandIndex demand,
                               std::span<const TypeBest> bests);

  // Told after each placement and each release, with the ledger as it is then.
  virtual void OnPlaced(const Ledger&, DemandIndex, const Placement&) {}
  virtual void OnReleased(const Ledger&, const Binding&) {}

  // False: scores change without a change of the node, so they are computed anew each time.
  virtual bool ScoresKeep() const { return true; }

  // A hint that ScoreNode is going to be asked for the node. Changes nothing but the time it takes.
  virtual void Prefetch(NodeIndex) const {}

  // True: ScoreNode looks at the cards itself and gives kNoFit when they do not fit; then it is
  // only required that Ledger::RoomBesideCards is true. Saves the index one look at each card.
  virtual bool ScoreSeesCards() const { return false; }
  // False: the policy tells nodes apart that are equal in type and state, also untouched ones.
  virtual bool NodesAlike() const { return true; }
};

// The default of ChooseType.
NodeIndex BestType(std::span<const TypeBest> bests);

// The tightest fitting card, by memory and then by number, one after the other; or the first ones
// when the demand is for whole cards. What all published policies but FGD and Random do.
void ChooseTightestCards(const Ledger& ledger, DemandIndex demand, Placement& placement);
// The fitting cards in the order of their numbers.
void ChooseFirstCards(const Ledger& ledger, DemandIndex demand, Placement& placement);

// A uniform node, a uniform card: by a hash of seed, decision and number, so that the order of
// asking shows nowhere.
std::unique_ptr<Policy> MakeRandom(uint64_t seed);
// The node added first, its first cards.
std::unique_ptr<Policy> MakeFirstFit();
// Least left-over of CPU and cards' memory together, each by the largest node there is.
std::unique_ptr<Policy> MakeBestFit();
// Cards in part use first, then free cards of nodes in use, then free nodes.
std::unique_ptr<Policy> MakePacking();
// Nodes that hold the same number of cards per claim first, then idle ones, then the others.
std::unique_ptr<Policy> MakeClustering();
// The lowest product of what is free and what is asked ("Tetris").
std::unique_ptr<Policy> MakeDotProduct();
// The least growth of fragments, of the mix that is expected. The demands of the mix must be
// interned in the ledger that the policy will serve.
std::unique_ptr<Policy> MakeFgd(Mix mix);
// What an installation that does not know what will be asked for uses: the card with the least free
// memory that suffices (to the MiB between nodes), then the one with the fewest claims, then the
// one that was added first.
std::unique_ptr<Policy> MakeTightestCard();

}  // namespace sluice::scheduler
