// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "simgpu/internal/cuda/process.h"

// Suspending processes: RUNNING, LOCKED (its calls wait), CHECKPOINTED (it holds nothing of any
// card), and back. What a card held stays where it is in the process's memory, so nothing is lost
// and nothing is copied. A restore that finds no room leaves the process as it is, to be tried
// again.
namespace sluice::simgpu {
namespace {

struct LockArgs {
  unsigned timeout_ms;
  unsigned reserved0;
  uint64_t reserved1[7];
};

// A process in a state that the call may begin in. Takes no mutex: the map is shared anyway.
CUresult Find(int pid, CheckpointState from, int& slot) {
  CUresult initialised = Initialised();
  if (initialised != CUDA_SUCCESS) return initialised;
  slot = CurrentProcess()->map.SlotOf(pid);
  if (slot < 0) return CUDA_ERROR_INVALID_VALUE;
  return CurrentProcess()->map.CheckpointOf(slot) == from ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_STATE;
}

}  // namespace

SLUICE_SIM_CALL cuCheckpointProcessGetState(int pid, int* state) {
  CUresult initialised = Initialised();
  if (initialised != CUDA_SUCCESS) return initialised;
  int slot = CurrentProcess()->map.SlotOf(pid);
  if (slot < 0 || state == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *state = static_cast<int>(CurrentProcess()->map.CheckpointOf(slot));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCheckpointProcessGetRestoreThreadId(int pid, int* thread) {
  CUresult initialised = Initialised();
  if (initialised != CUDA_SUCCESS) return initialised;
  if (CurrentProcess()->map.SlotOf(pid) < 0 || thread == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *thread = pid;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCheckpointProcessLock(int pid, const LockArgs* args) {
  int slot = -1;
  CUresult found = Find(pid, kCheckpointRunning, slot);
  if (found != CUDA_SUCCESS) return found;
  DeviceMap& map = CurrentProcess()->map;
  map.SetCheckpoint(slot, kCheckpointLocked);
  constexpr useconds_t kLookUs = 1000;
  int64_t began_ns = MonotonicNs();
  while (!map.IsDrained(slot)) {
    int64_t waited_ms = (MonotonicNs() - began_ns) / 1'000'000;
    bool over = args != nullptr && args->timeout_ms != 0 && waited_ms >= args->timeout_ms;
    if (over) {
      map.SetCheckpoint(slot, kCheckpointRunning);
      return CUDA_ERROR_NOT_READY;
    }
    ::usleep(kLookUs);
  }
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCheckpointProcessCheckpoint(int pid, const void* /*args*/) {
  int slot = -1;
  CUresult found = Find(pid, kCheckpointLocked, slot);
  if (found != CUDA_SUCCESS) return found;
  DeviceMap& map = CurrentProcess()->map;
  if (map.HindrancesOf(slot) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  map.SaveSlot(slot);
  map.SetCheckpoint(slot, kCheckpointed);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCheckpointProcessRestore(int pid, const void* /*args*/) {
  int slot = -1;
  CUresult found = Find(pid, kCheckpointed, slot);
  if (found != CUDA_SUCCESS) return found;
  DeviceMap& map = CurrentProcess()->map;
  if (!map.RestoreSlot(slot, Capacities(CurrentProcess()->scene))) return CUDA_ERROR_OUT_OF_MEMORY;
  map.SetCheckpoint(slot, kCheckpointLocked);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuCheckpointProcessUnlock(int pid, const void* /*args*/) {
  int slot = -1;
  CUresult found = Find(pid, kCheckpointLocked, slot);
  if (found != CUDA_SUCCESS) return found;
  CurrentProcess()->map.SetCheckpoint(slot, kCheckpointRunning);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
