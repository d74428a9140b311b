// SPDX-License-Identifier: Apache-2.0
#include "scheduler/sluice_policy.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

namespace sluice::scheduler {
namespace {

// The steps of preference, far enough apart for what is added to them.
constexpr Score kOwnBerth = 30'000'000;
constexpr Score kFreeRoom = 20'000'000;   // + 0 to 100.
constexpr Score kLikeBerth = 10'000'000;  // - what the berth has too much, below 2,000,000.

// One node's claims and open berths as bindings of the shadow ledger.
struct OpenBerth {
  Berth berth;
  BindingIndex held = 0;
};
struct Mirrored {
  BindingIndex held = 0;
  std::optional<Berth> berth;  // The one it took.
};

class Sluice final : public Policy {
 public:
  Sluice(Mix mix, Targets targets, SluiceLevers levers)
      : levers_(levers), targets_(std::move(targets)), mix_(std::move(mix)), fgd_(MakeFgd(mix_)) {}

  std::string_view name() const override { return "sluice"; }
  bool NodesAlike() const override { return false; }

  Score ScoreNode(const Ledger& ledger, DemandIndex demand, NodeIndex node) override {
    Follow(ledger);
    return Choose(ledger, demand, node).score;
  }

  void ChooseCards(const Ledger& ledger, DemandIndex demand, Placement& placement) override {
    Follow(ledger);
    const Choice choice = Choose(ledger, demand, placement.node);
    if (choice.berth) {
      CardsOfBerth(demand, open_[placement.node][*choice.berth], placement);
    } else if (choice.score >= kFreeRoom) {
      fgd_beside_berths_->ChooseCards(shadow_, demand, placement);
    } else {
      fgd_->ChooseCards(ledger, demand, placement);
    }
    Note(ledger, {demand, choice.berth, placement, {}});
  }

  void OnChosenByRule(const Ledger& ledger,
                      DemandIndex demand,
                      const Placement& placement) override {
    Follow(ledger);
    Note(ledger, {demand, std::nullopt, placement, {}});
  }

  void OnPlaced(const Ledger& ledger, DemandIndex demand, const Placement& placement) override {
    const bool as_chosen = chosen_.demand == demand && chosen_.placement == placement;
    if (ledger.now() != seen_ + 1 || !as_chosen) return;  // Follow() will read all of it anew.
    seen_ = ledger.now();
    std::vector<OpenBerth>& open = open_[placement.node];
    Mirrored claim;
    if (chosen_.berth) {
      claim.berth = open[*chosen_.berth].berth;
      shadow_.Release(open[*chosen_.berth].held);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(*chosen_.berth));
    }
    claim.held = shadow_.BindHeld(demand, placement.node, chosen_.held);
    claims_[placement.node].push_back(claim);
    if (Overfull(placement.node) || OrderMatters(placement.node)) Reopen(placement.node);
  }

  void OnReleased(const Ledger& ledger, const Binding& binding) override {
    if (ledger.now() != seen_ + 1) return;
    seen_ = ledger.now();
    std::vector<Mirrored>& claims = claims_[binding.node];
    const auto same = std::ranges::find_if(claims, [&](const Mirrored& claim) {
      const Binding& held = shadow_.binding(claim.held);
      return held.demand == binding.demand && held.held == binding.held;
    });
    if (same == claims.end()) {
      seen_ = kNothingSeen;
      return;
    }
    shadow_.Release(same->held);
    if (same->berth) open_[binding.node].push_back({*same->berth, kNotHeld});
    claims.erase(same);
    Reopen(binding.node);
  }

 private:
  static constexpr uint64_t kNothingSeen = ~uint64_t{0};
  static constexpr BindingIndex kNotHeld = ~BindingIndex{0};

  struct Choice {
    Score score = kNoFit;
    std::optional<size_t> berth;  // Of the node's open ones.
  };
  struct Chosen {
    DemandIndex demand = 0;
    std::optional<size_t> berth;
    Placement placement;
    std::vector<Held> held;  // What it takes of the cards.
  };

  void Note(const Ledger& ledger, Chosen chosen) {
    for (const CardIndex card : chosen.placement.cards) {
      chosen.held.push_back(ledger.Take(chosen.demand, card));
    }
    chosen_ = std::move(chosen);
  }

  Choice Choose(const Ledger& ledger, DemandIndex demand, NodeIndex node) {
    if (levers_.own_berth) {
      const std::vector<OpenBerth>& open = open_[node];
      for (size_t i = 0; i < open.size(); ++i) {
        if (open[i].berth.demand == demand && BerthServes(ledger, demand, node, open[i])) {
          return {kOwnBerth, i};
        }
      }
    }
    if (levers_.free_room && shadow_.Fits(demand, node)) {
      return {kFreeRoom + fgd_beside_berths_->ScoreNode(shadow_, demand, node), std::nullopt};
    }
    if (levers_.like_berth) {
      if (const Choice alike = MostAlike(ledger, demand, node); alike.berth) return alike;
    }
    if (levers_.hold_back) return {};
    return {fgd_->ScoreNode(ledger, demand, node), std::nullopt};
  }

  Choice MostAlike(const Ledger& ledger, DemandIndex demand, NodeIndex node) const {
    Choice best;
    const std::vector<OpenBerth>& open = open_[node];
    for (size_t i = 0; i < open.size(); ++i) {
      const int32_t excess = Excess(demand, node, open[i].berth);
      if (excess < 0 || kLikeBerth - excess <= best.score) continue;
      if (BerthServes(ledger, demand, node, open[i])) best = {kLikeBerth - excess, i};
    }
    return best;
  }

  // How much more card the berth has than the demand needs, then how different their CPU and main
  // memory are; -1 if it is for another number of cards or too small.
  int32_t Excess(DemandIndex demand, NodeIndex node, const Berth& berth) const {
    const Demand& asked = shadow_.demand(demand);
    const Demand& kept = shadow_.demand(berth.demand);
    if (asked.count != kept.count || asked.whole != kept.whole) return -1;
    int32_t memory = 0;
    if (berth.card != Berth::kAnyCard) {
      const KindIndex kind = shadow_.card(berth.card).kind;
      const Need& need = shadow_.NeedOf(demand, kind);
      const Need& has = shadow_.NeedOf(berth.demand, kind);
      if (!need.admitted || need.memory > has.memory || need.compute > has.compute) return -1;
      memory = has.memory_millis - need.memory_millis;
    } else if (asked.count > 0 && !asked.whole) {
      return -1;
    }
    const NodeState& state = shadow_.node(node);
    if (state.cpu_free + kept.cpu_millis < asked.cpu_millis ||
        state.memory_free + kept.main_memory.value() < asked.main_memory.value()) {
      return -1;
    }
    const NodeType& type = shadow_.type(state.type);
    const int32_t beside =
        PartBetween(kept.cpu_millis, asked.cpu_millis, type.cpu_millis) +
        PartBetween(kept.main_memory.value(), asked.main_memory.value(), type.memory.value());
    return memory * 1'000 + std::min(beside, 999);
  }

  // The difference in thousandths of what such a node has.
  static int32_t PartBetween(int64_t a, int64_t b, int64_t all) {
    const double part = static_cast<double>(a > b ? a - b : b - a) / static_cast<double>(all);
    return static_cast<int32_t>(std::min(part, 1.0) * 1'000);
  }

  // The berth's card must take the demand in the true ledger, too: it may be out of service.
  bool BerthServes(const Ledger& ledger,
                   DemandIndex demand,
                   NodeIndex node,
                   const OpenBerth& open) const {
    const Demand& asked = ledger.demand(demand);
    if (asked.count == 0) return true;
    if (open.berth.card != Berth::kAnyCard) return ledger.CardFits(demand, open.berth.card);
    // Berths for several cards have them from their binding; all must do.
    return std::ranges::all_of(shadow_.binding(open.held).held, [&](const Held& part) {
      return ledger.CardFits(demand, part.card) && ledger.node(node).open;
    });
  }

  void CardsOfBerth(DemandIndex demand, const OpenBerth& open, Placement& placement) {
    if (shadow_.demand(demand).count == 0) return;
    if (open.berth.card != Berth::kAnyCard) {
      placement.cards.push_back(open.berth.card);
      return;
    }
    for (const Held& part : shadow_.binding(open.held).held) placement.cards.push_back(part.card);
  }

  // Brings the shadow up to the ledger when it is the first time, or when something changed that
  // nobody told: cards and nodes that came or went out of service.
  void Follow(const Ledger& ledger) {
    if (ledger.now() == seen_ && ledger.nodes() == shadow_.nodes()) {
      KnowDemands(ledger);
      return;
    }
    if (open_.empty()) {
      open_.resize(ledger.nodes());
      for (NodeIndex node = 0; node < targets_.by_node.size() && node < ledger.nodes(); ++node) {
        for (const Berth& berth : targets_.by_node[node]) open_[node].push_back({berth, kNotHeld});
      }
    }
    open_.resize(ledger.nodes());
    shadow_ = ledger;
    // Afresh as well: it may keep what it knows of a node by the node's version, and those of the
    // shadow start anew here.
    fgd_beside_berths_ = MakeFgd(mix_);
    claims_.assign(ledger.nodes(), {});
    for (BindingIndex i = 0; i < ledger.bindings(); ++i) {
      if (ledger.binding(i).live) claims_[ledger.binding(i).node].push_back({i, std::nullopt});
    }
    for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
      for (OpenBerth& open : open_[node]) open.held = kNotHeld;
      Reopen(node);
    }
    seen_ = ledger.now();
  }

  // Demands are numbered in the order of interning, so that equal tables give equal numbers.
  void KnowDemands(const Ledger& ledger) {
    for (size_t i = shadow_.demands(); i < ledger.demands(); ++i) {
      shadow_.Intern(ledger.demand(static_cast<DemandIndex>(i)));
    }
  }

  // Whether a berth takes compute as far as it is free, whichever cards are the tightest, or
  // whichever places are left: then the order of holding matters, and it is always claims first, as
  // in Follow.
  bool OrderMatters(NodeIndex node) const {
    const auto& kinds = shadow_.type(shadow_.node(node).type).kinds;
    return std::ranges::any_of(kinds,
                               [&](KindIndex kind) { return HasPlaces(shadow_.kind(kind).cut); }) ||
           std::ranges::any_of(open_[node], [&](const OpenBerth& open) {
             const Demand& demand = shadow_.demand(open.berth.demand);
             return demand.by_memory || (demand.count > 0 && open.berth.card == Berth::kAnyCard);
           });
  }

  bool Overfull(NodeIndex node) const {
    const NodeState& state = shadow_.node(node);
    return state.cpu_free < 0 || state.memory_free < 0 || state.slots_free < 0 ||
           std::ranges::any_of(shadow_.CardsOf(node),
                               [&](const CardState& card) {
                                 return card.memory_free < 0 || card.compute_free < 0 ||
                                        card.slots_free < 0;
                               }) ||
           WholeShared(node);
  }

  // Whether a berth for idle cards and a claim are on one card.
  bool WholeShared(NodeIndex node) const {
    return std::ranges::any_of(open_[node], [&](const OpenBerth& open) {
      const Binding& binding = shadow_.binding(open.held);
      return std::ranges::any_of(binding.held, [&](const Held& part) {
        const CardState& card = shadow_.card(part.card);
        return card.holders > 1 && shadow_.NeedOf(binding.demand, card.kind).idle;
      });
    });
  }

  // Holds the node's berths afresh, in their order; those that no longer fit are dropped.
  void Reopen(NodeIndex node) {
    std::vector<OpenBerth>& open = open_[node];
    for (const OpenBerth& berth : open) {
      if (berth.held != kNotHeld) shadow_.Release(berth.held);
    }
    size_t kept = 0;
    for (const OpenBerth& was : open) {
      Berth berth = was.berth;
      if (!shadow_.Fits(berth.demand, node)) continue;
      Placement placement{.node = node, .cards = {}};
      if (berth.card != Berth::kAnyCard && shadow_.CardFits(berth.demand, berth.card)) {
        placement.cards.push_back(berth.card);
      } else {
        ChooseTightestCards(shadow_, berth.demand, placement);
        if (berth.card != Berth::kAnyCard) berth.card = placement.cards.front();
      }
      open[kept++] = {berth, shadow_.Bind(berth.demand, placement)};
    }
    open.resize(kept);
  }

  SluiceLevers levers_;
  Targets targets_;
  Mix mix_;
  std::unique_ptr<Policy> fgd_;
  std::unique_ptr<Policy> fgd_beside_berths_;  // On the shadow.
  // The ledger as if each open berth were held.
  Ledger shadow_;
  uint64_t seen_ = kNothingSeen;
  std::vector<std::vector<OpenBerth>> open_;   // By node.
  std::vector<std::vector<Mirrored>> claims_;  // By node.
  Chosen chosen_;
};

}  // namespace

std::unique_ptr<Policy> MakeSluice(Mix mix, Targets targets, SluiceLevers levers) {
  return std::make_unique<Sluice>(std::move(mix), std::move(targets), levers);
}

}  // namespace sluice::scheduler
