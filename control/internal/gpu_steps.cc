// SPDX-License-Identifier: Apache-2.0
#include "control/internal/gpu_steps.h"

#include <set>
#include <utility>

namespace sluice::control {
namespace {

// What makes a row worth writing at once.
bool SameCard(const Gpu& a, const Gpu& b) {
  return a.node == b.node && a.pool == b.pool && a.index == b.index && a.vendor == b.vendor &&
         a.model == b.model && a.simulated == b.simulated && a.driver_version == b.driver_version &&
         a.memory == b.memory && a.compute == b.compute && a.numa_node == b.numa_node &&
         a.mode == b.mode && a.health == b.health && a.health_reason == b.health_reason;
}

// The row that a card's answer leads to.
Gpu Merged(const Gpu& answer, const Gpu* row, const GpuFacts& facts) {
  Gpu merged = answer;
  merged.shares.clear();
  merged.last_seen = facts.now;
  if (merged.node.empty()) merged.node = facts.node;
  if (merged.pool.empty()) merged.pool = PoolId("shared");
  if (row == nullptr) return merged;
  merged.shares = row->shares;
  // Whether a card is divided is the card's to say, everything else its row's.
  const bool divided = answer.mode == GpuMode::kPartitioned || row->mode == GpuMode::kPartitioned;
  if (!divided) merged.mode = row->mode;
  merged.pool = row->pool;
  return merged;
}

void AddStale(const store::Versioned<Gpu>& row,
              std::string reason,
              std::vector<store::Write>& writes) {
  if (row.value.health == GpuHealth::kStale) return;
  Gpu stale = row.value;
  stale.health = GpuHealth::kStale;
  stale.health_reason = std::move(reason);
  writes.push_back(store::Put(stale, row.version));
}

std::vector<store::Write> SilentSteps(const Gpus& rows, const GpuFacts& facts) {
  std::vector<store::Write> writes;
  if (facts.silent_for < kSilentMax) return writes;
  for (const auto& [id, row] : rows) {
    AddStale(row, "The agent of this machine does not answer.", writes);
  }
  return writes;
}

}  // namespace

std::vector<store::Write> GpuSteps(const Gpus& rows, const GpuFacts& facts) {
  if (!facts.cards) return SilentSteps(rows, facts);
  std::vector<store::Write> writes;
  std::set<GpuId> seen;
  for (const agent::CardState& card : *facts.cards) {
    if (!seen.insert(card.gpu.id).second) continue;
    const auto found = rows.find(card.gpu.id);
    const Gpu* row = found == rows.end() ? nullptr : &found->second.value;
    Gpu merged = Merged(card.gpu, row, facts);
    if (row == nullptr) {
      writes.push_back(store::Put(merged, 0));
    } else if (!SameCard(merged, *row) || facts.now - row->last_seen >= kSeenEvery ||
               row->last_seen > facts.now) {
      writes.push_back(store::Put(merged, found->second.version));
    }
  }
  for (const auto& [id, row] : rows) {
    if (seen.contains(id)) continue;
    if (facts.first_answer && row.value.shares.empty()) {
      writes.push_back(store::Write{store::Kind::kGpu, id.text(), row.version, std::nullopt});
    } else {
      AddStale(row, "This card is no longer in the machine.", writes);
    }
  }
  return writes;
}

}  // namespace sluice::control
