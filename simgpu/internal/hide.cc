// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/hide.h"

#include <cstdint>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace sluice::simgpu {
namespace {

struct Table {
  ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  const uint32_t* hash = nullptr;
};

// The loader has made addresses of these by now.
Table OwnTable() {
  Table table;
  for (const ElfW(Dyn)* entry = _DYNAMIC; entry->d_tag != DT_NULL; ++entry) {
    void* at = reinterpret_cast<void*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) table.symbols = static_cast<ElfW(Sym)*>(at);
    if (entry->d_tag == DT_STRTAB) table.names = static_cast<const char*>(at);
    if (entry->d_tag == DT_GNU_HASH) table.hash = static_cast<const uint32_t*>(at);
  }
  return table;
}

// One behind the last symbol that can be looked up: the end of the chain that begins last.
uint32_t EndOf(const uint32_t* hash) {
  uint32_t buckets = hash[0];
  uint32_t first = hash[1];
  const uint32_t* bucket = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
  const uint32_t* chain = bucket + buckets;
  uint32_t last = 0;
  for (uint32_t i = 0; i < buckets; ++i) last = bucket[i] > last ? bucket[i] : last;
  if (last < first) return first;
  while ((chain[last - first] & 1) == 0) ++last;
  return last + 1;
}

bool Protect(const Table& table, uint32_t end, int how) {
  auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  uintptr_t from = reinterpret_cast<uintptr_t>(table.symbols) / page * page;
  uintptr_t to = (reinterpret_cast<uintptr_t>(table.symbols + end) + page - 1) / page * page;
  return ::mprotect(reinterpret_cast<void*>(from), to - from, how) == 0;
}

}  // namespace

void HideSymbols(const std::function<bool(std::string_view)>& is_hidden) {
  Table table = OwnTable();
  if (table.symbols == nullptr || table.names == nullptr || table.hash == nullptr) return;
  uint32_t first = table.hash[1];
  uint32_t end = EndOf(table.hash);
  if (!Protect(table, end, PROT_READ | PROT_WRITE)) return;
  for (uint32_t i = first; i < end; ++i) {
    ElfW(Sym)& symbol = table.symbols[i];
    if (!is_hidden(table.names + symbol.st_name)) continue;
    symbol.st_value = 0;
    symbol.st_shndx = SHN_UNDEF;
  }
  Protect(table, end, PROT_READ);
}

}  // namespace sluice::simgpu
