// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/elf.h"

#include <cstdint>
#include <elf.h>
#include <link.h>
#include <string.h>

namespace sluice::shim {
namespace {

struct Search {
  const char* name;
  void* found;
};

struct Symbols {
  const ElfW(Sym) * table = nullptr;
  const char* strings = nullptr;
  const uint32_t* gnu_hash = nullptr;
  const ElfW(Half) * versions = nullptr;
};

bool IsLibc(const char* path) {
  const char* name = strrchr(path, '/');
  name = name == nullptr ? path : name + 1;
  return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-2.", 7) == 0 ||
         strncmp(name, "libdl.so", 8) == 0 || strncmp(name, "libdl-2.", 8) == 0 ||
         strncmp(name, "libpthread.so", 13) == 0 || strncmp(name, "libpthread-2.", 13) == 0;
}

// glibc relocates the addresses of most entries in place; where it did not, they lie below the
// base.
template <typename T>
const T* At(ElfW(Addr) base, ElfW(Addr) value) {
  return reinterpret_cast<const T*>(value < base ? base + value : value);
}

Symbols SymbolsOf(const dl_phdr_info& object) {
  Symbols symbols;
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    if (object.dlpi_phdr[i].p_type != PT_DYNAMIC) {
      continue;
    }
    const auto* entry =
        reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + object.dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
      const ElfW(Addr) value = entry->d_un.d_ptr;
      switch (entry->d_tag) {
        case DT_SYMTAB:
          symbols.table = At<ElfW(Sym)>(object.dlpi_addr, value);
          break;
        case DT_STRTAB:
          symbols.strings = At<char>(object.dlpi_addr, value);
          break;
        case DT_GNU_HASH:
          symbols.gnu_hash = At<uint32_t>(object.dlpi_addr, value);
          break;
        case DT_VERSYM:
          symbols.versions = At<ElfW(Half)>(object.dlpi_addr, value);
          break;
        default:
          break;
      }
    }
  }
  return symbols;
}

uint32_t GnuHash(const char* name) {
  uint32_t hash = 5381;
  for (; *name != '\0'; ++name) {
    hash = hash * 33 + static_cast<unsigned char>(*name);
  }
  return hash;
}

// The default version if there is one, else any (a name kept for old programs).
const ElfW(Sym) * Find(const Symbols& symbols, const char* name) {
  const uint32_t buckets = symbols.gnu_hash[0];
  const uint32_t first = symbols.gnu_hash[1];
  const uint32_t bloom_words = symbols.gnu_hash[2];
  const uint32_t* bucket = symbols.gnu_hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
  const uint32_t* chain = bucket + buckets;
  const uint32_t wanted = GnuHash(name);
  uint32_t index = buckets == 0 ? 0 : bucket[wanted % buckets];
  if (index < first || index == 0) {
    return nullptr;
  }
  const ElfW(Sym)* any = nullptr;
  for (;; ++index) {
    const uint32_t hash = chain[index - first];
    const ElfW(Sym)& symbol = symbols.table[index];
    if ((hash | 1) == (wanted | 1) && symbol.st_shndx != SHN_UNDEF &&
        strcmp(symbols.strings + symbol.st_name, name) == 0) {
      const bool hidden = symbols.versions != nullptr && (symbols.versions[index] & 0x8000) != 0;
      if (!hidden) {
        return &symbol;
      }
      any = &symbol;
    }
    if ((hash & 1) != 0) {
      return any;
    }
  }
}

int Visit(dl_phdr_info* object, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  if (object->dlpi_name == nullptr || !IsLibc(object->dlpi_name)) {
    return 0;
  }
  const Symbols symbols = SymbolsOf(*object);
  if (symbols.table == nullptr || symbols.strings == nullptr || symbols.gnu_hash == nullptr) {
    return 0;
  }
  const ElfW(Sym)* symbol = Find(symbols, search->name);
  if (symbol == nullptr || symbol->st_value == 0) {
    return 0;
  }
  search->found = reinterpret_cast<void*>(object->dlpi_addr + symbol->st_value);
  return 1;
}

}  // namespace

void* FindInLibc(const char* name) {
  Search search{name, nullptr};
  dl_iterate_phdr(Visit, &search);
  return search.found;
}

}  // namespace sluice::shim
