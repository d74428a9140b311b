// SPDX-License-Identifier: Apache-2.0
// Asks the driver's cuGetProcAddress for each line "name version flags" of standard input, and says
// what was answered: the code, the status, and the symbol that the pointer is.
//
//   replay v2|v1            each line's answer
//   replay v2|v1 elsewhere  only the symbols that lie outside the driver's library
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>

namespace {

using Get1 = int (*)(const char*, void**, int, uint64_t);
using Get2 = int (*)(const char*, void**, int, uint64_t, int*);

const char* NameOf(void* pointer) {
  Dl_info info = {};
  if (pointer == nullptr) {
    return "none";
  }
  return dladdr(pointer, &info) != 0 && info.dli_sname != nullptr ? info.dli_sname : "unnamed";
}

bool IsElsewhere(void* pointer) {
  Dl_info info = {};
  return pointer != nullptr && dladdr(pointer, &info) != 0 &&
         strstr(info.dli_fname, "libcuda.so") == nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  if (library == nullptr || argc < 2) {
    return 1;
  }
  const bool second = strcmp(argv[1], "v2") == 0;
  void* const get = dlsym(library, second ? "cuGetProcAddress_v2" : "cuGetProcAddress");
  char line[256];
  while (fgets(line, sizeof(line), stdin) != nullptr) {
    // The first request has an empty name.
    char name[200] = "";
    int version = 0;
    unsigned long long flags = 0;
    if (line[0] == ' ' ? sscanf(line, " %d %llu", &version, &flags) != 2
                       : sscanf(line, "%199s %d %llu", name, &version, &flags) != 3) {
      return 2;
    }
    void* found = nullptr;
    int status = -1;
    const int result = second ? reinterpret_cast<Get2>(get)(name, &found, version, flags, &status)
                              : reinterpret_cast<Get1>(get)(name, &found, version, flags);
    if (argc > 2) {
      if (IsElsewhere(found)) {
        printf("%s\n", NameOf(found));
      }
      continue;
    }
    printf("%s@%d/%llu: %d %d %s\n", name, version, flags, result, status, NameOf(found));
  }
  return 0;
}
