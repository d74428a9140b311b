// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 for tests that only looks up: it writes down what a run-time library asks
// cuGetProcAddress for, one line per request (name, version, flags), into the file that
// SLUICE_RECORD names. It ends the process where the run-time asks for the first private table:
// what follows is the vendor's own check of its driver.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace {

constexpr int kUnknownError = 999;

int Refuse() {
  return kUnknownError;
}

int DriverVersion(int* version) {
  *version = 13050;
  return 0;
}

int ExportTable(const void**, const void*) {
  _exit(0);
}

void WriteDown(const char* name, int version, uint64_t flags) {
  FILE* const file = fopen(getenv("SLUICE_RECORD"), "ae");
  if (file != nullptr) {
    fprintf(file, "%s %d %llu\n", name, version, static_cast<unsigned long long>(flags));
    fclose(file);
  }
}

template <typename Function>
void* Address(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

extern "C" {

int cuGetProcAddress_v2(const char* name, void** out, int version, uint64_t flags, int* status);
int cuGetProcAddress(const char* name, void** out, int version, uint64_t flags);

int cuGetProcAddress(const char* name, void** out, int version, uint64_t flags) {
  WriteDown(name, version, flags);
  *out = strcmp(name, "cuGetProcAddress") == 0
             ? (version >= 12000 ? Address(cuGetProcAddress_v2) : Address(cuGetProcAddress))
         : strcmp(name, "cuGetExportTable") == 0   ? Address(ExportTable)
         : strcmp(name, "cuDriverGetVersion") == 0 ? Address(DriverVersion)
                                                   : Address(Refuse);
  return 0;
}

int cuGetProcAddress_v2(const char* name, void** out, int version, uint64_t flags, int* status) {
  if (status != nullptr) {
    *status = 0;
  }
  return cuGetProcAddress(name, out, version, flags);
}

int cuGetExportTable(const void** table, const void* id) {
  return ExportTable(table, id);
}
int cuDriverGetVersion(int* version) {
  return DriverVersion(version);
}
}
