// SPDX-License-Identifier: Apache-2.0
#include "scheduler/internal/fleet.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "scheduler/internal/bounds.h"
#include "scheduler/ledger.h"
#include "scheduler/placer.h"
#include "scheduler/policy.h"
#include "scheduler/sluice_policy.h"

namespace sluice::scheduler::internal {
namespace {

// Groups of exactly `count` cards of one machine: the first ones of each, in the order given.
std::vector<std::vector<size_t>> GroupsByNode(std::span<const Card> cards,
                                              const std::vector<size_t>& ordered,
                                              int count) {
  std::vector<std::vector<size_t>> groups;
  std::map<NodeId, std::vector<size_t>> by_node;
  for (const size_t index : ordered) {
    std::vector<size_t>& group = by_node[cards[index].gpu->node];
    if (group.size() == static_cast<size_t>(count)) continue;
    group.push_back(index);
  }
  for (auto& [node, group] : by_node) {
    if (group.size() == static_cast<size_t>(count)) groups.push_back(std::move(group));
  }
  return groups;
}

// The cards as a ledger, machines and their cards by id; `request`: as it finds them within the
// bounds of their pool.
struct CardLedger {
  explicit CardLedger(std::span<const Card> cards, const ClaimRequest* request = nullptr) {
    for (size_t i = 0; i < cards.size(); ++i) order.push_back(i);
    std::ranges::sort(order, {}, [&](size_t i) {
      return std::tuple(std::cref(cards[i].gpu->node), std::cref(cards[i].gpu->id));
    });
    NodeSpec node;
    for (size_t at = 0; at < order.size(); ++at) {
      const Gpu& gpu = *cards[order[at]].gpu;
      if (at > 0 && gpu.node != node.id) Add(cards, node);
      node.id = gpu.node;
      node.cards.push_back({.id = gpu.id,
                            .kind = KindOf(gpu),
                            .mode = gpu.mode,
                            .health = gpu.health,
                            .numa = gpu.numa_node});
    }
    if (!order.empty()) Add(cards, node);
    if (request != nullptr) Close(ClosedTo(cards, *request), request->whole);
  }

  // Berths on cards that are not here are left out.
  Targets TargetsOf(const std::vector<CardBerth>& berths) {
    Targets targets;
    targets.by_node.resize(ledger.nodes());
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      const NodeState state = ledger.node(node);
      for (const CardBerth& berth : berths) {
        for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
          if (ledger.card_id(card) != berth.gpu) continue;
          targets.by_node[node].push_back({ledger.Intern(ToDemand(berth.request)), card});
        }
      }
    }
    return targets;
  }

  Ledger ledger;
  std::vector<size_t> order;  // By card of the ledger: its place in `cards`.

 private:
  void Add(std::span<const Card> cards, NodeSpec& spec) {
    const NodeIndex node = ledger.AddNode(spec);
    const DemandIndex share = ledger.Intern({.count = 1});
    const NodeState state = ledger.node(node);
    for (CardIndex index = state.first_card; index < state.first_card + state.cards; ++index) {
      const Card& card = cards[order[index]];
      // The first holder stands for what all of them hold.
      for (size_t i = 0; i < card.shares; ++i) {
        ledger.BindHeld(share,
                        node,
                        {{index,
                          i == 0 ? card.memory_held : Bytes(0),
                          i == 0 ? card.compute_held : ComputeMillis(0)}});
      }
      if (card.kept) ledger.SetService(index, Service::kKept);
    }
    spec.cards.clear();
  }

  void Close(const std::vector<bool>& closed, bool whole) {
    if (closed.empty()) return;
    for (size_t at = 0; at < order.size(); ++at) {
      if (!closed[order[at]]) continue;
      ledger.SetService(static_cast<CardIndex>(at),
                        whole ? Service::kForShares : Service::kForWhole);
    }
  }
};

// Whether enough cards of one machine have room, which all policies need: a quick look before the
// cards are put to one.
bool EnoughRoom(std::span<const Card> cards, const ClaimRequest& request) {
  const Demand demand = ToDemand(request);
  const std::vector<Need> needs = NeedsOf(cards, demand);
  const int budget = BudgetFor(cards, request.whole);
  std::vector<int> found(cards.size(), 0);  // By the machine's first card.
  std::vector<int> idle(cards.size(), 0);
  return std::ranges::any_of(cards, [&](const Card& card) {
    return NeedFits(needs[card.like], StateOf(card)) && TakesName(demand, card.gpu->id) &&
           (card.shares > 0 || ++idle[card.mate] <= budget) && ++found[card.mate] >= request.count;
  });
}

bool SameKind(const Gpu& a, const Gpu& b) {
  return a.memory == b.memory && a.compute == b.compute && a.model == b.model &&
         a.vendor == b.vendor && a.pool == b.pool;
}

// The policy of the rules, with what they expect put into the ledger's terms.
std::unique_ptr<Policy> PolicyOn(CardLedger& fleet, const PlacementRules* rules) {
  if (rules == nullptr) return MakeTightestCard();
  if (rules->policy == PlacementPolicy::kBestFit) return MakeBestFit();
  if (rules->policy == PlacementPolicy::kPacking) return MakePacking();
  if (rules->policy == PlacementPolicy::kTightestCard || rules->expected.empty()) {
    return MakeTightestCard();
  }
  Mix mix;
  for (const ExpectedRequest& one : rules->expected) {
    mix.counts.emplace_back(fleet.ledger.Intern(ToDemand(one.request)), one.count);
  }
  if (rules->policy == PlacementPolicy::kFgd) return MakeFgd(std::move(mix));
  return MakeSluice(std::move(mix), fleet.TargetsOf(rules->berths));
}

// Cards whose coming free does not help a request that the bounds hold back: beside the idle ones
// that are closed to it, for whole cards those that carry shares, for shares those given out whole.
std::vector<bool> BeyondBudget(std::span<const Card> cards, const ClaimRequest& request) {
  std::vector<bool> beyond = ClosedTo(cards, request);
  if (beyond.empty()) return std::vector<bool>(cards.size(), false);
  for (size_t i = 0; i < cards.size(); ++i) {
    if (cards[i].shares > 0 && (cards[i].wholes > 0) != request.whole) beyond[i] = true;
  }
  return beyond;
}

}  // namespace

CardKind KindOf(const Gpu& gpu) {
  return {.vendor = gpu.vendor,
          .model = gpu.model,
          .pool = gpu.pool,
          .memory = gpu.memory,
          .compute = gpu.compute};
}

CardState StateOf(const Card& card) {
  return {.memory_free = MemoryFree(card).value(),
          .compute_free = static_cast<int32_t>(ComputeFree(card).value()),
          .holders = static_cast<int32_t>(card.shares),
          .slots_free = 1,
          .open = card.open && !card.kept};
}

std::vector<Card> ToCards(const Snapshot& snapshot) {
  std::vector<Card> cards = ToCards(snapshot.gpus);
  for (Card& card : cards) {
    card.rules = &snapshot.rules;
    card.bounds = snapshot.rules.bounds;
  }
  return cards;
}

std::vector<Card> ToCards(std::span<const Gpu> gpus) {
  std::vector<Card> cards;
  cards.reserve(gpus.size());
  for (const Gpu& gpu : gpus) {
    Card card{.gpu = &gpu, .open = OpenToShares(gpu)};
    for (const Share& share : gpu.shares) {
      Take(card, ToAllocation(gpu.id, share));
    }
    cards.push_back(card);
  }
  std::map<std::reference_wrapper<const NodeId>, size_t, std::less<NodeId>> first_of;
  std::vector<size_t> kinds;
  for (size_t i = 0; i < cards.size(); ++i) {
    const Gpu& gpu = *cards[i].gpu;
    cards[i].mate = i > 0 && gpu.node == cards[i - 1].gpu->node
                        ? cards[i - 1].mate
                        : first_of.try_emplace(gpu.node, i).first->second;
    // There are few kinds.
    const auto known =
        std::ranges::find_if(kinds, [&](size_t first) { return SameKind(gpu, *cards[first].gpu); });
    cards[i].like = known == kinds.end() ? i : *known;
    if (known == kinds.end()) kinds.push_back(i);
  }
  return cards;
}

std::vector<Need> NeedsOf(std::span<const Card> cards, const Demand& demand) {
  std::vector<Need> needs(cards.size());
  for (size_t i = 0; i < cards.size(); ++i) {
    if (cards[i].like == i) needs[i] = NeedOn(demand, KindOf(*cards[i].gpu));
  }
  return needs;
}

bool EverRoom(std::span<const Card> cards, const ClaimRequest& request) {
  const Demand demand = ToDemand(request);
  const std::vector<Need> needs = NeedsOf(cards, demand);
  std::vector<int> found(cards.size(), 0);  // By the machine's first card.
  return std::ranges::any_of(cards, [&](const Card& card) {
    return needs[card.like].admitted && TakesName(demand, card.gpu->id) &&
           ++found[card.mate] >= request.count;
  });
}

Bytes MemoryFree(const Card& card) {
  return card.open ? std::max(card.gpu->memory - card.memory_held, Bytes(0)) : Bytes(0);
}

ComputeMillis ComputeFree(const Card& card) {
  return card.open ? std::max(card.gpu->compute - card.compute_held, ComputeMillis(0))
                   : ComputeMillis(0);
}

bool Admits(const ClaimRequest& request, const Gpu& gpu) {
  if (!request.vendor.empty() && request.vendor != gpu.vendor) return false;
  if (!request.gpu_model.empty() && request.gpu_model != gpu.model) return false;
  return request.only.empty() || std::ranges::find(request.only, gpu.id) != request.only.end();
}

bool FitsEmpty(const ClaimRequest& request, const Gpu& gpu) {
  const Demand demand = ToDemand(request);
  return NeedOn(demand, KindOf(gpu)).admitted && TakesName(demand, gpu.id);
}

Allocation AllocationOn(const ClaimRequest& request, const Card& card) {
  const Need need = NeedOn(ToDemand(request), KindOf(*card.gpu));
  return {card.gpu->id,
          Bytes(need.memory),
          ComputeMillis(ComputeTaken(need, StateOf(card))),
          request.whole ? ComputeMillis(0) : request.cap,
          request.whole};
}

void Take(Card& card, const Allocation& allocation) {
  card.memory_held += allocation.memory;
  card.compute_held += allocation.guarantee;
  ++card.shares;
  card.wholes += allocation.whole ? 1 : 0;
}

void GiveBack(Card& card, const Share& share) {
  card.memory_held -= share.memory;
  card.compute_held -= share.guarantee;
  --card.shares;
  card.wholes -= share.whole ? 1 : 0;
}

std::optional<std::vector<size_t>> BestFit(std::span<const Card> cards,
                                           const ClaimRequest& request) {
  if (request.count < 1 || !EnoughRoom(cards, request)) return std::nullopt;
  CardLedger fleet(cards, &request);
  const DemandIndex demand = fleet.ledger.Intern(ToDemand(request));
  const std::unique_ptr<Policy> policy = PolicyOn(fleet, cards.empty() ? nullptr : cards[0].rules);
  Placement placement;
  if (!ScanAll(fleet.ledger, *policy, demand, placement)) return std::nullopt;
  std::vector<size_t> chosen;
  for (const CardIndex card : placement.cards) chosen.push_back(fleet.order[card]);
  return chosen;
}

namespace {

// What stands beside a bound: its figure.
int64_t FigureOf(const CardBounds& bounds, Service service) {
  return service == Service::kForShares ? bounds.floor : bounds.ceiling;
}

}  // namespace

Explanation ExplainOn(std::span<const Card> cards, const ClaimRequest& request) {
  CardLedger fleet(cards, &request);
  Explanation explanation = Explain(fleet.ledger, fleet.ledger.Intern(ToDemand(request)));
  for (Finding& finding : explanation.findings) {
    if (finding.check == Check::kBounds) finding.most = FigureOf(cards[0].bounds, finding.service);
  }
  return explanation;
}

std::vector<CardVerdict> JudgeAll(std::span<const Card> cards, const ClaimRequest& request) {
  CardLedger fleet(cards, &request);
  const Ledger& ledger = fleet.ledger;
  const DemandIndex demand = fleet.ledger.Intern(ToDemand(request));
  std::vector<CardVerdict> verdicts;
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    const NodeState& state = ledger.node(node);
    for (CardIndex card = state.first_card; card < state.first_card + state.cards; ++card) {
      Verdict verdict = JudgeCard(ledger, demand, node, card);
      if (verdict.check == Check::kBounds) {
        verdict.free = FigureOf(cards[0].bounds, verdict.service);
      }
      verdicts.push_back({ledger.card_id(card), verdict});
    }
  }
  return verdicts;
}

std::vector<size_t> Soonest(std::span<const Card> cards, const ClaimRequest& request) {
  const Demand demand = ToDemand(request);
  const std::vector<Need> needs = NeedsOf(cards, demand);
  const std::vector<bool> beyond = BeyondBudget(cards, request);
  std::vector<size_t> possible;
  std::vector<Bytes> missing(cards.size());
  for (size_t i = 0; i < cards.size(); ++i) {
    const Need& need = needs[cards[i].like];
    const bool in_service = cards[i].open && !cards[i].kept;
    if (!in_service || !need.admitted || !TakesName(demand, cards[i].gpu->id)) continue;
    possible.push_back(i);
    missing[i] = std::max(Bytes(need.memory) - MemoryFree(cards[i]), Bytes(0));
  }
  std::ranges::sort(possible, {}, [&](size_t i) {
    return std::tuple(beyond[i], missing[i], cards[i].shares, std::cref(cards[i].gpu->id));
  });
  auto groups = GroupsByNode(cards, possible, request.count);
  if (groups.empty()) return {};
  const auto missing_together = [&](const std::vector<size_t>& group) {
    Bytes sum;
    int others = 0;
    for (const size_t i : group) {
      sum += missing[i];
      others += beyond[i] ? 1 : 0;
    }
    return std::tuple(others, sum, std::cref(cards[group[0]].gpu->id));
  };
  return *std::ranges::min_element(groups, {}, missing_together);
}

Bytes LargestTogether(std::vector<OnNode> cards, int count) {
  std::ranges::sort(cards, std::greater<>(), &OnNode::memory);
  std::map<NodeId, int> seen;
  for (const OnNode& card : cards) {
    if (++seen[card.node] == count) return card.memory;
  }
  return Bytes(0);
}

}  // namespace sluice::scheduler::internal

namespace sluice::scheduler {

Demand ToDemand(const ClaimRequest& request) {
  Demand demand{.count = request.count,
                .memory = request.memory,
                .guarantee = request.guarantee,
                .whole = request.whole,
                .by_memory = request.guarantee_by_memory,
                .cap = request.cap,
                .vendor = request.vendor,
                .only = request.only};
  if (!request.gpu_model.empty()) demand.models = {request.gpu_model};
  // Who has several cards for himself lets them work together.
  if (request.whole && request.count > 1) demand.card_rule = CardRule::kClosest;
  std::ranges::sort(demand.only);
  return demand;
}

Ledger ToLedger(const Snapshot& snapshot, bool with_shares) {
  std::vector<internal::Card> cards = internal::ToCards(snapshot.gpus);
  if (!with_shares) {
    for (internal::Card& card : cards) card.shares = 0;
  }
  return internal::CardLedger(cards).ledger;
}

}  // namespace sluice::scheduler
