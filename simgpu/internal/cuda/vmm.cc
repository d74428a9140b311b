// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/vmm.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/cuda/stream.h"

namespace sluice::simgpu {
namespace {

constexpr size_t kBytesMax = size_t{1} << 44;

Vmm& State() {
  return CurrentProcess()->vmm;
}

bool Granular(size_t bytes) {
  return bytes > 0 && bytes % kGranularity == 0 && bytes <= kBytesMax;
}

bool OnHost(const CUmemLocation& place) {
  return place.type == CU_MEM_LOCATION_TYPE_HOST || place.type == CU_MEM_LOCATION_TYPE_HOST_NUMA ||
         place.type == CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT;
}

CUresult CheckProp(const CUmemAllocationProp* prop) {
  if (prop == nullptr || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if ((prop->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (OnHost(prop->location)) return CUDA_SUCCESS;
  if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  return IsDevice(prop->location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

// Finds the memory a place in a file. Shareable memory gets a file of its own, which can be handed
// to another process; the rest shares one, so that thousands of pieces need one descriptor.
bool Back(Physical& memory) {
  if (memory.prop.requestedHandleTypes != 0) {
    memory.fd = ::memfd_create("sluice-simgpu", MFD_CLOEXEC);
    memory.owns_fd = true;
    return memory.fd >= 0 && ::ftruncate(memory.fd, static_cast<off_t>(memory.bytes)) == 0;
  }
  Vmm& vmm = State();
  if (vmm.arena < 0) vmm.arena = ::memfd_create("sluice-simgpu-arena", MFD_CLOEXEC);
  uint64_t end = vmm.arena_used + memory.bytes;
  if (vmm.arena < 0 || ::ftruncate(vmm.arena, static_cast<off_t>(end)) != 0) return false;
  memory.fd = vmm.arena;
  memory.offset = vmm.arena_used;
  vmm.arena_used = end;
  return true;
}

void Drop(CUmemGenericAllocationHandle handle) {
  auto found = State().memory.find(handle);
  Physical& memory = found->second;
  if (memory.handles > 0 || memory.mappings > 0) return;
  if (memory.owns_fd) {
    ::close(memory.fd);
  } else {
    ::fallocate(memory.fd,
                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(memory.offset),
                static_cast<off_t>(memory.bytes));
  }
  if (memory.charged > 0) UnchargeCard(memory.device, memory.charged);
  State().memory.erase(found);
}

CUmemGenericAllocationHandle Keep(Physical memory) {
  CUmemGenericAllocationHandle handle = ++State().last_handle;
  memory.handles = 1;
  State().memory[handle] = memory;
  return handle;
}

Physical* Find(CUmemGenericAllocationHandle handle) {
  auto found = State().memory.find(handle);
  bool held = found != State().memory.end() && found->second.handles > 0;
  return held ? &found->second : nullptr;
}

// The reserved range that holds all of [address, address + bytes).
bool InReservation(CUdeviceptr address, size_t bytes) {
  auto after = State().reservations.upper_bound(address);
  if (after == State().reservations.begin()) return false;
  auto [base, span] = *std::prev(after);
  return address - base < span && bytes <= span - (address - base);
}

bool OverlapsMapping(CUdeviceptr address, size_t bytes) {
  auto next = State().mapped.lower_bound(address);
  if (next != State().mapped.end() && next->first < address + bytes) return true;
  if (next == State().mapped.begin()) return false;
  const Block* before = BlockAt(std::prev(next)->first);
  return before != nullptr && before->base + before->bytes > address;
}

// Back to addresses that are reserved and lead nowhere.
void Unmap(Block& block) {
  CUdeviceptr base = block.base;
  ::mmap(reinterpret_cast<void*>(base),
         block.bytes,
         PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1,
         0);
  CurrentProcess()->memory.blocks.erase(base);
  CUmemGenericAllocationHandle handle = State().mapped[base];
  State().mapped.erase(base);
  --State().memory[handle].mappings;
  Drop(handle);
}

// Visits the mappings that make up the range exactly; false: there is a gap or an edge inside one.
bool Covers(CUdeviceptr address, size_t bytes, std::vector<CUdeviceptr>& parts) {
  CUdeviceptr at = address;
  while (at < address + bytes) {
    const Block* block = BlockAt(at);
    if (block == nullptr || block->kind != BlockKind::kMapped) return false;
    parts.push_back(at);
    at += block->bytes;
  }
  return at == address + bytes;
}

}  // namespace

bool HoldMemory(CUmemGenericAllocationHandle handle) {
  Physical* memory = Find(handle);
  if (memory != nullptr) ++memory->mappings;
  return memory != nullptr;
}

void LetGoMemory(CUmemGenericAllocationHandle handle) {
  --State().memory[handle].mappings;
  Drop(handle);
}

SLUICE_SIM_CALL
cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* prop, int option) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (granularity == nullptr || option < 0 || option > 1) return CUDA_ERROR_INVALID_VALUE;
  CUresult checked = CheckProp(prop);
  if (checked != CUDA_SUCCESS) return checked;
  *granularity = static_cast<size_t>(kGranularity);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemCreate(CUmemGenericAllocationHandle* handle,
            size_t bytes,
            const CUmemAllocationProp* prop,
            unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || flags != 0 || !Granular(bytes)) return CUDA_ERROR_INVALID_VALUE;
  CUresult checked = CheckProp(prop);
  if (checked != CUDA_SUCCESS) return checked;
  std::lock_guard lock(CurrentProcess()->mutex);
  Physical memory;
  memory.prop = *prop;
  memory.bytes = bytes;
  if (!OnHost(prop->location)) {
    memory.device = prop->location.id;
    CUresult charged = ChargeCard(memory.device, static_cast<int64_t>(bytes));
    if (charged != CUDA_SUCCESS) return charged;
    memory.charged = static_cast<int64_t>(bytes);
  }
  if (!Back(memory)) {
    if (memory.owns_fd && memory.fd >= 0) ::close(memory.fd);
    if (memory.charged > 0) UnchargeCard(memory.device, memory.charged);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *handle = Keep(memory);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemRelease(CUmemGenericAllocationHandle handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (State().multicast.erase(handle) == 1) return CUDA_SUCCESS;
  Physical* memory = Find(handle);
  if (memory == nullptr) return CUDA_ERROR_INVALID_VALUE;
  --memory->handles;
  Drop(handle);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemAddressReserve(CUdeviceptr* address,
                    size_t bytes,
                    size_t alignment,
                    CUdeviceptr wanted,
                    unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  bool aligned = alignment == 0 || (alignment & (alignment - 1)) == 0;
  if (address == nullptr || !Granular(bytes) || !aligned || flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // Wider alignments are met by reserving more and giving the edges back.
  size_t align = std::max(alignment, static_cast<size_t>(kGranularity));
  if (align > kBytesMax) return CUDA_ERROR_INVALID_VALUE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* wide = ::mmap(reinterpret_cast<void*>(wanted), bytes + align, PROT_NONE, kFlags, -1, 0);
  if (wide == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  auto begin = reinterpret_cast<CUdeviceptr>(wide);
  CUdeviceptr base = (begin + align - 1) / align * align;
  if (base > begin) ::munmap(wide, base - begin);
  size_t tail = begin + align - base;
  if (tail > 0) ::munmap(reinterpret_cast<void*>(base + bytes), tail);
  std::lock_guard lock(CurrentProcess()->mutex);
  State().reservations[base] = bytes;
  *address = base;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemAddressFree(CUdeviceptr address, size_t bytes) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto found = State().reservations.find(address);
  if (found == State().reservations.end() || found->second != bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (OverlapsMapping(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  ::munmap(reinterpret_cast<void*>(address), bytes);
  State().reservations.erase(found);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemMap(CUdeviceptr address,
         size_t bytes,
         size_t offset,
         CUmemGenericAllocationHandle handle,
         unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (!Granular(bytes) || address % kGranularity != 0 || flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  Physical* memory = Find(handle);
  bool inside = memory != nullptr && offset % kGranularity == 0 && offset <= memory->bytes &&
                bytes <= memory->bytes - offset;
  if (!inside || !InReservation(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (OverlapsMapping(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  void* mapped = ::mmap(reinterpret_cast<void*>(address),
                        bytes,
                        PROT_NONE,  // Until cuMemSetAccess.
                        MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                        memory->fd,
                        static_cast<off_t>(memory->offset + offset));
  if (mapped == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  ++memory->mappings;
  State().mapped[address] = handle;
  Block block;
  block.base = address;
  block.bytes = bytes;
  block.span = bytes;
  block.device = memory->device;
  block.kind = BlockKind::kMapped;
  block.context = CurrentContext();
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemUnmap(CUdeviceptr address, size_t bytes) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  CUresult allowed = AllowUnsafe();
  if (allowed != CUDA_SUCCESS) return allowed;
  std::lock_guard lock(CurrentProcess()->mutex);
  std::vector<CUdeviceptr> parts;
  if (bytes == 0 || !Covers(address, bytes, parts)) return CUDA_ERROR_INVALID_VALUE;
  for (CUdeviceptr part : parts) Unmap(*BlockAt(part));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemSetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* wishes, size_t count) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (wishes == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  std::vector<CUdeviceptr> parts;
  if (!Covers(address, bytes, parts)) return CUDA_ERROR_INVALID_VALUE;
  // One address space serves all cards, so the widest wish decides. Writes to what may only be read
  // are not caught: that would be the end of the program and not an answer.
  int access = 0;
  for (size_t i = 0; i < count; ++i) access |= wishes[i].flags;
  int protection = access != 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
  if (::mprotect(reinterpret_cast<void*>(address), bytes, protection) != 0) {
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  for (CUdeviceptr part : parts) BlockAt(part)->flags = static_cast<unsigned>(access);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemGetAccess(unsigned long long* flags, const CUmemLocation* place, CUdeviceptr address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (flags == nullptr || place == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = FindBlock(address);
  if (block == nullptr || block->kind != BlockKind::kMapped) return CUDA_ERROR_INVALID_VALUE;
  *flags = block->flags;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Block* block = FindBlock(reinterpret_cast<CUdeviceptr>(address));
  if (block == nullptr || block->kind != BlockKind::kMapped) return CUDA_ERROR_INVALID_VALUE;
  *handle = State().mapped[block->base];
  ++State().memory[*handle].handles;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* prop,
                                       CUmemGenericAllocationHandle handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Physical* memory = Find(handle);
  if (prop == nullptr || memory == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *prop = memory->prop;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemExportToShareableHandle(void* out,
                             CUmemGenericAllocationHandle handle,
                             int type,
                             unsigned long long flags) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || flags != 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(CurrentProcess()->mutex);
  const Physical* memory = Find(handle);
  if (memory == nullptr || !memory->owns_fd) return CUDA_ERROR_INVALID_VALUE;
  int copy = ::fcntl(memory->fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *static_cast<int*>(out) = copy;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* given, int type) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (handle == nullptr || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // Whatever the program passes: only a file of the right shape is taken.
  int fd = static_cast<int>(reinterpret_cast<intptr_t>(given));
  struct stat found {};
  bool fits = ::fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0 &&
              Granular(static_cast<size_t>(found.st_size));
  if (!fits) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Physical memory;
  memory.fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (memory.fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  memory.owns_fd = true;
  memory.bytes = static_cast<size_t>(found.st_size);
  memory.device = CurrentContext() == nullptr ? 0 : CurrentContext()->device;
  memory.prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  memory.prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  memory.prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, memory.device};
  *handle = Keep(memory);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
