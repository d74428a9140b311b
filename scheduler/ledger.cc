// SPDX-License-Identifier: Apache-2.0
#include "scheduler/ledger.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"

namespace sluice::scheduler {
namespace {

// Longer than any index is likely to lag behind; who lags more looks at every node's version.
constexpr size_t kLogMax = 1 << 16;

// In double: bytes × 1000 passes 64 bits for absurd sizes, and a thousandth is all that counts.
int32_t Millis(int64_t part, int64_t all) {
  if (part <= 0 || all <= 0) return 0;
  if (part < (int64_t{1} << 53) && all < (int64_t{1} << 53)) {
    return static_cast<int32_t>(part * 1000 / all);
  }
  return static_cast<int32_t>(1000.0 * static_cast<double>(part) / static_cast<double>(all));
}

size_t ShapeOfDemand(const Demand& demand) {
  if (!demand.whole && demand.count == 1) return 0;
  return std::min(static_cast<size_t>(std::max(demand.count, 0)), kHoldShapes - 1);
}

int64_t RoundUp(int64_t value, int64_t unit) {
  return unit > 0 && value % unit != 0 ? value + (unit - value % unit) : value;
}

// A card whose pieces have places is there to be divided.
Service ServiceOfCard(const CardSpec& card) {
  const bool divided = card.mode == GpuMode::kPartitioned && HasPlaces(card.kind.cut);
  return ServiceOf(divided ? GpuMode::kShared : card.mode, card.health);
}

NodeType TypeOf(const NodeSpec& spec) {
  NodeType type{spec.cpu_millis, spec.memory, spec.slots, {}, {}, {}};
  const size_t cards = spec.cards.size();
  for (const CardSpec& card : spec.cards) type.numa.push_back(card.numa);
  if (!spec.links.empty()) type.closeness.resize(cards * cards);
  for (const Link& link : spec.links) {
    const auto a = static_cast<size_t>(link.a);
    const auto b = static_cast<size_t>(link.b);
    SLUICE_CHECK(a < cards && b < cards && a != b);
    SLUICE_CHECK(link.closeness > 0 && link.closeness < (1 << 16));
    type.closeness[a * cards + b] = static_cast<uint16_t>(link.closeness);
    type.closeness[b * cards + a] = static_cast<uint16_t>(link.closeness);
  }
  return type;
}

// Makes the need one of the pieces that cards of this kind are cut into. False: there is none that
// suffices, nor may the card be given whole instead.
bool TakePiece(const Demand& demand, const CardKind& kind, Need& need) {
  const bool places = HasPlaces(kind.cut);
  if (demand.whole) return !places && demand.piece.empty();
  const Piece* piece =
      PieceFor(kind.cut, Bytes(need.memory), ComputeMillis(need.compute), demand.piece);
  if (piece == nullptr) {
    if (places || !demand.piece.empty()) return false;
    // More than the largest piece is the whole card.
    need.memory = kind.memory.value();
    need.compute = static_cast<int32_t>(kind.compute.value());
    need.idle = true;
    return true;
  }
  need.memory = piece->memory.value();
  need.compute = static_cast<int32_t>(piece->compute.value());
  need.starts = piece->starts;
  need.width = piece->width;
  return true;
}

}  // namespace

Service ServiceOf(GpuMode mode, GpuHealth health) {
  switch (mode) {
    case GpuMode::kShared:
      break;
    case GpuMode::kWhole:
      return Service::kWhole;
    case GpuMode::kPassthrough:
      return Service::kPassthrough;
    case GpuMode::kPartitioned:
      return Service::kPartitioned;
    case GpuMode::kMoving:
      return Service::kMoving;
    case GpuMode::kCordoned:
      return Service::kCordoned;
    case GpuMode::kFailed:
      return Service::kFailed;
  }
  if (health == GpuHealth::kHealthy) return Service::kOpen;
  return health == GpuHealth::kStale ? Service::kStale : Service::kUnhealthy;
}

NodeIndex Ledger::AddNode(const NodeSpec& spec) {
  SLUICE_CHECK(spec.cards.size() <= kCardsPerNodeMax);
  NodeType type = TypeOf(spec);
  NodeState node{.cpu_free = spec.cpu_millis,
                 .memory_free = spec.memory.value(),
                 .slots_free = spec.slots,
                 .first_card = static_cast<CardIndex>(cards_.size()),
                 .cards = static_cast<uint16_t>(spec.cards.size()),
                 .open = !spec.cordoned,
                 .version = spec.cordoned ? 1U : 0U};
  for (const CardSpec& card : spec.cards) {
    const KindIndex kind = InternKind(card.kind);
    const Service service = ServiceOfCard(card);
    type.kinds.push_back(kind);
    cards_.push_back({.memory_free = card.kind.memory.value(),
                      .compute_free = static_cast<int32_t>(card.kind.compute.value()),
                      .memory_millis = 1000,
                      .slots_free = card.kind.slots,
                      .kind = static_cast<uint16_t>(kind),
                      .open = service == Service::kOpen});
    services_.push_back(service);
    numa_.push_back(card.numa);
    if (!cards_.back().open) node.version = 1;
    card_ids_.push_back(card.id);
  }
  const auto [at, fresh] = type_of_.try_emplace(type, static_cast<TypeIndex>(types_.size()));
  if (fresh) types_.push_back(std::move(type));
  node.type = at->second;
  nodes_.push_back(node);
  shapes_.emplace_back();
  node_ids_.push_back(spec.id);
  return static_cast<NodeIndex>(nodes_.size() - 1);
}

KindIndex Ledger::InternKind(const CardKind& kind) {
  const auto [at, fresh] = kind_of_.try_emplace(kind, static_cast<KindIndex>(kinds_.size()));
  if (fresh) {
    SLUICE_CHECK(kinds_.size() < (1U << 16));
    kinds_.push_back(kind);
    for (DemandRecord& record : demands_) record.needs.push_back(NeedOn(record.demand, kind));
  }
  return at->second;
}

DemandIndex Ledger::Intern(const Demand& demand) {
  const auto [at, fresh] =
      demand_of_.try_emplace(demand, static_cast<DemandIndex>(demands_.size()));
  if (fresh) {
    demands_.push_back(ResolveAll(demand));
  }
  return at->second;
}

Ledger::DemandRecord Ledger::ResolveAll(const Demand& demand) const {
  DemandRecord record{.demand = demand,
                      .names_cards = !demand.only.empty() || !demand.never.empty(),
                      .shape = ShapeOfDemand(demand)};
  for (const CardKind& kind : kinds_) record.needs.push_back(NeedOn(demand, kind));
  return record;
}

Need NeedOn(const Demand& demand, const CardKind& kind) {
  Need need;
  const int64_t all = kind.memory.value();
  const auto capacity = static_cast<int32_t>(kind.compute.value());
  need.memory = demand.memory_percent > 0
                    ? all / 100 * demand.memory_percent + all % 100 * demand.memory_percent / 100
                    : demand.memory.value();
  need.memory = RoundUp(std::min(need.memory, all + 1), kind.cut.memory_unit.value());
  const bool large_enough = need.memory <= all;
  if (demand.whole) need.memory = all;
  need.idle = demand.whole || demand.idle_cards;
  const int64_t asked = demand.by_memory ? 0 : demand.guarantee.value();
  need.compute = demand.exclusive || demand.whole
                     ? capacity
                     : static_cast<int32_t>(RoundUp(std::min<int64_t>(asked, capacity + 1),
                                                    kind.cut.compute_unit.value()));
  const bool cut = kind.cut.pieces.empty() ? demand.piece.empty() : TakePiece(demand, kind, need);
  need.memory_millis = Millis(std::min(need.memory, all), all);
  need.compute_wish = need.compute;
  if (demand.by_memory && !demand.whole && kind.cut.pieces.empty()) {
    need.compute = 0;
    need.compute_wish = Millis(std::min(need.memory, all), all) * std::min(capacity, 1000) / 1000;
    if (demand.cap > ComputeMillis(0)) {
      need.compute_wish =
          static_cast<int32_t>(std::min<int64_t>(need.compute_wish, demand.cap.value()));
    }
  }
  need.admitted = large_enough && cut && need.compute <= capacity &&
                  (demand.vendor.empty() || demand.vendor == kind.vendor) &&
                  (demand.pool.empty() || demand.pool == kind.pool) &&
                  (demand.models.empty() || std::ranges::binary_search(demand.models, kind.model));
  return need;
}

bool TakesName(const Demand& demand, const GpuId& card) {
  return (demand.only.empty() || std::ranges::binary_search(demand.only, card)) &&
         !std::ranges::binary_search(demand.never, card);
}

bool Ledger::RoomBesideCards(const Demand& asked, NodeIndex index) const {
  const NodeState& node = nodes_[index];
  return node.open && node.cpu_free >= asked.cpu_millis && node.slots_free > 0 &&
         node.memory_free >= asked.main_memory.value() && node.cards >= asked.count;
}

bool Ledger::Fits(const DemandRecord& record, NodeIndex index) const {
  if (!RoomBesideCards(record.demand, index)) return false;
  if (record.demand.one_numa && record.demand.count > 1) return EnoughOnOneNuma(record, index);
  const NodeState& node = nodes_[index];
  int missing = record.demand.count;
  for (CardIndex card = node.first_card; missing > 0 && card < node.first_card + node.cards;
       ++card) {
    missing -= CardFits(record, card) ? 1 : 0;
  }
  return missing <= 0;
}

bool Ledger::EnoughOnOneNuma(const DemandRecord& record, NodeIndex index) const {
  const NodeState& node = nodes_[index];
  std::map<int, int> fitting;
  for (CardIndex card = node.first_card; card < node.first_card + node.cards; ++card) {
    if (CardFits(record, card) && ++fitting[numa_[card]] == record.demand.count) return true;
  }
  return false;
}

std::optional<NodeIndex> Ledger::FirstFit(const Demand& demand) const {
  const DemandRecord record = ResolveAll(demand);
  for (NodeIndex node = 0; node < nodes_.size(); ++node) {
    if (Fits(record, node)) return node;
  }
  return std::nullopt;
}

std::vector<CardIndex> Ledger::FittingCards(const Demand& demand, NodeIndex index) const {
  std::vector<CardIndex> fitting;
  DemandRecord record = ResolveAll(demand);
  record.demand.count = 1;
  if (!RoomBesideCards(record.demand, index)) return fitting;
  const NodeState& node = nodes_[index];
  for (CardIndex card = node.first_card; card < node.first_card + node.cards; ++card) {
    if (CardFits(record, card)) fitting.push_back(card);
  }
  return fitting;
}

bool Ledger::FitsEmpty(DemandIndex demand, TypeIndex index) const {
  const NodeType& type = types_[index];
  const DemandRecord& record = demands_[demand];
  const Demand& asked = record.demand;
  if (type.cpu_millis < asked.cpu_millis || type.memory < asked.main_memory || type.slots < 1) {
    return false;
  }
  std::map<int, int> admitted;  // By NUMA node, where it counts.
  int most = 0;
  for (size_t i = 0; i < type.kinds.size(); ++i) {
    if (!record.needs[type.kinds[i]].admitted) continue;
    most = std::max(most, ++admitted[asked.one_numa ? type.numa[i] : 0]);
  }
  return most >= asked.count;
}

Held Ledger::Take(DemandIndex demand, CardIndex index) const {
  const CardState& card = cards_[index];
  const Need& need = demands_[demand].needs[card.kind];
  Held held{index, Bytes(need.memory), ComputeMillis(ComputeTaken(need, card)), 0};
  if (need.width > 0) {
    const auto places = ChoosePlaces(kinds_[card.kind].cut, need.starts, need.width, card.taken);
    held.places = places.value_or(0);
  }
  return held;
}

BindingIndex Ledger::Bind(DemandIndex demand, const Placement& placement) {
  std::vector<Held> held;
  held.reserve(placement.cards.size());
  for (const CardIndex card : placement.cards) held.push_back(Take(demand, card));
  return BindHeld(demand, placement.node, std::move(held));
}

BindingIndex Ledger::BindHeld(DemandIndex demand, NodeIndex node, std::vector<Held> held) {
  BindingIndex index = static_cast<BindingIndex>(bindings_.size());
  if (free_bindings_.empty()) {
    bindings_.emplace_back();
  } else {
    index = free_bindings_.back();
    free_bindings_.pop_back();
  }
  bindings_[index] = {demand, node, true, std::move(held)};
  Hold(bindings_[index], 1);
  return index;
}

void Ledger::Release(BindingIndex index) {
  SLUICE_CHECK(bindings_[index].live);
  Hold(bindings_[index], -1);
  bindings_[index].live = false;
  free_bindings_.push_back(index);
}

void Ledger::Hold(const Binding& binding, int sign) {
  const DemandRecord& record = demands_[binding.demand];
  NodeState& node = nodes_[binding.node];
  node.cpu_free -= sign * record.demand.cpu_millis;
  node.memory_free -= sign * record.demand.main_memory.value();
  node.slots_free -= sign;
  if (record.demand.count > 0) {
    uint16_t& holders = shapes_[binding.node][record.shape];
    holders = static_cast<uint16_t>(holders + sign);
  }
  for (const Held& part : binding.held) {
    CardState& card = cards_[part.card];
    card.memory_free -= sign * part.memory.value();
    card.compute_free -= static_cast<int32_t>(sign * part.compute.value());
    card.memory_millis = Millis(card.memory_free, kinds_[card.kind].memory.value());
    card.holders += sign;
    card.taken ^= part.places;
    card.slots_free -= sign;
  }
  Changed(binding.node);
}

void Ledger::SetService(CardIndex card, Service service) {
  if (services_[card] == service) return;
  services_[card] = service;
  cards_[card].open = service == Service::kOpen;
  // Of nodes with the same first card, all but the last have no cards.
  const auto after = std::ranges::upper_bound(nodes_, card, {}, &NodeState::first_card);
  Changed(static_cast<NodeIndex>(after - nodes_.begin() - 1));
}

void Ledger::SetNodeOpen(NodeIndex node, bool open) {
  if (nodes_[node].open == open) return;
  nodes_[node].open = open;
  Changed(node);
}

void Ledger::Changed(NodeIndex node) {
  ++nodes_[node].version;
  if (log_.size() >= 2 * kLogMax) {
    log_.erase(log_.begin(), log_.begin() + kLogMax);
    log_base_ += kLogMax;
  }
  nodes_[node].changed_at = now();
  log_.push_back(node);
}

}  // namespace sluice::scheduler
