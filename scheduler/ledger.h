// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "model/gpu.h"
#include "scheduler/cut.h"

// The fleet as flat records, and what is held of it. Everything that places (policies, simulator,
// planner, control) reads this one structure; only Bind, Release and the Set… functions write it.
namespace sluice::scheduler {

// Positions in the ledger, in the order of adding. The order of nodes is the order that breaks
// ties: of two that are equally good, the one added first.
using NodeIndex = uint32_t;
using CardIndex = uint32_t;
// Interned values: equal ones share a number.
using KindIndex = uint32_t;    // What a card is.
using TypeIndex = uint32_t;    // What a node is: its cards' kinds, CPU and memory.
using DemandIndex = uint32_t;  // What a claim asks for.
using BindingIndex = uint32_t;

inline constexpr int64_t kUnlimited = int64_t{1} << 60;
inline constexpr int kCardsPerNodeMax = 65'535;

// Whether a card takes claims, and if not, why.
enum class Service : uint8_t {
  kOpen,
  kKept,  // For somebody else; set by who keeps it.
  // By the floor and by the ceiling of the pool: a claim for whole cards, or for shares, finds the
  // card closed when all else is well. Set by who knows the claim.
  kForShares,
  kForWhole,
  kWhole,
  kPassthrough,
  kPartitioned,
  kMoving,
  kCordoned,
  kFailed,
  kUnhealthy,
  kStale,
};
Service ServiceOf(GpuMode mode, GpuHealth health);

// What cards of one kind have in common.
struct CardKind {
  std::string vendor;
  std::string model;
  PoolId pool;
  Bytes memory;
  ComputeMillis compute{1000};  // What guarantees may sum up to: 1000 × the pool's overcommit.
  int slots = 1'000'000;        // Claims at once.
  Cut cut;

  friend auto operator<=>(const CardKind&, const CardKind&) = default;
};

struct CardSpec {
  GpuId id;
  CardKind kind;
  // A card in mode kPartitioned takes claims if its kind's pieces have places.
  GpuMode mode = GpuMode::kShared;
  GpuHealth health = GpuHealth::kHealthy;
  int numa = -1;  // NUMA node; -1: not known.
};

// How close two cards of a node are; see Closeness in rules.h. Positions on the node.
struct Link {
  int a = 0;
  int b = 0;
  int closeness = 0;  // 1 to 65,535.
};

struct NodeSpec {
  NodeId id;
  int64_t cpu_millis = kUnlimited;  // Thousandths of a core.
  Bytes memory{kUnlimited};         // Main memory.
  int slots = 1'000'000;            // Claims at once.
  bool cordoned = false;
  std::vector<CardSpec> cards;  // At most kCardsPerNodeMax.
  std::vector<Link> links;      // In both directions; no pair twice.
};

// How a demand wants nodes and cards chosen; kPolicy: as the policy does.
enum class NodeRule : uint8_t { kPolicy, kBinpack, kSpread };
enum class CardRule : uint8_t { kPolicy, kBinpack, kSpread, kClosest };

// What a claim asks for, in the ledger's terms.
struct Demand {
  int64_t cpu_millis = 0;
  Bytes main_memory;
  int count = 1;            // Cards; 0: none.
  Bytes memory;             // Per card.
  int memory_percent = 0;   // Instead of `memory`: of each card's memory, 1 to 100.
  ComputeMillis guarantee;  // Per card. 0: best effort.
  bool exclusive = false;   // All of the card's compute.
  bool whole = false;       // No other claim on the card; then it gets all of it.
  bool by_memory = false;   // Guarantee: the same part of compute as of memory, as far as free.
  ComputeMillis cap;        // Bounds a guarantee by memory. 0: none.
  std::string vendor;       // Empty: any.
  PoolId pool;              // Empty: any.
  std::vector<std::string> models;  // Sorted; empty: any.
  std::vector<GpuId> only;          // Sorted; empty: any.
  std::vector<GpuId> never;         // Sorted.
  std::string piece;                // The name of one; empty: any that suffices.
  bool idle_cards = false;          // Only cards without a holder, who may get others later.
  bool one_numa = false;            // All cards on one NUMA node; unknown ones count as one.
  NodeRule node_rule = NodeRule::kPolicy;
  CardRule card_rule = CardRule::kPolicy;

  friend auto operator<=>(const Demand&, const Demand&) = default;
};

// What a demand takes of a card of one kind.
struct Need {
  int64_t memory = 0;         // Bytes.
  int32_t compute = 0;        // Millis that must be free.
  int32_t compute_wish = 0;   // Millis taken as far as they are free; at least `compute`.
  int32_t memory_millis = 0;  // `memory` in thousandths of the card.
  bool admitted = false;      // Vendor, model and pool fit, and an empty card is large enough.
  bool idle = false;          // Only of a card without holders.
  Places starts = 0;          // Of its piece; see Piece.
  int32_t width = 0;
};

struct CardState {
  int64_t memory_free = 0;    // Bytes. Negative on a card that came back smaller.
  int32_t compute_free = 0;   // Millis.
  int32_t memory_millis = 0;  // memory_free in thousandths of the card, rounded down, at least 0.
  int32_t holders = 0;
  int32_t slots_free = 0;
  uint16_t kind = 0;
  bool open = false;  // In service, shared, not kept.
  Places taken = 0;
};

// What a demand takes of cards of a kind, their names apart.
Need NeedOn(const Demand& demand, const CardKind& kind);
// Whether the demand names no cards, or takes this one.
bool TakesName(const Demand& demand, const GpuId& card);

// Whether there is room for the need. No early exits: all parts are at hand, and a branch that is
// taken by chance costs more.
inline bool NeedFits(const Need& need, const CardState& card) {
  return need.admitted & card.open & (card.memory_free >= need.memory) &
         (card.compute_free >= need.compute) & (card.slots_free > 0) &
         (!need.idle | (card.holders == 0)) &
         (need.width == 0 || StartsLeft(need.starts, need.width, card.taken) != 0);
}

// The compute that the need takes of the card.
inline int32_t ComputeTaken(const Need& need, const CardState& card) {
  return std::max(need.compute, std::min(need.compute_wish, card.compute_free));
}

struct NodeState {
  int64_t cpu_free = 0;
  int64_t memory_free = 0;
  int32_t slots_free = 0;
  CardIndex first_card = 0;
  uint16_t cards = 0;
  bool open = true;
  TypeIndex type = 0;
  // Grows with every change. 0: empty and in service with all its cards, so like any other node of
  // its type that is at 0.
  uint32_t version = 0;
  uint64_t changed_at = 0;  // Position of its last entry in the log.
};

// Where a claim goes: distinct cards of one node, in the order of choice.
struct Placement {
  NodeIndex node = 0;
  std::vector<CardIndex> cards;

  friend bool operator==(const Placement&, const Placement&) = default;
};

struct Held {
  CardIndex card = 0;
  Bytes memory;
  ComputeMillis compute;
  Places places = 0;  // Nobody else's.

  friend bool operator==(const Held&, const Held&) = default;
};

struct Binding {
  DemandIndex demand = 0;
  NodeIndex node = 0;
  bool live = false;
  std::vector<Held> held;
};

// What nodes of one type have in common, as they are without any claim.
struct NodeType {
  int64_t cpu_millis = 0;
  Bytes memory;
  int slots = 0;
  std::vector<KindIndex> kinds;     // Of its cards, by position.
  std::vector<int> numa;            // Of its cards, by position.
  std::vector<uint16_t> closeness;  // Of two cards: a × cards + b; 0: not said. Empty: nothing is.

  friend auto operator<=>(const NodeType&, const NodeType&) = default;
};

// How many claims a node holds by number of cards: [0] part of one card, [n] n cards (9: or more).
inline constexpr size_t kHoldShapes = 10;
using HoldShapes = std::array<uint16_t, kHoldShapes>;

// One thread at a time. All functions that take an index require one that this ledger gave.
class Ledger {
 public:
  NodeIndex AddNode(const NodeSpec& spec);
  // Equal demands give equal numbers.
  DemandIndex Intern(const Demand& demand);

  size_t nodes() const { return nodes_.size(); }
  size_t cards() const { return cards_.size(); }
  size_t types() const { return types_.size(); }
  size_t kinds() const { return kinds_.size(); }
  size_t demands() const { return demands_.size(); }
  const NodeState& node(NodeIndex node) const { return nodes_[node]; }
  const CardState& card(CardIndex card) const { return cards_[card]; }
  std::span<const CardState> CardsOf(NodeIndex node) const {
    return {cards_.data() + nodes_[node].first_card, nodes_[node].cards};
  }
  const NodeType& type(TypeIndex type) const { return types_[type]; }
  const CardKind& kind(KindIndex kind) const { return kinds_[kind]; }
  const Demand& demand(DemandIndex demand) const { return demands_[demand].demand; }
  const NodeId& node_id(NodeIndex node) const { return node_ids_[node]; }
  const GpuId& card_id(CardIndex card) const { return card_ids_[card]; }
  Service service(CardIndex card) const { return services_[card]; }
  int numa(CardIndex card) const { return numa_[card]; }
  const HoldShapes& shapes(NodeIndex node) const { return shapes_[node]; }
  const Binding& binding(BindingIndex binding) const { return bindings_[binding]; }
  size_t bindings() const { return bindings_.size(); }  // Also ended ones.
  const Need& NeedOf(DemandIndex demand, KindIndex kind) const {
    return demands_[demand].needs[kind];
  }
  // Whether the demand names cards to take or to leave.
  bool NamesCards(DemandIndex demand) const { return demands_[demand].names_cards; }
  // The place of the demand in `HoldShapes`.
  size_t ShapeOf(DemandIndex demand) const { return demands_[demand].shape; }

  // Whether one part of the demand fits the card now.
  bool CardFits(DemandIndex demand, CardIndex index) const {
    return CardFits(demands_[demand], index);
  }
  // Whether the node is in service and has the CPU, main memory and slots, cards apart.
  bool RoomBesideCards(DemandIndex demand, NodeIndex node) const {
    return RoomBesideCards(demands_[demand].demand, node);
  }
  // Whether the demand fits the node now, all cards together.
  bool Fits(DemandIndex demand, NodeIndex node) const { return Fits(demands_[demand], node); }
  // Whether it would fit a node of that type that is empty and in service, names apart.
  bool FitsEmpty(DemandIndex demand, TypeIndex type) const;

  // Takes what the demand needs. Requires: it fits there.
  BindingIndex Bind(DemandIndex demand, const Placement& placement);
  // Takes what is named, whether it fits or not: for what is held already when the fleet is read.
  BindingIndex BindHeld(DemandIndex demand, NodeIndex node, std::vector<Held> held);
  // Requires: live.
  void Release(BindingIndex binding);
  // What Bind would take of the card.
  Held Take(DemandIndex demand, CardIndex card) const;

  // Whether a demand that is not interned fits some node now.
  std::optional<NodeIndex> FirstFit(const Demand& demand) const;
  // The node's cards that fit such a demand one by one; none if the node has too little beside.
  std::vector<CardIndex> FittingCards(const Demand& demand, NodeIndex node) const;

  void SetService(CardIndex card, Service service);
  void SetCardOpen(CardIndex card, bool open) {
    SetService(card, open ? Service::kOpen : Service::kCordoned);
  }
  void SetNodeOpen(NodeIndex node, bool open);

  // Every change of a node is one entry of the log. Positions start at 1. `now` grows without
  // bound; entries before `kept_from` are gone.
  uint64_t now() const { return log_base_ + log_.size(); }
  uint64_t kept_from() const { return log_base_; }
  std::span<const NodeIndex> ChangesSince(uint64_t then) const {
    return {log_.data() + (then - log_base_), log_.size() - (then - log_base_)};
  }

 private:
  struct DemandRecord {
    Demand demand;
    bool names_cards = false;
    size_t shape = 0;
    std::vector<Need> needs;  // By kind.
  };

  bool CardFits(const DemandRecord& record, CardIndex index) const {
    const CardState& card = cards_[index];
    return NeedFits(record.needs[card.kind], card) &&
           (!record.names_cards || TakesName(record.demand, card_ids_[index]));
  }
  bool RoomBesideCards(const Demand& asked, NodeIndex node) const;
  bool Fits(const DemandRecord& record, NodeIndex node) const;

  bool EnoughOnOneNuma(const DemandRecord& record, NodeIndex node) const;
  KindIndex InternKind(const CardKind& kind);
  DemandRecord ResolveAll(const Demand& demand) const;
  void Hold(const Binding& binding, int sign);
  void Changed(NodeIndex node);

  std::vector<NodeState> nodes_;
  std::vector<CardState> cards_;
  std::vector<Service> services_;
  std::vector<int> numa_;
  std::vector<HoldShapes> shapes_;
  std::vector<NodeId> node_ids_;
  std::vector<GpuId> card_ids_;
  std::vector<CardKind> kinds_;
  std::vector<NodeType> types_;
  std::vector<DemandRecord> demands_;
  std::map<CardKind, KindIndex> kind_of_;
  std::map<NodeType, TypeIndex> type_of_;
  std::map<Demand, DemandIndex> demand_of_;
  std::vector<Binding> bindings_;
  std::vector<BindingIndex> free_bindings_;
  std::vector<NodeIndex> log_;
  uint64_t log_base_ = 1;
};

}  // namespace sluice::scheduler
