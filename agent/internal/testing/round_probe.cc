// SPDX-License-Identifier: Apache-2.0
// A program that goes round the interposer: it finds the driver's functions in the library's own
// symbol table, as no call of the loader shows. `round_probe BYTES [stubborn]` allocates, says the
// driver's answer, and holds it until its input ends; a stubborn one does not end when asked to.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

namespace {

void* RawSymbol(const link_map* map, const char* name) {
  const char* strings = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  for (const ElfW(Dyn)* at = map->l_ld; at->d_tag != DT_NULL; ++at) {
    if (at->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(at->d_un.d_ptr);
    if (at->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(at->d_un.d_ptr);
  }
  // The names come after the symbols.
  for (; reinterpret_cast<const char*>(symbols) < strings; ++symbols) {
    if (symbols->st_value != 0 && std::strcmp(strings + symbols->st_name, name) == 0) {
      return reinterpret_cast<void*>(map->l_addr + symbols->st_value);
    }
  }
  std::fprintf(stderr, "round_probe: no %s\n", name);
  std::exit(2);
}

template <typename... Arguments>
int Call(const link_map* map, const char* name, Arguments... arguments) {
  return reinterpret_cast<int (*)(Arguments...)>(RawSymbol(map, name))(arguments...);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (argc > 2) std::signal(SIGTERM, SIG_IGN);
  void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  if (library == nullptr) return 2;
  const auto* const map = static_cast<const link_map*>(library);
  void* context = nullptr;
  unsigned long long block = 0;
  int code = Call(map, "cuInit", 0U);
  code = code != 0 ? code : Call(map, "cuDevicePrimaryCtxRetain", &context, 0);
  code = code != 0 ? code : Call(map, "cuCtxSetCurrent", context);
  const size_t bytes = std::strtoull(argv[1], nullptr, 10);
  code = code != 0 ? code : Call(map, "cuMemAlloc_v2", &block, bytes);
  std::printf("%d\n", code);
  std::fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return code == 0 ? 0 : 1;
}
