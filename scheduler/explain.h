// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/ledger.h"

// Why a demand fits or does not, card by card, and what would fit instead. Pure.
namespace sluice::scheduler {

// What stands in the way, in the order in which it is looked for: the first that fails is named.
enum class Check {
  kMachineClosed,
  kService,  // See Finding::service.
  kName,     // Not among the named cards, or among those to be left.
  kVendor,
  kModel,
  kPool,
  kPiece,       // Its driver does not cut such cards, or not into pieces of that name.
  kTooSmall,    // Also when empty: memory or compute.
  kCpu,         // Of the card's machine, as the next two. Millis of a core.
  kMainMemory,  // Bytes.
  kMachineSlots,
  kInUse,    // A whole card is asked for.
  kMemory,   // Bytes.
  kCompute,  // Millis.
  kSlots,
  kPlaces,    // Pieces lie at fixed places, and none of those for this one is left.
  kBounds,    // It is idle, and its pool leaves it to shares or keeps it whole; see service. Cards.
  kTogether,  // It fits this card, but too few cards of one machine. Cards.
  kOneNuma,   // It fits enough cards of the machine, but too few on one NUMA node. Cards.
  kNone,      // It fits.
};

// What one card fails at. For a demand without cards, one machine.
struct Verdict {
  Check check = Check::kNone;
  Service service = Service::kOpen;
  int64_t free = 0;  // What there is of what is missing, in the unit named beside the check; of
                     // kBounds, the pool's floor or ceiling.
};
// Requires: the card is of the node; the demand asks for cards.
Verdict JudgeCard(const Ledger& ledger, DemandIndex demand, NodeIndex node, CardIndex card);
// What the machine itself fails at, its cards apart.
Verdict JudgeMachine(const Ledger& ledger, DemandIndex demand, NodeIndex node);

// The same thing found on several cards.
struct Finding {
  Check check = Check::kNone;
  Service service = Service::kOpen;
  int64_t count = 0;  // Cards; machines for a demand without cards.
  int64_t most = 0;   // The largest `free` among them.
};

// Something else that would be placed now.
struct Alternative {
  Demand demand;
  std::string words;  // "6 GiB instead of 8 GiB", "on an NVIDIA L4".
};

// How a card's memory is told. Percent: of cards that have 1000 units, as traces give them.
enum class MemoryWords { kBytes, kPercentOfCard };

struct Explanation {
  bool fits = false;
  int64_t count = 0;                      // Cards (machines) looked at.
  std::vector<Finding> findings;          // The most frequent first, then the last check first.
  std::vector<Alternative> alternatives;  // The nearest first. Empty if it fits.
};
Explanation Explain(const Ledger& ledger,
                    DemandIndex demand,
                    MemoryWords memory = MemoryWords::kBytes);

// "24 cards: 11 too little memory (largest free 6 GiB), 9 another model, 3 cordoned, 1 held for
// passthrough".
std::string ToWords(const Explanation& explanation,
                    const Demand& demand,
                    MemoryWords memory = MemoryWords::kBytes);

// Of one card: "too little memory (6 GiB free)", "another model".
std::string ToWords(const Verdict& verdict, MemoryWords memory = MemoryWords::kBytes);

}  // namespace sluice::scheduler
