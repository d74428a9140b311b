// SPDX-License-Identifier: Apache-2.0
// A program that names the driver's library at link time: the loader binds its calls before main.
#include <cstddef>
#include <cstdio>
#include <cstdlib>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(unsigned long long*, size_t);
}

int main(int argc, char** argv) {
  void* context = nullptr;
  unsigned long long block = 0;
  cuInit(0);
  cuDevicePrimaryCtxRetain(&context, 0);
  cuCtxSetCurrent(context);
  printf("%d\n", cuMemAlloc_v2(&block, argc > 1 ? strtoull(argv[1], nullptr, 10) : 0));
  return 0;
}
