// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/units.h"
#include "model/claim.h"
#include "model/gpu.h"
#include "scheduler/explain.h"
#include "scheduler/ledger.h"
#include "scheduler/scheduler.h"

// A machine's cards as control knows them, put to the ledger and its policies. All values are
// immutable but Card.
namespace sluice::scheduler::internal {

using scheduler::ToDemand;

enum class Use { kIdle, kShares, kWhole };

// A card with what is held of it.
struct Card {
  const Gpu* gpu = nullptr;
  Bytes memory_held;
  ComputeMillis compute_held;
  size_t shares = 0;
  size_t wholes = 0;                      // Of the shares: those that are the whole card.
  bool open = false;                      // In service for shares.
  bool kept = false;                      // For the head of the queue: nobody else is placed here.
  Use kept_as = Use::kIdle;               // For the bounds it counts as used so, beside its shares.
  const PlacementRules* rules = nullptr;  // The same for all cards; null: tightest_card.
  CardBounds bounds = {};                 // The same for all cards.
  // The first of the cards that is of the same kind, and the first on the same machine. Cards that
  // are kept in one list stand in the order of ToCards.
  size_t like = 0;
  size_t mate = 0;
};

// What a new share could get: never negative, and 0 when the card is not open.
Bytes MemoryFree(const Card& card);
ComputeMillis ComputeFree(const Card& card);

std::vector<Card> ToCards(std::span<const Gpu> gpus);
// With the snapshot's rules; it must outlive the cards.
std::vector<Card> ToCards(const Snapshot& snapshot);

// Whether vendor, model and `only` of the request admit the card.
bool Admits(const ClaimRequest& request, const Gpu& gpu);

// Whether one of the request's parts would fit the card if it were empty and in service: a card
// that is out of service may come back.
bool FitsEmpty(const ClaimRequest& request, const Gpu& gpu);

// The card in the terms of the ledger.
CardKind KindOf(const Gpu& gpu);
CardState StateOf(const Card& card);

// What the demand takes, by the first card of each kind.
std::vector<Need> NeedsOf(std::span<const Card> cards, const Demand& demand);

// What the request takes of the card.
Allocation AllocationOn(const ClaimRequest& request, const Card& card);
void Take(Card& card, const Allocation& allocation);
// Gives back what a share holds.
void GiveBack(Card& card, const Share& share);

// Whether enough cards of one machine have room, which all policies need. EverRoom: if every card
// were empty and in service.
bool EverRoom(std::span<const Card> cards, const ClaimRequest& request);

// Indices into `cards` of those that the policy chooses, or nothing. See Decide.
std::optional<std::vector<size_t>> BestFit(std::span<const Card> cards,
                                           const ClaimRequest& request);

// Why the request fits or not, card by card.
Explanation ExplainOn(std::span<const Card> cards, const ClaimRequest& request);
std::vector<CardVerdict> JudgeAll(std::span<const Card> cards, const ClaimRequest& request);

// Indices of the cards that the request would fit soonest by memory: those with the least memory
// missing together, on one machine; of those whose coming free helps, where the bounds hold it
// back. Empty when none is in service.
std::vector<size_t> Soonest(std::span<const Card> cards, const ClaimRequest& request);

// The most that `count` cards of one machine all have, of the values given per card.
struct OnNode {
  NodeId node;
  Bytes memory;
};
Bytes LargestTogether(std::vector<OnNode> cards, int count);

}  // namespace sluice::scheduler::internal
