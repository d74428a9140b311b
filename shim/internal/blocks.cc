// SPDX-License-Identifier: Apache-2.0
// Locks: one per shard, never two at once, never while calling out.
#include "shim/internal/blocks.h"

#include "shim/internal/os.h"

namespace sluice::shim {
namespace {

struct Entry {
  uint64_t value;
  uint64_t bytes;
  uint64_t extra;
  uint64_t context;
  Kind kind;
  Card card;
};

constexpr uint32_t kShards = 64;
constexpr uint32_t kFirstEntries = 8;  // Inside the shard, so that few blocks need no pages.

struct Shard {
  Lock lock;
  uint32_t used = 0;
  uint32_t capacity = 0;  // A power of two; 0: `first`.
  Entry* entries = nullptr;
  Entry first[kFirstEntries] = {};
};
constinit Shard shards[kShards];

uint64_t Mix(const Key& key) {
  uint64_t hash = (key.value >> 4) ^ (uint64_t{static_cast<uint32_t>(key.kind)} << 58);
  hash *= 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

Shard& ShardOf(uint64_t hash) {
  return shards[hash % kShards];
}
uint32_t Capacity(const Shard& shard) {
  return shard.entries == nullptr ? kFirstEntries : shard.capacity;
}
Entry* Entries(Shard& shard) {
  return shard.entries == nullptr ? shard.first : shard.entries;
}

uint32_t Home(const Shard& shard, uint64_t hash) {
  return static_cast<uint32_t>(hash / kShards) & (Capacity(shard) - 1);
}

// The key's entry, or the empty one where it would go. Requires: the lock; at least one is empty.
Entry* Seek(Shard& shard, const Key& key, uint64_t hash) {
  Entry* const entries = Entries(shard);
  const uint32_t mask = Capacity(shard) - 1;
  for (uint32_t at = Home(shard, hash);; at = (at + 1) & mask) {
    Entry& entry = entries[at];
    if (entry.kind == Kind::kEmpty || (entry.value == key.value && entry.kind == key.kind)) {
      return &entry;
    }
  }
}

bool Grow(Shard& shard) {
  const uint32_t before = Capacity(shard);
  Entry* const old = Entries(shard);
  const uint32_t after = before * 2;
  auto* fresh = static_cast<Entry*>(TakePages(after * sizeof(Entry)));
  if (fresh == nullptr) {
    return false;
  }
  Entry* const to_free = shard.entries;
  shard.entries = fresh;
  shard.capacity = after;
  for (uint32_t i = 0; i < before; ++i) {
    if (old[i].kind != Kind::kEmpty) {
      const Key key{old[i].kind, old[i].value};
      *Seek(shard, key, Mix(key)) = old[i];
    }
  }
  if (to_free != nullptr) {
    GivePages(to_free, before * sizeof(Entry));
  }
  return true;
}

// Closes the gap, so that every entry is still reached from its home.
void Remove(Shard& shard, Entry* gone) {
  Entry* const entries = Entries(shard);
  const uint32_t mask = Capacity(shard) - 1;
  auto gap = static_cast<uint32_t>(gone - entries);
  for (uint32_t at = (gap + 1) & mask; entries[at].kind != Kind::kEmpty; at = (at + 1) & mask) {
    const uint32_t home = Home(shard, Mix({entries[at].kind, entries[at].value}));
    if (((at - home) & mask) >= ((at - gap) & mask)) {
      entries[gap] = entries[at];
      gap = at;
    }
  }
  entries[gap] = Entry{};
  --shard.used;
}

Block BlockOf(const Entry& entry) {
  return {entry.bytes, entry.extra, entry.card};
}

}  // namespace

bool PutBlock(const Key& key, const Block& block, Block& stale) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  Hold hold(shard.lock);
  if ((shard.used + 1) * 4 > Capacity(shard) * 3 && !Grow(shard) &&
      shard.used + 1 >= Capacity(shard)) {
    return false;
  }
  Entry* const entry = Seek(shard, key, hash);
  const bool replaced = entry->kind != Kind::kEmpty;
  if (replaced) {
    stale = BlockOf(*entry);
  } else {
    ++shard.used;
  }
  *entry = {key.value, block.bytes, block.extra, key.context, key.kind, block.card};
  return replaced;
}

bool TakeBlock(const Key& key, Block& block) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  Hold hold(shard.lock);
  Entry* const entry = Seek(shard, key, hash);
  if (entry->kind == Kind::kEmpty) {
    return false;
  }
  block = BlockOf(*entry);
  Remove(shard, entry);
  return true;
}

bool FindBlock(const Key& key, Block& block) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  Hold hold(shard.lock);
  const Entry* const entry = Seek(shard, key, hash);
  if (entry->kind == Kind::kEmpty) {
    return false;
  }
  block = BlockOf(*entry);
  return true;
}

bool AddExtra(const Key& key, int64_t delta, Block& after) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  Hold hold(shard.lock);
  Entry* const entry = Seek(shard, key, hash);
  if (entry->kind == Kind::kEmpty) {
    return false;
  }
  entry->extra += static_cast<uint64_t>(delta);
  after = BlockOf(*entry);
  if (entry->extra == 0) {
    Remove(shard, entry);
  }
  return true;
}

bool SetExtra(const Key& key, uint64_t extra) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  Hold hold(shard.lock);
  Entry* const entry = Seek(shard, key, hash);
  if (entry->kind != Kind::kEmpty) {
    entry->extra = extra;
  }
  return entry->kind != Kind::kEmpty;
}

bool TakeBlockOf(Kind kind, uint64_t owner, Block& block) {
  for (Shard& shard : shards) {
    Hold hold(shard.lock);
    Entry* const entries = Entries(shard);
    for (uint32_t at = 0; at < Capacity(shard); ++at) {
      if (entries[at].kind == kind && entries[at].context == owner) {
        block = BlockOf(entries[at]);
        Remove(shard, &entries[at]);
        return true;
      }
    }
  }
  return false;
}

void ReturnBlocksOf(uint64_t context) {
  for (Shard& shard : shards) {
    uint64_t freed[region::kDevicesMax] = {};
    {
      Hold hold(shard.lock);
      Entry* const entries = Entries(shard);
      // A removal moves later entries here, so the place is looked at again; one that wrapped
      // round the end is met at its new place in the second turn.
      for (uint32_t turn = 0; turn < 2; ++turn) {
        for (uint32_t at = 0; at < Capacity(shard);) {
          Entry& entry = entries[at];
          if (entry.kind == Kind::kEmpty || entry.context != context) {
            ++at;
            continue;
          }
          if (entry.card >= 0) {
            freed[entry.card] += entry.bytes;
          }
          Remove(shard, &entry);
        }
      }
    }
    for (int card = 0; card < region::kDevicesMax; ++card) {
      if (freed[card] > 0) {
        Return(card, freed[card]);
      }
    }
  }
}

void ForgetBlocks() {
  for (Shard& shard : shards) {
    shard.lock.Reset();
    if (shard.entries != nullptr) {
      GivePages(shard.entries, shard.capacity * sizeof(Entry));
      shard.entries = nullptr;
      shard.capacity = 0;
    }
    for (Entry& entry : shard.first) {
      entry = Entry{};
    }
    shard.used = 0;
  }
}

}  // namespace sluice::shim
