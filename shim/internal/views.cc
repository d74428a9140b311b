// SPDX-License-Identifier: Apache-2.0
// What programs are told about memory and about who else is there.
#include "shim/internal/handlers.h"
#include "shim/internal/os.h"

namespace sluice::shim {
namespace {

Card CardOfNvml(NvmlDevice device) {
  char text[96] = {};
  uint8_t uuid[16] = {};
  const unsigned bytes = sizeof(text);
  if (!InShare() ||
      Nvml(Call::k_nvmlDeviceGetUUID, device, static_cast<char*>(text), bytes) != kNvmlSuccess) {
    return kNotShared;
  }
  text[sizeof(text) - 1] = '\0';
  return region::ParseUuid(text, uuid) ? CardOfUuid(uuid) : kForeign;
}

// Keeps the share's own processes, by the tenant's numbers. Returns how many are left.
template <typename Entry>
unsigned KeepOwn(Entry* entries, unsigned count) {
  unsigned kept = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (const uint32_t own = OwnPid(entries[i].pid); own != 0) {
      entries[kept] = entries[i];
      entries[kept].pid = own;
      ++kept;
    }
  }
  return kept;
}

constexpr unsigned kEntriesMax = 4096;

// Asks the driver for its whole list, keeps the share's part and hands that to the caller, with
// the driver's own answers to a list that is too short. `ask(entries, &count)` calls the driver.
template <typename Entry, typename Ask>
int Filter(Entry* out, unsigned* count, Ask ask) {
  if (count == nullptr) {
    return kNvmlInvalidArgument;
  }
  constexpr size_t kBytes = kEntriesMax * sizeof(Entry);
  auto* all = static_cast<Entry*>(TakePages(kBytes));
  if (all == nullptr) {
    return kNvmlMemory;
  }
  unsigned found = kEntriesMax;
  int result = ask(all, &found);
  if (result == kNvmlSuccess) {
    const unsigned kept = KeepOwn(all, found < kEntriesMax ? found : kEntriesMax);
    if (kept > *count || (kept > 0 && out == nullptr)) {
      result = kNvmlInsufficientSize;
    } else {
      for (unsigned i = 0; i < kept; ++i) {
        out[i] = all[i];
      }
    }
    *count = kept;
  }
  GivePages(all, kBytes);
  return result;
}

template <typename Entry>
int ListFiltered(Call call, NvmlDevice device, unsigned* count, Entry* entries) {
  if (CardOfNvml(device) == kNotShared) {
    return Nvml(call, device, count, entries);
  }
  return Filter(
      entries, count, [&](Entry* all, unsigned* found) { return Nvml(call, device, found, all); });
}

}  // namespace

uint64_t ShownTotal(Card card, uint64_t real_total) {
  if (card < 0) {
    return 0;
  }
  const uint64_t limit = Policy(card).memory_limit_bytes.load(std::memory_order_relaxed);
  return limit < real_total ? limit : real_total;
}

uint64_t ShownFree(Card card, uint64_t real_free, uint64_t shown_total) {
  if (card < 0) {
    return 0;
  }
  const uint64_t used = Used(card);
  const uint64_t left = used < shown_total ? shown_total - used : 0;
  return left < real_free ? left : real_free;
}

int ListProcesses(Call call, NvmlDevice device, unsigned* count, NvmlProcessV1* entries) {
  return ListFiltered(call, device, count, entries);
}

int ListProcesses(Call call, NvmlDevice device, unsigned* count, NvmlProcess* entries) {
  return ListFiltered(call, device, count, entries);
}

int ShowMemory(Call call, NvmlDevice device, NvmlMemoryV1* memory) {
  const int result = Nvml(call, device, memory);
  const Card card = CardOfNvml(device);
  if (result == kNvmlSuccess && memory != nullptr && card != kNotShared) {
    memory->total = ShownTotal(card, memory->total);
    memory->free = ShownFree(card, memory->free, memory->total);
    memory->used = memory->total - memory->free;
  }
  return result;
}

int ShowMemory(Call call, NvmlDevice device, NvmlMemory* memory) {
  const int result = Nvml(call, device, memory);
  const Card card = CardOfNvml(device);
  if (result == kNvmlSuccess && memory != nullptr && card != kNotShared) {
    memory->total = ShownTotal(card, memory->total);
    memory->free = ShownFree(card, memory->free, memory->total);
    memory->used = memory->total - memory->free;
    memory->reserved = 0;  // The card's, not the share's.
  }
  return result;
}

int ListUtilization(Call call,
                    NvmlDevice device,
                    NvmlUtilization* entries,
                    unsigned* count,
                    unsigned long long since) {
  if (CardOfNvml(device) == kNotShared) {
    return Nvml(call, device, entries, count, since);
  }
  return Filter(entries, count, [&](NvmlUtilization* all, unsigned* found) {
    return Nvml(call, device, all, found, since);
  });
}

int ListUtilizationInfo(Call call, NvmlDevice device, NvmlUtilizationList* list) {
  if (list == nullptr || CardOfNvml(device) == kNotShared) {
    return Nvml(call, device, list);
  }
  return Filter(list->entries, &list->count, [&](NvmlUtilizationInfo* all, unsigned* found) {
    NvmlUtilizationList whole = {list->version, *found, list->since_us, all};
    const int result = Nvml(call, device, &whole);
    *found = whole.count;
    list->since_us = whole.since_us;
    return result;
  });
}

int ListPids(Call call, NvmlDevice device, unsigned* count, unsigned* pids) {
  struct OnlyPid {
    unsigned pid;
  };
  if (CardOfNvml(device) == kNotShared) {
    return Nvml(call, device, count, pids);
  }
  return Filter(reinterpret_cast<OnlyPid*>(pids), count, [&](OnlyPid* all, unsigned* found) {
    return Nvml(call, device, found, &all->pid);
  });
}

// Processes of others are answered like such that do not exist.
int ShowAccounting(Call call, NvmlDevice device, unsigned pid, void* stats) {
  const bool hidden = CardOfNvml(device) != kNotShared && OwnPid(pid) == 0;
  return hidden ? kNvmlNotFound : Nvml(call, device, pid, stats);
}

int ShowAccounting(Call call, NvmlDevice device, unsigned* stats) {
  const bool hidden = stats != nullptr && CardOfNvml(device) != kNotShared && OwnPid(*stats) == 0;
  return hidden ? kNvmlNotFound : Nvml(call, device, stats);
}

int ShowName(Call call, unsigned pid, char* name, unsigned length) {
  return InShare() && OwnPid(pid) == 0 ? kNvmlNotFound : Nvml(call, pid, name, length);
}

int ListDetail(Call call, NvmlDevice device, NvmlDetailList* list) {
  if (list == nullptr || CardOfNvml(device) == kNotShared) {
    return Nvml(call, device, list);
  }
  return Filter(list->entries, &list->count, [&](NvmlDetail* all, unsigned* found) {
    NvmlDetailList whole = {list->version, list->mode, *found, all};
    const int result = Nvml(call, device, &whole);
    *found = whole.count;
    return result;
  });
}

}  // namespace sluice::shim
