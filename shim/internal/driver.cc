// SPDX-License-Identifier: Apache-2.0
#include "shim/internal/driver.h"

#include <dlfcn.h>
#include <string.h>

#include "shim/internal/elf.h"
#include "shim/internal/os.h"

// The exported hooks, for their addresses; each is defined in hooks.cc with its real type.
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) \
  extern "C" void symbol##_Entry() __asm__(#symbol);
#define NVML_CALL(symbol, handler, roles, count, types) \
  extern "C" void symbol##_Entry() __asm__(#symbol);
#include "shim/calls.def"

namespace sluice::shim {

constinit std::atomic<void*> real_function[kCallCount] = {};

namespace {

// Only addresses of functions, so the table needs relocations but no constructor.
const HookRow kRows[] = {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) \
  {#symbol, #name, since, StreamMode::mode, Category::category, roles, count, symbol##_Entry},
#include "shim/calls.def"
#define NVML_CALL(symbol, handler, roles, count, types) \
  {#symbol, #symbol, 0, StreamMode::kAny, Category::kNvml, roles, count, symbol##_Entry},
#include "shim/calls.def"
};
static_assert(sizeof(kRows) / sizeof(kRows[0]) == kHookCount);

constexpr const char* kSymbols[] = {
#define CUDA_CALL(symbol, name, since, mode, category, handler, roles, count, types) #symbol,
#include "shim/calls.def"
#define NVML_CALL(symbol, handler, roles, count, types) #symbol,
#include "shim/calls.def"
#define CUDA_USED(symbol) #symbol,
#include "shim/calls.def"
#define NVML_USED(symbol) #symbol,
#include "shim/calls.def"
};
static_assert(sizeof(kSymbols) / sizeof(kSymbols[0]) == kCallCount);

constexpr uint32_t HashOf(const char* name) {
  uint32_t hash = 2166136261U;
  for (; *name != '\0'; ++name) {
    hash = (hash ^ static_cast<uint8_t>(*name)) * 16777619U;
  }
  return hash;
}

// Names to rows, open addressing, filled by the compiler: a look-up is one hash and one compare.
constexpr uint32_t kNameBuckets = 1024;
struct NameTable {
  int16_t row[kNameBuckets];
};
constexpr NameTable MakeNameTable() {
  NameTable table{};
  for (int16_t& row : table.row) {
    row = -1;
  }
  for (int i = 0; i < kHookCount; ++i) {
    uint32_t at = HashOf(kSymbols[i]) % kNameBuckets;
    while (table.row[at] >= 0) {
      at = (at + 1) % kNameBuckets;
    }
    table.row[at] = static_cast<int16_t>(i);
  }
  return table;
}
constexpr NameTable kNames = MakeNameTable();

int RowOfName(const char* name) {
  for (uint32_t at = HashOf(name) % kNameBuckets; kNames.row[at] >= 0;
       at = (at + 1) % kNameBuckets) {
    if (strcmp(kSymbols[kNames.row[at]], name) == 0) {
      return kNames.row[at];
    }
  }
  return -1;
}

constinit std::atomic<void*> library[2] = {};  // The driver, NVML.
constinit std::atomic<DlsymFunction> real_dlsym{nullptr};

// Real pointers to rows, built once before the first cuGetProcAddress is answered.
constexpr uint32_t kPointerBuckets = 512;
constinit Lock pointer_lock;
constinit std::atomic<bool> pointers_known{false};
constinit int16_t pointer_row[kPointerBuckets] = {};  // Row + 1; 0 is empty.

uint32_t PointerBucket(void* pointer) {
  const auto bits = reinterpret_cast<uintptr_t>(pointer);
  return static_cast<uint32_t>((bits >> 4) * 2654435761U >> 8) % kPointerBuckets;
}

void* HookAt(int row) {
  return reinterpret_cast<void*>(kRows[row].hook);
}

bool IsNvml(int call) {
  return kSymbols[call][0] == 'n';
}

void* Library(bool nvml) {
  std::atomic<void*>& slot = library[nvml ? 1 : 0];
  void* handle = slot.load(std::memory_order_acquire);
  if (handle == nullptr) {
    const auto open = reinterpret_cast<DlopenFunction>(FindInLibc("dlopen"));
    if (open == nullptr) {
      return nullptr;
    }
    handle = open(nvml ? "libnvidia-ml.so.1" : "libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    // In the hardened mode that is a library of ours, and it has brought the driver along.
    void* const behind =
        open(nvml ? "/run/sluice/driver/libnvidia-ml.so.1" : "/run/sluice/driver/libcuda.so.1",
             RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    handle = behind != nullptr ? behind : handle;
    slot.store(handle, std::memory_order_release);
  }
  return handle;
}

void FillPointers() {
  Hold hold(pointer_lock);
  if (pointers_known.load(std::memory_order_relaxed)) {
    return;
  }
  for (int i = 0; i < kHookCount; ++i) {
    void* const real = IsNvml(i) ? nullptr : Real(static_cast<Call>(i));
    if (real == nullptr) {
      continue;
    }
    uint32_t at = PointerBucket(real);
    // It is there already if a thread ended in here.
    while (pointer_row[at] != 0 && pointer_row[at] != i + 1) {
      at = (at + 1) % kPointerBuckets;
    }
    pointer_row[at] = static_cast<int16_t>(i + 1);
  }
  pointers_known.store(true, std::memory_order_release);
}

// For a driver whose cuGetProcAddress answers with addresses that it does not export.
int RowOfRequest(const Request& request) {
  const bool per_thread = (request.flags & kPerThreadStream) != 0;
  int best = -1;
  for (int i = 0; i < kHookCount; ++i) {
    const HookRow& row = kRows[i];
    if (strcmp(row.name, request.name) != 0 || row.since > request.version ||
        row.category == Category::kNvml) {
      continue;
    }
    if (row.mode == (per_thread ? StreamMode::kLegacy : StreamMode::kPerThread)) {
      continue;
    }
    if (best < 0 || row.since >= kRows[best].since) {
      best = i;
    }
  }
  return best;
}

}  // namespace

const HookRow& Row(Call call) {
  return kRows[static_cast<int>(call)];
}

DlsymFunction RealDlsym() {
  DlsymFunction found = real_dlsym.load(std::memory_order_acquire);
  if (found == nullptr) {
    found = reinterpret_cast<DlsymFunction>(FindInLibc("dlsym"));
    real_dlsym.store(found, std::memory_order_release);
  }
  return found;
}

void* Resolve(Call call) {
  const int index = static_cast<int>(call);
  void* const handle = Library(IsNvml(index));
  const DlsymFunction find = RealDlsym();
  if (handle == nullptr || find == nullptr) {
    return nullptr;
  }
  void* const found = find(handle, kSymbols[index]);
  if (index < kHookCount && found == HookAt(index)) {
    return nullptr;  // The library falls through to us: it has no such function of its own.
  }
  real_function[index].store(found, std::memory_order_release);
  return found;
}

void* HookOfName(const char* name) {
  const int row = RowOfName(name);
  return row < 0 ? nullptr : HookAt(row);
}

void* HookOfPointer(void* real, const Request& request) {
  // Pointer first: it cannot disagree with the driver about versions.
  if (!pointers_known.load(std::memory_order_acquire)) {
    FillPointers();
  }
  for (uint32_t at = PointerBucket(real); pointer_row[at] != 0; at = (at + 1) % kPointerBuckets) {
    const int row = pointer_row[at] - 1;
    if (real_function[row].load(std::memory_order_relaxed) == real) {
      return HookAt(row);
    }
  }
  const int row = RowOfRequest(request);
  return row < 0 ? nullptr : HookAt(row);
}

bool IsDriverCode(void* pointer) {
  using DladdrFunction = int (*)(const void*, Dl_info*);
  static constinit std::atomic<DladdrFunction> cached{nullptr};
  DladdrFunction find = cached.load(std::memory_order_relaxed);
  if (find == nullptr) {
    find = reinterpret_cast<DladdrFunction>(FindInLibc("dladdr"));
    cached.store(find, std::memory_order_relaxed);
  }
  Dl_info info = {};
  if (find == nullptr || find(pointer, &info) == 0 || info.dli_fname == nullptr) {
    return false;
  }
  const char* name = strrchr(info.dli_fname, '/');
  name = name == nullptr ? info.dli_fname : name + 1;
  return strncmp(name, "libcuda.so", 10) == 0 || strncmp(name, "libnvidia-ml.so", 15) == 0;
}

}  // namespace sluice::shim
