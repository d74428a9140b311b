// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/module.h"

#include <algorithm>
#include <cstdio>
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

CUresult Load(CUmodule* made, std::string_view text) {
  if (!LooksLikePtx(text)) return CUDA_ERROR_INVALID_IMAGE;
  auto module = std::make_unique<Module>();
  module->context = CurrentContext();
  ReadEntries(text, *module);
  if (module->functions.empty()) return CUDA_ERROR_INVALID_PTX;
  Process& process = *CurrentProcess();
  std::lock_guard lock(process.mutex);
  for (const auto& function : module->functions) process.functions.insert(function.get());
  process.modules.insert(module.get());
  *made = reinterpret_cast<CUmodule>(module.release());
  return CUDA_SUCCESS;
}

Module* ToModule(CUmodule handle) {
  auto* module = reinterpret_cast<Module*>(handle);
  return CurrentProcess()->modules.contains(module) ? module : nullptr;
}

}  // namespace

SLUICE_SIM_CALL cuModuleLoadData(CUmodule* module, const void* image) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const char* text = static_cast<const char*>(image);
  // Machine code is not text; a card of no known make cannot run it.
  bool binary = std::memcmp(text, "\x7f\x45\x4c\x46", 4) == 0 ||
                std::memcmp(text, "\x50\xed\x55\xba", 4) == 0;
  if (binary) return CUDA_ERROR_INVALID_IMAGE;
  return Load(module, {text, ::strnlen(text, kImageBytesMax)});
}

SLUICE_SIM_CALL
cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, int*, void**) {
  return cuModuleLoadData(module, image);
}

SLUICE_SIM_CALL cuModuleLoad(CUmodule* module, const char* path) {
  CUresult ready = ReadyToAllocate();
  if (ready != CUDA_SUCCESS) return ready;
  if (module == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) return CUDA_ERROR_FILE_NOT_FOUND;
  std::string text;
  char buffer[65536];
  size_t got = 0;
  while (text.size() < kImageBytesMax && (got = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
    text.append(buffer, got);
  }
  std::fclose(file);
  return Load(module, text);
}

SLUICE_SIM_CALL cuModuleUnload(CUmodule handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  Module* module = ToModule(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& function : module->functions) {
    CurrentProcess()->functions.erase(function.get());
  }
  CurrentProcess()->modules.erase(module);
  delete module;
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

SLUICE_SIM_CALL cuFuncGetName(const char** name, CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* function = reinterpret_cast<const Function*>(handle);
  if (!CurrentProcess()->functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *name = function->name.c_str();
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuFuncGetAttribute(int* value, int attribute, CUfunction handle) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr int kAttributes = 16;
  constexpr int kThreadsMax = 0;
  constexpr int kRegisters = 4;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* function = reinterpret_cast<const Function*>(handle);
  if (!CurrentProcess()->functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (value == nullptr || attribute < 0 || attribute >= kAttributes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto set = function->attributes.find(attribute);
  *value = set != function->attributes.end() ? set->second
           : attribute == kThreadsMax        ? 1024
           : attribute == kRegisters         ? 32
                                             : 0;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuFuncSetAttribute(CUfunction handle, int attribute, int value) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  constexpr int kSharedMax = 8;
  constexpr int kLast = 15;
  std::lock_guard lock(CurrentProcess()->mutex);
  auto* function = reinterpret_cast<Function*>(handle);
  if (!CurrentProcess()->functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (attribute < kSharedMax || attribute > kLast) return CUDA_ERROR_INVALID_VALUE;
  function->attributes[attribute] = value;
  return CUDA_SUCCESS;
}

SLUICE_SIM_CALL
cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int threads, size_t) {
  CUresult ready = Ready();
  if (ready != CUDA_SUCCESS) return ready;
  std::lock_guard lock(CurrentProcess()->mutex);
  if (!CurrentProcess()->functions.contains(reinterpret_cast<const Function*>(handle))) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  constexpr int kThreadsPerMultiprocessor = 2048;
  constexpr int kBlocksMax = 32;
  if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
  *blocks = std::min(kThreadsPerMultiprocessor / threads, kBlocksMax);
  return CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
