// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/cuda/stream.h"

// Memory of another maker, handed over as a file descriptor. Nobody's card is charged: it was
// charged where it was made.
namespace sluice::simgpu {
namespace {

constexpr int kOpaqueFd = 1;

struct HandleDesc {
  int type;
  union {
    int fd;
    struct {
      void* handle;
      const void* name;
    } other;
  } handle;
  unsigned long long size;
  unsigned flags;
  unsigned reserved[16];
};

struct BufferDesc {
  unsigned long long offset;
  unsigned long long size;
  unsigned flags;
  unsigned reserved[16];
};

const ExternalMemory* ToExternal(void* handle) {
  auto found = CurrentProcess()->external.find(handle);
  return found == CurrentProcess()->external.end() ? nullptr : found->second.get();
}

}  // namespace

SLUICE_SIM_CALL cuImportExternalMemory(void** out, const HandleDesc* desc) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || desc == nullptr || desc->size == 0) return CUDA_ERROR_INVALID_VALUE;
  if (desc->type != kOpaqueFd) return CUDA_ERROR_NOT_SUPPORTED;
  struct stat found {};
  bool fits = ::fstat(desc->handle.fd, &found) == 0 && S_ISREG(found.st_mode) &&
              found.st_size >= 0 && static_cast<uint64_t>(found.st_size) >= desc->size;
  if (!fits) return CUDA_ERROR_INVALID_VALUE;
  auto memory = std::make_unique<ExternalMemory>();
  memory->fd = desc->handle.fd;  // Ours from now on.
  memory->bytes = desc->size;
  std::lock_guard lock(CurrentProcess()->mutex);
  *out = memory.get();
  CurrentProcess()->external[*out] = std::move(memory);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuExternalMemoryGetMappedBuffer(CUdeviceptr* out, void* handle, const BufferDesc* desc) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const ExternalMemory* memory = ToExternal(handle);
  if (memory == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  bool sound = out != nullptr && desc != nullptr && desc->size > 0 && desc->flags == 0 &&
               desc->offset <= memory->bytes && desc->size <= memory->bytes - desc->offset;
  if (!sound) return CUDA_ERROR_INVALID_VALUE;
  constexpr uint64_t kPage = 4096;
  uint64_t lead = desc->offset % kPage;
  size_t span = lead + desc->size;
  void* base = ::mmap(nullptr,
                      span,
                      PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE,
                      memory->fd,
                      static_cast<off_t>(desc->offset - lead));
  if (base == MAP_FAILED) return CUDA_ERROR_MAP_FAILED;
  Block block;
  block.base = reinterpret_cast<CUdeviceptr>(base) + lead;
  block.lead = lead;
  block.bytes = desc->size;
  block.span = span;
  block.kind = BlockKind::kExternal;
  block.context = CurrentContext();
  block.device = block.context->device;
  *out = block.base;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuDestroyExternalMemory(void* handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const ExternalMemory* memory = ToExternal(handle);
  if (memory == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  ::close(memory->fd);
  CurrentProcess()->external.erase(handle);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
