// SPDX-License-Identifier: Apache-2.0
#include "scheduler/placer.h"

#include <algorithm>
#include <optional>

#include "scheduler/rules.h"

namespace sluice::scheduler {
namespace {

constexpr size_t kBlock = 16;

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
  do {
    const size_t blocks = (count + kBlock - 1) / kBlock;
    levels_.emplace_back(blocks * kBlock, kNoFit);
    count = blocks;
  } while (count > 1);
  levels_.emplace_back(1, kNoFit);
}

void ScoreTree::Set(size_t place, Score score) {
  levels_[0][place] = score;
  for (size_t level = 1; level < levels_.size(); ++level) {
    place /= kBlock;
    const Score best = BlockBest(&levels_[level - 1][place * kBlock]);
    if (levels_[level][place] == best) return;
    levels_[level][place] = best;
  }
}

void ScoreTree::RaiseAll() {
  for (size_t level = 1; level < levels_.size(); ++level) {
    const std::vector<Score>& below = levels_[level - 1];
    for (size_t block = 0; block * kBlock < below.size(); ++block) {
      levels_[level][block] = BlockBest(&below[block * kBlock]);
    }
  }
}

size_t ScoreTree::BestPlace() const {
  size_t place = 0;
  for (size_t level = levels_.size() - 1; level-- > 0;) {
    const auto* block = &levels_[level][place * kBlock];
    place = place * kBlock + static_cast<size_t>(std::find(block, block + kBlock, best()) - block);
  }
  return place;
}

bool Placer::Choose(DemandIndex demand, Placement& placement) {
  if (!policy_.ScoresKeep()) return ScanAll(ledger_, policy_, demand, placement);
  if (indexes_.size() <= demand) indexes_.resize(ledger_.demands());
  Index& index = indexes_[demand];
  if (index.nodes != ledger_.nodes()) {
    Build(demand, index);
  } else {
    Refresh(demand, index);
  }
  bests_.clear();
  for (size_t i = 0; i < index.trees.size(); ++i) {
    const Score best = index.trees[i].best();
    if (best == kNoFit) continue;
    bests_.push_back({index.types[i], best, nodes_of_[index.types[i]][index.trees[i].BestPlace()]});
  }
  if (bests_.empty()) return false;
  Finish(ledger_, policy_, demand, bests_, placement);
  return true;
}

void Placer::PlaceNodes() {
  place_of_.clear();
  nodes_of_.assign(ledger_.types(), {});
  for (NodeIndex node = 0; node < ledger_.nodes(); ++node) {
    std::vector<NodeIndex>& same = nodes_of_[ledger_.node(node).type];
    place_of_.push_back(static_cast<uint32_t>(same.size()));
    same.push_back(node);
  }
}

Score Placer::ScoreOf(DemandIndex demand, NodeIndex node) {
  return ScoreOn(ledger_, policy_, demand, node);
}

void Placer::Build(DemandIndex demand, Index& index) {
  if (place_of_.size() != ledger_.nodes()) PlaceNodes();
  index = {.seen = ledger_.now(), .nodes = ledger_.nodes()};
  index.tree_of.assign(ledger_.types(), -1);
  for (TypeIndex type = 0; type < ledger_.types(); ++type) {
    if (!ledger_.FitsEmpty(demand, type)) continue;
    index.tree_of[type] = static_cast<int32_t>(index.trees.size());
    index.types.push_back(type);
    ScoreTree& tree = index.trees.emplace_back(nodes_of_[type].size());
    // Untouched nodes of one type are all alike, but for named cards.
    std::optional<Score> untouched;
    for (size_t place = 0; place < nodes_of_[type].size(); ++place) {
      const NodeIndex node = nodes_of_[type][place];
      const bool alike =
          ledger_.node(node).version == 0 && policy_.NodesAlike() && !ledger_.NamesCards(demand);
      const Score score = alike && untouched ? *untouched : ScoreOf(demand, node);
      if (alike) untouched = score;
      tree.SetAlone(place, score);
    }
    tree.RaiseAll();
  }
}

void Placer::Refresh(DemandIndex demand, Index& index) {
  const uint64_t now = ledger_.now();
  const uint64_t unseen = now - index.seen;
  if (index.seen < ledger_.kept_from() || unseen > ledger_.nodes() / 8) {
    // So many that going through all nodes in their order is faster than through the log in its
    // own.
    for (size_t i = 0; i < index.trees.size(); ++i) {
      const std::vector<NodeIndex>& nodes = nodes_of_[index.types[i]];
      for (size_t place = 0; place < nodes.size(); ++place) {
        if (ledger_.node(nodes[place]).changed_at < index.seen) continue;
        index.trees[i].SetAlone(place, ScoreOf(demand, nodes[place]));
      }
      index.trees[i].RaiseAll();
    }
  } else {
    uint64_t at = index.seen;
    for (const NodeIndex node : ledger_.ChangesSince(index.seen)) {
      // Only a node's last change counts.
      const NodeState& state = ledger_.node(node);
      if (state.changed_at != at++) continue;
      const int32_t tree = index.tree_of[state.type];
      if (tree < 0) continue;
      index.trees[static_cast<size_t>(tree)].Set(place_of_[node], ScoreOf(demand, node));
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
