// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/module.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace sluice::simgpu {
namespace {

constexpr size_t kImageBytesMax = size_t{64} << 20;
constexpr size_t kFunctionsMax = 65536;

bool NameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || c == '.' || c == '%';
}

// The word that follows `key` at `at`, which is moved past it.
std::string_view WordAfter(std::string_view text, size_t& at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n')) ++at;
  size_t begin = at;
  while (at < text.size() && NameChar(text[at])) ++at;
  return text.substr(begin, at - begin);
}

std::unique_ptr<Function> NewFunction(std::string_view name, const Module& module) {
  auto function = std::make_unique<Function>();
  function->name = name;
  function->module = &module;
  function->built_in = FindBuiltIn(function->name);
  return function;
}

// PTX is text that begins with comments and then `.version`.
bool LooksLikePtx(std::string_view text) {
  return text.substr(0, 65536).find(".version") != std::string_view::npos;
}

// Every `.entry NAME`. Whatever else the text says is taken on trust.
void ReadEntries(std::string_view text, Module& module) {
  constexpr std::string_view kEntry = ".entry";
  size_t at = 0;
  while (module.functions.size() < kFunctionsMax &&
         (at = text.find(kEntry, at)) != std::string_view::npos) {
    at += kEntry.size();
    std::string_view name = WordAfter(text, at);
    if (!name.empty()) module.functions.push_back(NewFunction(name, module));
  }
}

size_t BytesOf(std::string_view type) {
  if (type.size() < 2 || type.find_first_not_of("bsuf0123456789") != type.npos) return 0;
  size_t bits = std::strtoul(std::string(type.substr(1)).c_str(), nullptr, 10);
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 ? bits / 8 : 0;
}

// Every `.global [.align N] .TYPE NAME[COUNT]`.
void ReadGlobals(std::string_view text, Module& module) {
  constexpr std::string_view kGlobal = ".global";
  constexpr size_t kBytesMax = size_t{1} << 32;
  size_t at = 0;
  while (module.globals.size() < kFunctionsMax && (at = text.find(kGlobal, at)) != text.npos) {
    at += kGlobal.size();
    std::string_view type = WordAfter(text, at);
    if (type == ".align") {
      WordAfter(text, at);
      type = WordAfter(text, at);
    }
    size_t bytes = type.empty() ? 0 : BytesOf(type.substr(1));
    std::string_view name = WordAfter(text, at);
    if (bytes == 0 || name.empty()) continue;
    if (at < text.size() && text[at] == '[') {
      size_t count = std::strtoul(std::string(text.substr(at + 1, 20)).c_str(), nullptr, 10);
      bytes = count <= kBytesMax / bytes ? std::max<size_t>(bytes * count, 1) : kBytesMax;
    }
    module.globals.push_back({std::string(name), 0, bytes});
  }
}

CUresult Load(CUmodule* made, const std::string& text) {
  Module* module = nullptr;
  CUresult loaded = MakeModule(text, module);
  if (loaded == CUDA_SUCCESS) *made = reinterpret_cast<CUmodule>(module);
  return loaded;
}

}  // namespace

Module* ToModule(CUmodule handle) {
  auto* module = reinterpret_cast<Module*>(handle);
  return CurrentProcess()->modules.contains(module) ? module : nullptr;
}

Function* ToFunction(CUfunction handle) {
  auto* function = reinterpret_cast<Function*>(handle);
  return CurrentProcess()->functions.contains(function) ? function : nullptr;
}

CUresult ReadImage(const void* image, std::string& text) {
  const char* bytes = static_cast<const char*>(image);
  // Machine code is not text; a card of no known make cannot run it.
  bool binary = std::memcmp(bytes, "\x7f\x45\x4c\x46", 4) == 0 ||
                std::memcmp(bytes, "\x50\xed\x55\xba", 4) == 0;
  if (binary) return CUDA_ERROR_INVALID_IMAGE;
  text.assign(bytes, ::strnlen(bytes, kImageBytesMax));
  return CUDA_SUCCESS;
}

CUresult ReadImageFile(const char* path, std::string& text) {
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) return CUDA_ERROR_FILE_NOT_FOUND;
  char buffer[65536];
  size_t got = 0;
  while (text.size() < kImageBytesMax && (got = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
    text.append(buffer, got);
  }
  std::fclose(file);
  return CUDA_SUCCESS;
}

CUresult MakeModule(const std::string& text, Module*& made) {
  if (!LooksLikePtx(text)) return CUDA_ERROR_INVALID_IMAGE;
  auto module = std::make_unique<Module>();
  module->context = CurrentContext();
  ReadEntries(text, *module);
  ReadGlobals(text, *module);
  if (module->functions.empty() && module->globals.empty()) return CUDA_ERROR_INVALID_PTX;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  made = module.release();
  process.modules.insert(made);
  for (const auto& function : made->functions) process.functions.insert(function.get());
  for (Module::Global& global : made->globals) {
    CUresult taken = AllocateLinear(*made->context, global.bytes, &global.address);
    if (taken == CUDA_SUCCESS) continue;
    EndModule(made);
    return taken;
  }
  return CUDA_SUCCESS;
}

void EndModule(Module* module) {
  for (const auto& function : module->functions) {
    CurrentProcess()->functions.erase(function.get());
  }
  for (const Module::Global& global : module->globals) {
    // Gone already if the context ended.
    if (Block* block = BlockAt(global.address); block != nullptr) FreeBlock(*block);
  }
  CurrentProcess()->modules.erase(module);
  delete module;
}

SLUICE_SIM_CALL cuModuleLoadData(CUmodule* module, const void* image) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::string text;
  CUresult read = ReadImage(image, text);
  return read == CUDA_SUCCESS ? Load(module, text) : read;
}

SLUICE_SIM_CALL cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return cuModuleLoadData(module, image);
}

SLUICE_SIM_CALL
cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, int*, void**) {
  return cuModuleLoadData(module, image);
}

SLUICE_SIM_CALL cuModuleLoad(CUmodule* module, const char* path) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (module == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::string text;
  CUresult read = ReadImageFile(path, text);
  return read == CUDA_SUCCESS ? Load(module, text) : read;
}

SLUICE_SIM_CALL cuModuleUnload(CUmodule handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Module* module = ToModule(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  EndModule(module);
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (out == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Module* module = ToModule(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& function : module->functions) {
    if (function->name != name) continue;
    *out = reinterpret_cast<CUfunction>(function.get());
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}

SLUICE_SIM_CALL cuModuleGetFunctionCount(unsigned* count, CUmodule handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  const Module* module = ToModule(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *count = static_cast<unsigned>(module->functions.size());
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuModuleGetLoadingMode(int* mode) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
  constexpr int kEager = 1;
  *mode = kEager;
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
