// SPDX-License-Identifier: Apache-2.0
// What dlsym and dlvsym answer for names of driver calls. Nothing is started here: a program that
// only looks is left as it was.
#include <dlfcn.h>

#include "shim/internal/driver.h"
#include "shim/internal/elf.h"
#include "shim/internal/handlers.h"

// Read by entry.S.
extern "C" {
[[gnu::visibility("hidden")]] void* sluice_real_dlsym = nullptr;
[[gnu::visibility("hidden")]] void* sluice_real_dlvsym = nullptr;
[[gnu::visibility("hidden")]] void SluiceFindLoader();
[[gnu::visibility("hidden")]] void* SluiceLookUp(void* handle, const char* name);
}

namespace {

bool IsUpper(char c) {
  return c >= 'A' && c <= 'Z';
}

// cu[A-Z]… or nvml[A-Z]…: neither curl_… nor cuda….
bool MayBeDriverCall(const char* name) {
  if (name[0] == 'c') {
    return name[1] == 'u' && IsUpper(name[2]);
  }
  return name[0] == 'n' && name[1] == 'v' && name[2] == 'm' && name[3] == 'l' && IsUpper(name[4]);
}

}  // namespace

extern "C" void SluiceFindLoader() {
  // Two threads may do this at once; both store the same.
  __atomic_store_n(&sluice_real_dlvsym, sluice::shim::FindInLibc("dlvsym"), __ATOMIC_RELEASE);
  __atomic_store_n(&sluice_real_dlsym, sluice::shim::FindInLibc("dlsym"), __ATOMIC_RELEASE);
}

// The hook, or null: ask the loader.
extern "C" void* SluiceLookUp(void* handle, const char* name) {
  using sluice::shim::HookOfName;
  if (!MayBeDriverCall(name)) {
    return nullptr;
  }
  void* const hook = HookOfName(name);
  // RTLD_NEXT too: the hook calls the driver by pointer, so whoever wraps driver calls above us
  // cannot come back to itself.
  if (hook == nullptr || handle == RTLD_NEXT || handle == RTLD_DEFAULT) {
    return hook;
  }
  const sluice::shim::DlsymFunction find = sluice::shim::RealDlsym();
  void* const real = find == nullptr ? nullptr : find(handle, name);
  return real != nullptr && sluice::shim::IsDriverCode(real) ? hook : nullptr;
}

namespace sluice::shim {
namespace {

void Substitute(const Request& request, void** out) {
  if (out == nullptr || *out == nullptr || request.name == nullptr) {
    return;
  }
  if (void* const hook = HookOfPointer(*out, request); hook != nullptr) {
    *out = hook;
  }
}

}  // namespace

CUresult GetProcAddress(Call call, const char* name, void** out, int version, uint64_t flags) {
  const CUresult result = Cuda(call, name, out, version, flags);
  if (result == kSuccess) {
    Substitute({name, version, flags}, out);
  }
  return result;
}

CUresult GetProcAddress(
    Call call, const char* name, void** out, int version, uint64_t flags, int* status) {
  const CUresult result = Cuda(call, name, out, version, flags, status);
  if (result == kSuccess) {
    Substitute({name, version, flags}, out);
  }
  return result;
}

}  // namespace sluice::shim
