// SPDX-License-Identifier: Apache-2.0
// A program that comes to the driver by unusual ways, for tests: allocates BYTES and prints the
// code.
//
//   injection_probe plain|absolute|deepbind|namespace|forked BYTES
//   injection_probe vfork BYTES    starts another program by vfork, then allocates; the code, and
//                                  the other's exit status; waits for the end of its input
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

void* Open(const char* way) {
  if (strcmp(way, "absolute") == 0) {
    return dlopen("/run/sluice/simgpu/lib/libcuda.so.1", RTLD_NOW);
  }
  if (strcmp(way, "deepbind") == 0) {
    return dlopen("libcuda.so.1", RTLD_NOW | RTLD_DEEPBIND);
  }
  if (strcmp(way, "namespace") == 0) {
    return dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW);
  }
  return dlopen("libcuda.so.1", RTLD_NOW);
}

template <typename... A>
int Ask(void* library, const char* name, A... arguments) {
  void* const found = dlsym(library, name);
  return found == nullptr ? -1 : reinterpret_cast<int (*)(A...)>(found)(arguments...);
}

int Allocate(void* library, size_t bytes) {
  void* context = nullptr;
  unsigned long long block = 0;
  int result = Ask(library, "cuInit", 0U);
  if (result == 0) {
    result = Ask(library, "cuDevicePrimaryCtxRetain", &context, 0);
  }
  if (result == 0) {
    result = Ask(library, "cuCtxSetCurrent", context);
  }
  return result != 0 ? result : Ask(library, "cuMemAlloc_v2", &block, bytes);
}

// What the other program of a vfork ended with.
int RunTrue() {
  const pid_t child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", nullptr);
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    return 64;
  }
  const char* const way = argv[1];
  const size_t bytes = strtoull(argv[2], nullptr, 10);
  void* const library = Open(way);
  if (library == nullptr) {
    printf("no driver: %s\n", dlerror());
    return 3;
  }
  if (strcmp(way, "vfork") == 0) {
    const int before = Allocate(library, bytes);
    printf("%d %d %d\n", before, RunTrue(), Allocate(library, bytes));
    fflush(stdout);
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
  }
  if (strcmp(way, "forked") == 0) {
    if (const pid_t child = fork(); child > 0) {
      waitpid(child, nullptr, 0);
      return 0;
    }
  }
  printf("%d\n", Allocate(library, bytes));
  fflush(stdout);
  return 0;
}
