// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/cuda/stream.h"

// Events that processes share.
namespace sluice::simgpu {
namespace {

constexpr uint64_t kMagic = 0x5349474d45565431;
constexpr size_t kFileBytes = 4096;
constexpr unsigned kDisableTiming = 2;
constexpr unsigned kInterprocess = 4;

// What stands in the 64 bytes of a handle. Comes from other processes.
struct Handle {
  uint64_t magic;
  uint64_t name;
  uint32_t slot;
};

SharedEvent* MapShared(const std::string& path, int flags) {
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  if (fd < 0) return nullptr;
  bool made = (flags & O_CREAT) != 0;
  struct stat found {};
  bool ok = made ? ::fchmod(fd, 0666) == 0 && ::ftruncate(fd, kFileBytes) == 0
                 : ::fstat(fd, &found) == 0 && S_ISREG(found.st_mode) &&
                       found.st_size >= static_cast<off_t>(kFileBytes);
  void* at =
      ok ? ::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  ::close(fd);
  return at == MAP_FAILED ? nullptr : static_cast<SharedEvent*>(at);
}

}  // namespace

SLUICE_SIM_CALL cuIpcGetEventHandle(CUipcMemHandle* out, CUevent handle) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::shared_ptr<Event> event = ResolveEvent(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  constexpr unsigned kNeeded = kDisableTiming | kInterprocess;
  if (out == nullptr || (event->flags & kNeeded) != kNeeded) return CUDA_ERROR_INVALID_VALUE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  if (event->shared == nullptr) {
    uint64_t name = 0;
    if (::getrandom(&name, sizeof(name), 0) != sizeof(name)) return CUDA_ERROR_OPERATING_SYSTEM;
    auto slot = static_cast<uint32_t>(process.map.slot());
    event->shared = MapShared(SharedPath(slot, name), O_CREAT | O_EXCL);
    if (event->shared == nullptr) return CUDA_ERROR_OPERATING_SYSTEM;
    event->shared_slot = slot;
    event->shared_name = name;
  }
  Handle packed{kMagic, event->shared_name, event->shared_slot};
  *out = {};
  std::memcpy(out->reserved, &packed, sizeof(packed));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuIpcOpenEventHandle(CUevent* out, CUipcMemHandle given) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Handle packed{};
  std::memcpy(&packed, given.reserved, sizeof(packed));
  bool sound = packed.magic == kMagic && packed.slot < static_cast<uint32_t>(kSlots);
  if (!sound) return CUDA_ERROR_INVALID_HANDLE;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  auto event = std::make_shared<Event>();
  event->shared = MapShared(SharedPath(packed.slot, packed.name), 0);
  if (event->shared == nullptr) return CUDA_ERROR_MAP_FAILED;
  event->shared_slot = packed.slot;
  event->shared_name = packed.name;
  event->context = CurrentContext();
  event->device = event->context->device;
  event->flags = kDisableTiming | kInterprocess;
  *out = reinterpret_cast<CUevent>(event.get());
  process.events[*out] = event;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
