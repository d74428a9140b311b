// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "simgpu/internal/cuda/calls.h"
#include "simgpu/internal/cuda/process.h"
#include "simgpu/internal/hide.h"

// cuGetProcAddress: by the table in calls.def, never by dlsym, which an interposer may own.
namespace sluice::simgpu {

namespace {

// The rows are sorted by name, so that a start of the CUDA runtime (hundreds of questions) costs
// microseconds.
const CallRow* Find(std::string_view name, int version, int driver, bool per_thread, bool& known) {
  std::span<const CallRow> rows = Calls();
  auto first = std::lower_bound(
      rows.begin(), rows.end(), name, [](const CallRow& row, std::string_view wanted) {
        return row.name < wanted;
      });
  const CallRow* best = nullptr;
  known = false;
  for (auto row = first; row != rows.end() && row->name == name; ++row) {
    known = known || row->version <= driver;
    if (row->version > version || (row->per_thread && !per_thread)) continue;
    bool better = best == nullptr || row->version > best->version ||
                  (row->version == best->version && row->per_thread);
    if (better) best = &*row;
  }
  return best;
}

// A driver knows nothing newer than itself, whatever version is asked for.
int DriverVersion() {
  const Process* process = CurrentProcess();
  return process == nullptr ? Scene{}.cuda_version : process->scene.cuda_version;
}

// An older driver's library has no symbols of what came later, either.
__attribute__((constructor)) void HideWhatCameLater() {
  auto scene = ReadScene(StateFolder());
  if (!scene || scene->cuda_version >= Scene{}.cuda_version) return;
  // A symbol may have two rows: what was a name of its own became the newer form of another.
  std::unordered_set<std::string_view> there;
  std::unordered_set<std::string_view> later;
  for (const CallRow& row : Calls()) {
    (row.version <= scene->cuda_version ? there : later).insert(row.symbol);
  }
  HideSymbols(
      [&](std::string_view symbol) { return later.contains(symbol) && !there.contains(symbol); });
}

}  // namespace

SLUICE_SIM_CALL
cuGetProcAddress_v2(const char* name, void** address, int version, uint64_t flags, int* status) {
  if (name == nullptr || address == nullptr) return CUDA_ERROR_INVALID_VALUE;
  constexpr uint64_t kKnown =
      CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  if ((flags & ~kKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (version > DriverVersion()) return CUDA_ERROR_INVALID_VALUE;
  bool known = false;
  bool per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
  const CallRow* row = Find(name, version, DriverVersion(), per_thread, known);
  *address = row == nullptr ? nullptr : reinterpret_cast<void*>(row->address);
  if (status != nullptr) {
    *status = row != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS
              : known        ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                             : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuGetProcAddress(const char* name, void** address, int version, uint64_t flags) {
  CUresult got = cuGetProcAddress_v2(name, address, version, flags, nullptr);
  if (got != CUDA_SUCCESS) return got;
  return *address == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
