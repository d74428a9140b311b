// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simgpu/internal/cuda/stream.h"

// Memory handed to another process: its pages move into a file of the state folder, which the other
// maps too. The exporter stays charged for it, the importer is not.
namespace sluice::simgpu {
namespace {

constexpr uint64_t kHandleMagic = 0x5349474d50555031;
constexpr size_t kSpanMax = size_t{1} << 44;

// What stands in the 64 bytes of a handle. Comes from other processes, so every field is checked.
struct Handle {
  uint64_t magic;
  uint64_t name;
  uint64_t span;    // Of the file.
  uint64_t offset;  // Of the block in it.
  uint64_t bytes;
  uint32_t slot;
  uint32_t pid;
};
static_assert(sizeof(Handle) <= sizeof(CUipcMemHandle));

}  // namespace

std::string SharedPath(uint32_t slot, uint64_t name) {
  char text[64];
  std::snprintf(
      text, sizeof(text), "/ipc/s%u-%016llx", slot, static_cast<unsigned long long>(name));
  return StateFolder() + text;
}

namespace {

// Moves the pages under [base, base + span) into a new file, in place.
CUresult MoveToFile(char* base, size_t span, const std::string& path) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return CUDA_ERROR_NOT_SUPPORTED;
  // Other processes of the machine may be other users.
  bool ok = ::fchmod(fd, 0666) == 0 && ::ftruncate(fd, static_cast<off_t>(span)) == 0;
  constexpr size_t kStep = 65536;
  static constexpr char kZeroes[kStep] = {};
  for (size_t at = 0; ok && at < span; at += kStep) {
    size_t bytes = std::min(kStep, span - at);
    if (std::memcmp(base + at, kZeroes, bytes) == 0) continue;  // Leave the file sparse.
    ok = ::pwrite(fd, base + at, bytes, static_cast<off_t>(at)) == static_cast<ssize_t>(bytes);
  }
  constexpr int kFlags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
  ok = ok && ::mmap(base, span, PROT_READ | PROT_WRITE, kFlags, fd, 0) != MAP_FAILED;
  ::close(fd);
  if (!ok) ::unlink(path.c_str());
  return ok ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

CUresult Export(Block& block, char (&out)[64]) {
  Process& process = *CurrentProcess();
  // A small block travels with its whole slab, as on a card.
  bool small = block.slab != nullptr;
  char* base = small ? block.slab->base : reinterpret_cast<char*>(block.base);
  std::string& file = small ? block.slab->shared_file : block.shared_file;
  uint64_t& name = small ? block.slab->shared_name : block.shared_name;
  size_t span = small ? block.slab->span : block.span;
  auto slot = static_cast<uint32_t>(process.map.slot());
  if (file.empty()) {
    if (::getrandom(&name, sizeof(name), 0) != sizeof(name)) return CUDA_ERROR_OPERATING_SYSTEM;
    std::string path = SharedPath(slot, name);
    CUresult moved = MoveToFile(base, span, path);
    if (moved != CUDA_SUCCESS) return moved;
    file = path;
  }
  Handle handle{};
  handle.magic = kHandleMagic;
  handle.name = name;
  handle.span = span;
  handle.offset = block.base - reinterpret_cast<CUdeviceptr>(base);
  handle.bytes = block.bytes;
  handle.slot = slot;
  std::memset(out, 0, sizeof(out));
  std::memcpy(out, &handle, sizeof(handle));
  return CUDA_SUCCESS;
}

CUresult Import(const char (&given)[64], CUdeviceptr* out) {
  Handle handle{};
  std::memcpy(&handle, given, sizeof(handle));
  bool sound = handle.magic == kHandleMagic && handle.slot < static_cast<uint32_t>(kSlots) &&
               handle.span > 0 && handle.span <= kSpanMax && handle.offset < handle.span &&
               handle.bytes > 0 && handle.bytes <= handle.span - handle.offset;
  if (!sound) return CUDA_ERROR_INVALID_HANDLE;
  Process& process = *CurrentProcess();
  if (handle.slot == static_cast<uint32_t>(process.map.slot())) return CUDA_ERROR_INVALID_CONTEXT;
  std::string path = SharedPath(handle.slot, handle.name);
  int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  struct stat found {};
  bool fits = fd >= 0 && ::fstat(fd, &found) == 0 && S_ISREG(found.st_mode) &&
              found.st_size >= static_cast<off_t>(handle.span);
  void* base =
      !fits
          ? MAP_FAILED
          : ::mmap(nullptr, handle.span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (fd >= 0) ::close(fd);
  if (base == MAP_FAILED) return CUDA_ERROR_MAP_FAILED;
  Block block;
  block.base = reinterpret_cast<CUdeviceptr>(base) + handle.offset;
  block.lead = handle.offset;
  block.bytes = handle.bytes;
  block.span = handle.span;
  block.kind = BlockKind::kImported;
  block.context = CurrentContext();
  block.device = block.context->device;
  *out = block.base;
  AddBlock(std::move(block));
  return CUDA_SUCCESS;
}

}  // namespace

CUresult ExportBlock(Block& block, char (&out)[64]) {
  return Export(block, out);
}
CUresult ImportBlock(const char (&given)[64], CUdeviceptr* out) {
  return Import(given, out);
}

SLUICE_SIM_CALL cuIpcGetMemHandle(CUipcMemHandle* out, CUdeviceptr address) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = FindBlock(address);
  if (block == nullptr || block->kind != BlockKind::kLinear) return CUDA_ERROR_INVALID_VALUE;
  return Export(*block, out->reserved);
}

SLUICE_SIM_CALL cuIpcOpenMemHandle_v2(CUdeviceptr* out, CUipcMemHandle given, unsigned flags) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || flags > 1) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  return Import(given.reserved, out);
}

SLUICE_SIM_CALL cuIpcOpenMemHandle(CUdeviceptr* out, CUipcMemHandle handle, unsigned flags) {
  return cuIpcOpenMemHandle_v2(out, handle, flags);
}

SLUICE_SIM_CALL cuIpcCloseMemHandle(CUdeviceptr address) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Block* block = BlockAt(address);
  if (block == nullptr || block->kind != BlockKind::kImported) return CUDA_ERROR_INVALID_VALUE;
  FreeBlock(*block);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
