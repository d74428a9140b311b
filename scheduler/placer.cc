// SPDX-License-Identifier: Apache-2.0
#include "scheduler/placer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "scheduler/rules.h"

namespace sluice::scheduler {
namespace {

constexpr size_t kBlock = 16;
// How many changes ahead the memory of a node is asked for: about as long as it takes to come.
constexpr size_t kAhead = 4;

Score BlockBest(const Score* block) {
  Score best = block[0];
  for (size_t i = 1; i < kBlock; ++i) best = std::max(best, block[i]);
  return best;
}

void Finish(const Ledger& ledger,
            Policy& policy,
            DemandIndex demand,
            std::span<const TypeBest> bests,
            Placement& placement) {
  const Demand& asked = ledger.demand(demand);
  placement.node = asked.node_rule == NodeRule::kPolicy ? policy.ChooseType(ledger, demand, bests)
                                                        : BestType(bests);
  placement.cards.clear();
  if (ChoosesCards(asked)) {
    ChooseByRule(ledger, demand, placement);
    policy.OnChosenByRule(ledger, demand, placement);
  } else {
    policy.ChooseCards(ledger, demand, placement);
  }
}

Score ScoreOn(const Ledger& ledger, Policy& policy, DemandIndex demand, NodeIndex node) {
  const Demand& asked = ledger.demand(demand);
  const bool own = asked.node_rule != NodeRule::kPolicy;
  const bool fits = policy.ScoreSeesCards() && !own && !asked.one_numa
                        ? ledger.RoomBesideCards(demand, node)
                        : ledger.Fits(demand, node);
  if (!fits) return kNoFit;
  return own ? ScoreByRule(ledger, demand, node) : policy.ScoreNode(ledger, demand, node);
}

}  // namespace

ScoreTree::ScoreTree(size_t places) {
  size_t count = std::max<size_t>(places, 1);
  size_t size = 0;
  do {
    const size_t blocks = (count + kBlock - 1) / kBlock;
    starts_.push_back(size);
    size += blocks * kBlock;
    count = blocks;
  } while (count > 1);
  starts_.push_back(size);
  scores_.assign(size + 1, kNoFit);
}

void ScoreTree::Set(size_t place, Score score) {
  Score was = std::exchange(scores_[place], score);
  for (size_t level = 1; level < starts_.size() && was != score; ++level) {
    place /= kBlock;
    Score& best = scores_[starts_[level] + place];
    if (was < best && score <= best) return;  // It neither was nor is the block's best.
    was = best;
    if (score < best) score = BlockBest(&scores_[starts_[level - 1] + place * kBlock]);
    best = score;
  }
}

void ScoreTree::RaiseAll() {
  for (size_t level = 1; level < starts_.size(); ++level) {
    const Score* below = &scores_[starts_[level - 1]];
    for (size_t at = starts_[level]; below < &scores_[starts_[level]]; ++at, below += kBlock) {
      scores_[at] = BlockBest(below);
    }
  }
}

size_t ScoreTree::BestPlace() const {
  size_t place = 0;
  for (size_t level = starts_.size() - 1; level-- > 0;) {
    const Score* block = &scores_[starts_[level] + place * kBlock];
    place = place * kBlock + static_cast<size_t>(std::find(block, block + kBlock, best()) - block);
  }
  return place;
}

bool Placer::Choose(DemandIndex demand, Placement& placement) {
  if (!policy_.ScoresKeep()) return ScanAll(ledger_, policy_, demand, placement);
  Follow();
  if (indexes_.size() <= demand) indexes_.resize(ledger_.demands());
  Index& index = indexes_[demand];
  if (index.nodes != ledger_.nodes()) {
    Build(demand, index);
  } else {
    Refresh(demand, index);
  }
  bests_.clear();
  for (const Tree& tree : index.trees) {
    const Score best = tree.scores.best();
    if (best == kNoFit) continue;
    bests_.push_back({tree.type, best, rows_[tree.type].nodes[tree.scores.BestPlace()]});
  }
  if (bests_.empty()) return false;
  Finish(ledger_, policy_, demand, bests_, placement);
  return true;
}

// Brings `rows_` up to the ledger.
void Placer::Follow() {
  if (where_.size() != ledger_.nodes()) {
    where_.clear();
    rows_.assign(ledger_.types(), {});
    for (NodeIndex node = 0; node < ledger_.nodes(); ++node) {
      Row& row = rows_[ledger_.node(node).type];
      where_.push_back({ledger_.node(node).type, static_cast<uint32_t>(row.nodes.size())});
      row.nodes.push_back(node);
      row.changed_at.emplace_back();
      row.gists.emplace_back();
      LookAt(node);
    }
  } else if (followed_ < ledger_.kept_from()) {
    for (NodeIndex node = 0; node < ledger_.nodes(); ++node) LookAt(node);
  } else {
    for (const NodeIndex node : ledger_.ChangesSince(followed_)) LookAt(node);
  }
  followed_ = ledger_.now();
}

void Placer::LookAt(NodeIndex node) {
  const NodeState& state = ledger_.node(node);
  Gist gist{.cpu = state.open && state.slots_free > 0 ? state.cpu_free : -1,
            .memory = state.memory_free};
  for (const CardState& card : ledger_.CardsOf(node)) {
    if (!card.open || card.slots_free <= 0) continue;
    gist.card_memory = std::max(gist.card_memory, card.memory_free);
    gist.card_compute = std::max(gist.card_compute, card.compute_free);
    gist.idle_cards += card.holders == 0 ? 1 : 0;
  }
  Row& row = rows_[where_[node].type];
  row.changed_at[where_[node].place] = state.changed_at;
  row.gists[where_[node].place] = gist;
}

Placer::Gist Placer::LeastOf(DemandIndex index, TypeIndex type) const {
  const Demand& demand = ledger_.demand(index);
  Gist least{.cpu = demand.cpu_millis, .memory = demand.main_memory.value()};
  if (demand.count == 0) return least;
  least.idle_cards = demand.whole || demand.idle_cards ? demand.count : 0;
  least.card_memory = std::numeric_limits<int64_t>::max();
  least.card_compute = std::numeric_limits<int32_t>::max();
  for (const KindIndex kind : ledger_.type(type).kinds) {
    const Need& need = ledger_.NeedOf(index, kind);
    if (!need.admitted) continue;
    least.card_memory = std::min(least.card_memory, need.memory);
    least.card_compute = std::min(least.card_compute, need.compute);
  }
  return least;
}

Score Placer::ScoreAt(DemandIndex demand, const Tree& tree, size_t place) {
  const Row& row = rows_[tree.type];
  const Gist& has = row.gists[place];
  const Gist& least = tree.least;
  // No early exits: a branch that is taken by chance costs more.
  const bool may = (has.cpu >= least.cpu) & (has.memory >= least.memory) &
                   (has.card_memory >= least.card_memory) &
                   (has.card_compute >= least.card_compute) & (has.idle_cards >= least.idle_cards);
  return may ? ScoreOn(ledger_, policy_, demand, row.nodes[place]) : kNoFit;
}

void Placer::Build(DemandIndex demand, Index& index) {
  index = {.seen = ledger_.now(), .nodes = ledger_.nodes()};
  index.tree_of.assign(ledger_.types(), -1);
  for (TypeIndex type = 0; type < ledger_.types(); ++type) {
    if (!ledger_.FitsEmpty(demand, type)) continue;
    index.tree_of[type] = static_cast<int32_t>(index.trees.size());
    const std::vector<NodeIndex>& nodes = rows_[type].nodes;
    index.trees.push_back({type, LeastOf(demand, type), ScoreTree(nodes.size())});
    Tree& tree = index.trees.back();
    // Untouched nodes of one type are all alike, but for named cards.
    std::optional<Score> untouched;
    for (size_t place = 0; place < nodes.size(); ++place) {
      const bool alike = ledger_.node(nodes[place]).version == 0 && policy_.NodesAlike() &&
                         !ledger_.NamesCards(demand);
      const Score score = alike && untouched ? *untouched : ScoreAt(demand, tree, place);
      if (alike) untouched = score;
      tree.scores.SetAlone(place, score);
    }
    tree.scores.RaiseAll();
  }
}

void Placer::Prefetch(const Index& index, NodeIndex node) const {
  const Where where = where_[node];
  const int32_t tree = index.tree_of[where.type];
  if (tree >= 0) index.trees[static_cast<size_t>(tree)].scores.Prefetch(where.place);
  policy_.Prefetch(node);
}

void Placer::Refresh(DemandIndex demand, Index& index) {
  const uint64_t now = ledger_.now();
  const uint64_t unseen = now - index.seen;
  if (index.seen < ledger_.kept_from() || unseen > ledger_.nodes() / 8) {
    // So many that going through all nodes in their order is faster than through the log in its
    // own.
    for (Tree& tree : index.trees) {
      const std::vector<uint64_t>& changed_at = rows_[tree.type].changed_at;
      for (size_t place = 0; place < changed_at.size(); ++place) {
        if (changed_at[place] < index.seen) continue;
        tree.scores.SetAlone(place, ScoreAt(demand, tree, place));
      }
      tree.scores.RaiseAll();
    }
  } else {
    uint64_t at = index.seen;
    const std::span<const NodeIndex> changes = ledger_.ChangesSince(index.seen);
    for (size_t i = 0; i < changes.size(); ++i) {
      if (i + kAhead < changes.size()) Prefetch(index, changes[i + kAhead]);
      const NodeIndex node = changes[i];
      // Only a node's last change counts.
      const Where where = where_[node];
      if (rows_[where.type].changed_at[where.place] != at++) continue;
      const int32_t tree = index.tree_of[where.type];
      if (tree < 0) continue;
      Tree& its = index.trees[static_cast<size_t>(tree)];
      its.scores.Set(where.place, ScoreAt(demand, its, where.place));
    }
  }
  index.seen = now;
}

bool ScanAll(const Ledger& ledger, Policy& policy, DemandIndex demand, Placement& placement) {
  std::vector<TypeBest> bests;
  for (NodeIndex node = 0; node < ledger.nodes(); ++node) {
    const Score score = ScoreOn(ledger, policy, demand, node);
    if (score == kNoFit) continue;
    const TypeIndex type = ledger.node(node).type;
    const auto at = std::ranges::lower_bound(bests, type, {}, &TypeBest::type);
    if (at == bests.end() || at->type != type) {
      bests.insert(at, {type, score, node});
    } else if (score > at->score) {
      *at = {type, score, node};
    }
  }
  if (bests.empty()) return false;
  Finish(ledger, policy, demand, bests, placement);
  return true;
}

}  // namespace sluice::scheduler
