// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "simgpu/internal/cuda/module.h"

// Libraries, which are modules that no context owns; kernels, which are their functions; and texts
// put together by the linker.
namespace sluice::simgpu {

// A library is its module: handles of both are one address.
namespace {

CUlibrary ToLibrary(const Module* module) {
  return reinterpret_cast<CUlibrary>(const_cast<Module*>(module));
}
Module* FromLibrary(CUlibrary library) {
  return ToModule(reinterpret_cast<CUmodule>(library));
}

CUresult Load(CUlibrary* out, const std::string& text) {
  Module* module = nullptr;
  CUresult made = MakeModule(text, module);
  if (made == CUDA_SUCCESS) *out = ToLibrary(module);
  return made;
}

CUresult FindGlobal(const Module* module, const char* name, CUdeviceptr* address, size_t* bytes) {
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (const Module::Global& global : module->globals) {
    if (global.name != name) continue;
    if (address != nullptr) *address = global.address;
    if (bytes != nullptr) *bytes = global.bytes;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}

template <typename Handle>
CUresult Enumerate(const Module* module, Handle* out, unsigned room) {
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < std::min<size_t>(room, module->functions.size()); ++i) {
    out[i] = reinterpret_cast<Handle>(module->functions[i].get());
  }
  return CUDA_SUCCESS;
}

}  // namespace

SLUICE_SIM_CALL cuFuncGetAttribute(int* value, int attribute, CUfunction function);
SLUICE_SIM_CALL cuFuncSetAttribute(CUfunction function, int attribute, int value);
SLUICE_SIM_CALL cuFuncGetName(const char** name, CUfunction function);

SLUICE_SIM_CALL cuLibraryLoadData(
    CUlibrary* library, const void* image, int*, void**, unsigned, int*, void**, unsigned) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (library == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::string text;
  CUresult read = ReadImage(image, text);
  return read == CUDA_SUCCESS ? Load(library, text) : read;
}

SLUICE_SIM_CALL cuLibraryLoadFromFile(
    CUlibrary* library, const char* path, int*, void**, unsigned, int*, void**, unsigned) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (library == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::string text;
  CUresult read = ReadImageFile(path, text);
  return read == CUDA_SUCCESS ? Load(library, text) : read;
}

SLUICE_SIM_CALL cuLibraryUnload(CUlibrary library) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Module* module = FromLibrary(library);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  EndModule(module);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuLibraryGetKernel(CUkernel* out, CUlibrary library, const char* name) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Module* module = FromLibrary(library);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& function : module->functions) {
    if (function->name != name) continue;
    *out = reinterpret_cast<CUkernel>(function.get());
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}

SLUICE_SIM_CALL cuLibraryGetKernelCount(unsigned* count, CUlibrary library) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Module* module = FromLibrary(library);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *count = static_cast<unsigned>(module->functions.size());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuLibraryEnumerateKernels(CUkernel* out, unsigned room, CUlibrary library) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return Enumerate(FromLibrary(library), out, room);
}

SLUICE_SIM_CALL cuModuleEnumerateFunctions(CUfunction* out, unsigned room, CUmodule module) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return Enumerate(ToModule(module), out, room);
}

SLUICE_SIM_CALL cuLibraryGetModule(CUmodule* out, CUlibrary library) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Module* module = FromLibrary(library);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = reinterpret_cast<CUmodule>(module);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return FindGlobal(FromLibrary(library), name, address, bytes);
}

// No text of PTX declares managed variables here, nor functions for both sides.
SLUICE_SIM_CALL cuLibraryGetManaged(CUdeviceptr*, size_t*, CUlibrary library, const char*) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return FromLibrary(library) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_FOUND;
}
SLUICE_SIM_CALL cuLibraryGetUnifiedFunction(void**, CUlibrary library, const char* name) {
  return cuLibraryGetManaged(nullptr, nullptr, library, name);
}

SLUICE_SIM_CALL
cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  return FindGlobal(ToModule(module), name, address, bytes);
}

SLUICE_SIM_CALL cuKernelGetFunction(CUfunction* out, CUkernel kernel) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto function = reinterpret_cast<CUfunction>(kernel);
  if (ToFunction(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = function;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuKernelGetLibrary(CUlibrary* out, CUkernel kernel) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Function* function = ToFunction(reinterpret_cast<CUfunction>(kernel));
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = ToLibrary(function->module);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuKernelGetName(const char** name, CUkernel kernel) {
  return cuFuncGetName(name, reinterpret_cast<CUfunction>(kernel));
}
SLUICE_SIM_CALL cuKernelGetAttribute(int* value, int attribute, CUkernel kernel, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  return cuFuncGetAttribute(value, attribute, reinterpret_cast<CUfunction>(kernel));
}
SLUICE_SIM_CALL cuKernelSetAttribute(int attribute, int value, CUkernel kernel, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  return cuFuncSetAttribute(reinterpret_cast<CUfunction>(kernel), attribute, value);
}
SLUICE_SIM_CALL cuKernelSetCacheConfig(CUkernel kernel, int /*config*/, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  const char* name = nullptr;
  return cuKernelGetName(&name, kernel);
}

// The linker puts texts one after the other; what it gives is a text again.
namespace {

struct Linker {
  std::string text;
};

Linker* ToLinker(void* handle) {
  auto* linker = static_cast<Linker*>(handle);
  return CurrentProcess()->linkers.contains(linker) ? linker : nullptr;
}

}  // namespace

SLUICE_SIM_CALL cuLinkCreate_v2(unsigned, int*, void**, void** out) {
  CUresult ready = ReadyWithContext();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  *out = new Linker;
  CurrentProcess()->linkers.insert(*out);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuLinkAddData_v2(
    void* handle, int /*type*/, void* data, size_t bytes, const char*, unsigned, int*, void**) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Linker* linker = ToLinker(handle);
  if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (data == nullptr || bytes < 4) return CUDA_ERROR_INVALID_VALUE;
  std::string text(static_cast<const char*>(data), bytes);
  text.resize(::strnlen(text.c_str(), text.size()));
  if (text.find(".version") == std::string::npos) return CUDA_ERROR_INVALID_IMAGE;
  linker->text += text + "\n";
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuLinkAddFile_v2(void* handle, int type, const char* path, unsigned, int*, void**) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (path == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::string text;
  CUresult read = ReadImageFile(path, text);
  if (read != CUDA_SUCCESS) return read;
  return cuLinkAddData_v2(handle, type, text.data(), text.size(), path, 0, nullptr, nullptr);
}

SLUICE_SIM_CALL cuLinkComplete(void* handle, void** image, size_t* bytes) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Linker* linker = ToLinker(handle);
  if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *image = linker->text.data();
  if (bytes != nullptr) *bytes = linker->text.size() + 1;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuLinkDestroy(void* handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Linker* linker = ToLinker(handle);
  if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  CurrentProcess()->linkers.erase(linker);
  delete linker;
  return CUDA_SUCCESS;
}

// The first forms differ in the type of their options alone.
SLUICE_SIM_CALL cuLinkCreate(unsigned count, int* options, void** values, void** out) {
  return cuLinkCreate_v2(count, options, values, out);
}
SLUICE_SIM_CALL cuLinkAddData(void* linker,
                              int type,
                              void* data,
                              size_t bytes,
                              const char* name,
                              unsigned count,
                              int* options,
                              void** values) {
  return cuLinkAddData_v2(linker, type, data, bytes, name, count, options, values);
}
SLUICE_SIM_CALL cuLinkAddFile(
    void* linker, int type, const char* path, unsigned count, int* options, void** values) {
  return cuLinkAddFile_v2(linker, type, path, count, options, values);
}

}  // namespace sluice::simgpu
