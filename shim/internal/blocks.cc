// SPDX-License-Identifier: Apache-2.0
// Locks: one per shard, never two at once, never while calling out. Whoever ends while it holds one
// leaves every entry readable.
#include "shim/internal/blocks.h"

#include "shim/internal/os.h"
#include "shim/internal/points.h"

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

// In pages of its own; the entries follow.
struct alignas(Entry) Table {
  uint32_t capacity;  // A power of two.
};

struct Shard {
  Lock lock;
  uint32_t used = 0;
  Table* table = nullptr;  // nullptr: `first`.
  Entry first[kFirstEntries] = {};
};
constinit Shard shards[kShards];

size_t TableBytes(uint32_t capacity) {
  return sizeof(Table) + capacity * sizeof(Entry);
}
Entry* Entries(Table* table) {
  return reinterpret_cast<Entry*>(table + 1);
}

uint64_t Mix(const Key& key) {
  uint64_t hash = (key.value >> 4) ^ (uint64_t{static_cast<uint32_t>(key.kind)} << 58);
  hash *= 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

Shard& ShardOf(uint64_t hash) {
  return shards[hash % kShards];
}
uint32_t Capacity(const Shard& shard) {
  return shard.table == nullptr ? kFirstEntries : shard.table->capacity;
}
Entry* Entries(Shard& shard) {
  return shard.table == nullptr ? shard.first : Entries(shard.table);
}

uint32_t Home(uint32_t capacity, uint64_t hash) {
  return static_cast<uint32_t>(hash / kShards) & (capacity - 1);
}

// The key's entry, or the empty one where it would go. Requires: at least one is empty.
Entry* Seek(Entry* entries, uint32_t capacity, const Key& key, uint64_t hash) {
  for (uint32_t at = Home(capacity, hash);; at = (at + 1) & (capacity - 1)) {
    Entry& entry = entries[at];
    if (entry.kind == Kind::kEmpty || (entry.value == key.value && entry.kind == key.kind)) {
      return &entry;
    }
  }
}
// The same. Requires: the lock.
Entry* Seek(Shard& shard, const Key& key, uint64_t hash) {
  return Seek(Entries(shard), Capacity(shard), key, hash);
}

// At every instant the entry is either empty or whole.
void Fill(Entry& entry, const Entry& value) {
  entry.kind = Kind::kEmpty;
  KeepOrder();
  entry.value = value.value;
  entry.bytes = value.bytes;
  entry.extra = value.extra;
  entry.context = value.context;
  entry.card = value.card;
  SLUICE_POINT("entry");
  KeepOrder();
  entry.kind = value.kind;
}

bool Grow(Shard& shard) {
  const uint32_t before = Capacity(shard);
  Entry* const old = Entries(shard);
  Table* const to_free = shard.table;
  const uint32_t after = before * 2;
  auto* fresh = static_cast<Table*>(TakePages(TableBytes(after)));
  if (fresh == nullptr) {
    return false;
  }
  fresh->capacity = after;
  for (uint32_t i = 0; i < before; ++i) {
    if (old[i].kind != Kind::kEmpty) {
      const Key key{old[i].kind, old[i].value};
      *Seek(Entries(fresh), after, key, Mix(key)) = old[i];
    }
  }
  SLUICE_POINT("table");
  KeepOrder();
  shard.table = fresh;
  KeepOrder();
  if (to_free != nullptr) {
    GivePages(to_free, TableBytes(before));
  }
  return true;
}

// Closes the gap, so that every entry is still reached from its home.
void Remove(Shard& shard, Entry* gone) {
  Entry* const entries = Entries(shard);
  const uint32_t mask = Capacity(shard) - 1;
  auto gap = static_cast<uint32_t>(gone - entries);
  gone->kind = Kind::kEmpty;
  KeepOrder();
  for (uint32_t at = (gap + 1) & mask; entries[at].kind != Kind::kEmpty; at = (at + 1) & mask) {
    const uint32_t home = Home(mask + 1, Mix({entries[at].kind, entries[at].value}));
    if (((at - home) & mask) >= ((at - gap) & mask)) {
      Fill(entries[gap], entries[at]);
      KeepOrder();
      entries[at].kind = Kind::kEmpty;
      KeepOrder();
      gap = at;
    }
  }
  SLUICE_POINT("removed");
  --shard.used;
}

// After a thread ended in any of these: each entry is whole, but may be there twice, or behind a
// gap. What was to be put in and is not there stays charged until the process ends.
void Mend(Shard& shard) {
  Entry* const entries = Entries(shard);
  const uint32_t capacity = Capacity(shard);
  for (bool moved = true; moved;) {
    moved = false;
    shard.used = 0;
    for (uint32_t at = 0; at < capacity; ++at) {
      if (entries[at].kind == Kind::kEmpty) {
        continue;
      }
      const Key key{entries[at].kind, entries[at].value};
      Entry* const place = Seek(shard, key, Mix(key));
      if (place == &entries[at]) {
        ++shard.used;
        continue;
      }
      if (place->kind == Kind::kEmpty) {
        Fill(*place, entries[at]);
        KeepOrder();
      }
      entries[at].kind = Kind::kEmpty;
      KeepOrder();
      moved = true;
    }
  }
}

struct ShardHold : Hold {
  explicit ShardHold(Shard& shard) : Hold(shard.lock) {
    if (Inherited()) {
      Mend(shard);
    }
  }
};

Block BlockOf(const Entry& entry) {
  return {entry.bytes, entry.extra, entry.card};
}

}  // namespace

bool PutBlock(const Key& key, const Block& block, Block& stale) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  const ShardHold hold(shard);
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
  Fill(*entry, {key.value, block.bytes, block.extra, key.context, key.kind, block.card});
  return replaced;
}

bool TakeBlock(const Key& key, Block& block) {
  const uint64_t hash = Mix(key);
  Shard& shard = ShardOf(hash);
  const ShardHold hold(shard);
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
  const ShardHold hold(shard);
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
  const ShardHold hold(shard);
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
  const ShardHold hold(shard);
  Entry* const entry = Seek(shard, key, hash);
  if (entry->kind != Kind::kEmpty) {
    entry->extra = extra;
  }
  return entry->kind != Kind::kEmpty;
}

bool TakeBlockOf(Kind kind, uint64_t owner, Block& block) {
  for (Shard& shard : shards) {
    const ShardHold hold(shard);
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
      const ShardHold hold(shard);
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
    if (shard.table != nullptr) {
      GivePages(shard.table, TableBytes(shard.table->capacity));
      shard.table = nullptr;
    }
    for (Entry& entry : shard.first) {
      entry = Entry{};
    }
    shard.used = 0;
  }
}

}  // namespace sluice::shim
